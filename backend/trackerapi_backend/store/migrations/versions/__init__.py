"""Revisions of the schema, one module each; the names of the modules give the order."""
