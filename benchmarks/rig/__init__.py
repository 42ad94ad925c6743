"""Shared parts of the benchmarks: sink (a backend), adapters, workers and tables."""
