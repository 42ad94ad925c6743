"""Rules of jobs: creation, recording of events, configurations, step order."""
