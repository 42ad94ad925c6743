"""What the command `trackerapi` can do, one module for what belongs together.

Each module adds its commands to the parser and runs them; `cli` joins them and turns
errors into exit statuses. Nothing here loads the HTTP client before it is needed.
"""
