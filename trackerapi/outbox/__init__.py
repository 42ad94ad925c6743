"""Files of the outbox on disk; no other package knows their format."""
