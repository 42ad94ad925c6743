"""Metrics of one server process for its operator, on an address of their own."""
