"""The contract as maintainers' tools see it: read, judged, compared, compiled."""
