"""Events: kinds, ids and times, metadata, and the progress that events amount to."""
