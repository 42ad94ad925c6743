"""Rules of jobs: creation, events, configurations, customer view, step order."""
