"""Checks of the kit, a module for each group."""
