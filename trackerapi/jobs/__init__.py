"""Handles of jobs and steps, with their blocks, loops and decorators."""
