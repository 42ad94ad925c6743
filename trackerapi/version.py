"""Version of the distribution `trackerapi`."""

__version__ = "0.1.0"
