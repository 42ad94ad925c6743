"""How far jobs are, on the terminal or in the log of who runs them; stderr only."""
