"""Views of jobs, on stderr: a live view on a terminal, lines in a log."""
