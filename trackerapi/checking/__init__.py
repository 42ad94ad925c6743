"""Static check of job scripts: finds mistakes without running or importing a script.

`check` reads a script in the order in which it would run, and `rules` compares its
reports with the job configurations. To read a node means to follow its effects and to
return its symbol; see `symbols`. A value that the source does not show causes no
finding.
"""
