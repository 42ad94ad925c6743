"""The command `trackerapi-backend`, one module a command."""
