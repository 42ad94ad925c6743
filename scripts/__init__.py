"""Tools of the maintainers: set-up, regeneration, checks and the demo."""
