"""Requests from bytes to a valid call: contract, bodies, API keys, parameters."""
