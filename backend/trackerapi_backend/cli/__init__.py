"""Command line `trackerapi-backend`; each subcommand has its own module."""
