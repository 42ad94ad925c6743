"""The calls of a job script for an event loop: same names, and nothing ever blocks."""
