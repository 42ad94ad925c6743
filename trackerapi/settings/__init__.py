"""Settings of a TrackerApi: arguments, environment variables, defaults."""
