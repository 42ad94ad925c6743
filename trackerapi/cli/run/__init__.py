"""Command `run`: runs any command as the work of a job, or as one step of a job.

The command has the same arguments, environment, streams and signals as without
`trackerapi run`, which returns the exit status of the command. Few modules are loaded
before the command starts; the tracker is loaded while the command runs.
"""
