"""Command `run`: runs any command as the work of a job, or as one step of a job.

The command gets the same arguments, environment, streams and signals as without
`trackerapi run`, and its exit status is passed on. Few modules load before the command
starts; the tracker loads while the command runs.
"""
