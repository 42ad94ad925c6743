"""Command `run`: any command as the work of a job, or as one step of the job.

The command runs as without `trackerapi run`: same arguments, environment, streams and
signals, and the same exit status. Few modules load before the command starts; the
tracker loads while the command runs.
"""
