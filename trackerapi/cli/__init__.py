"""Command line `trackerapi`: one module for each command, named like the command."""
