"""Configuration files of jobs: reading, checking and lookup by tag."""
