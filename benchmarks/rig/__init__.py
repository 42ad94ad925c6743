"""What the measurements share: a sink that can fail, adapters, workers, tables."""
