"""Integrations with logging and tqdm; `tqdm` needs the extra of that name."""
