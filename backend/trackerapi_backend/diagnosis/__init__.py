"""Checks of an installation: settings, files, machine and database."""
