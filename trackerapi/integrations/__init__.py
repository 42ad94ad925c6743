"""Integrations with logging and tqdm; `tqdm` needs the package extra `tqdm`."""
