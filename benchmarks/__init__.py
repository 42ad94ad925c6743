"""Measurements of trackerapi beside its peers, one module a question."""
