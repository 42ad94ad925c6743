"""Projection: the state of a job as a pure fold of its events."""
