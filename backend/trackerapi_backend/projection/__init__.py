"""Projection of events to the state of a job: pure functions."""
