"""Benchmarks of trackerapi and of its peers, which are other reporting libraries."""
