"""Shared parts of the benchmarks: test backend (sink), adapters, workers, tables."""
