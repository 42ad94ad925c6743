"""Shared parts of the measurements: a sink that can fail, adapters, workers, tables."""
