"""Reference backend of trackerapi: receives events, shows the progress of jobs."""

from trackerapi_backend.version import __version__ as __version__
