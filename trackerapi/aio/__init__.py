"""Tracker, jobs and steps for an event loop, like the blocking classes."""
