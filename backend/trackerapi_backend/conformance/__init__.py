"""Conformance kit: checks that hold any backend to the contract, over HTTP alone."""
