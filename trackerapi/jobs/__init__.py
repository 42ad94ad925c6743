"""Blocks, loops and decorators by which a script reports without calling for it."""
