"""Conformance kit: checks over HTTP whether a backend follows the contract."""
