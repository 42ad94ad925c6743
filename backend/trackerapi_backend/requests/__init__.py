"""Parsing and validation of requests: contract, bodies, API keys, parameters."""
