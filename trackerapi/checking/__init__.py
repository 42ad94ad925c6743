"""Finds mistakes in a job script by reading it, without running or importing it.

`check` is the door. A script is read in the order in which it would run: `statements`
over `functions`, `library` and `expressions`, with `values` for what a name may stand
for, `scopes` for names and `flow` for which steps have surely begun. What is learned of
each job is noted in `jobs`, and `rules` judges it at the end. What cannot be told by
reading counts as right.
"""
