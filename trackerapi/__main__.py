"""`python -m trackerapi`, the same as the command `trackerapi`."""

from trackerapi.cli.entry import main

if __name__ == "__main__":
    raise SystemExit(main())
