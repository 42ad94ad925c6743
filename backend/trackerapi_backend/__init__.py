"""Reference backend of trackerapi: one honest percentage from what jobs report."""

__version__ = "0.1.0"
