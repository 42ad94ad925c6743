"""The command `trackerapi-backend`: serve, dev, migrate, keys and customers."""
