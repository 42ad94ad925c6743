"""Reference backend of trackerapi: one honest percentage from what jobs report."""

from trackerapi_backend.version import __version__ as __version__
