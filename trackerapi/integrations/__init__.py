"""Bridges from what a script uses already; each needs its package, if it is foreign."""
