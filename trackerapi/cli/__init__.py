"""The command `trackerapi`: one module for each command, named by its words."""
