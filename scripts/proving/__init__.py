"""The proof that nothing is lost and nothing doubled; `scripts/prove.py` runs it."""
