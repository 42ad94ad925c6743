"""Events: kinds, ids and times, metadata, and their projection to progress."""
