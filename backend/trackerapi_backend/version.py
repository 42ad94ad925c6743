"""Version of the distribution `trackerapi-backend`."""

__version__ = "0.1.0"
