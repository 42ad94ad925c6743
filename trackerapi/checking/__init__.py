"""Static check of job scripts: finds mistakes without running or importing a script.

`check` reads a script in the order in which it would run, and `rules` compares its
reports with the job configurations. A fact that the check cannot tell counts as right.
"""
