"""What maintainers run: set-up, regeneration, checks and the demo."""
