"""`trackerapi run`: any command as the work of a job, or as one step of it.

The command sees nothing of it: same arguments, environment, streams and signals, same
exit status for whoever waits. What loads before the command has started is kept small;
the tracker is loaded beside it.
"""
