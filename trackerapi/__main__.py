"""`python -m trackerapi` is the command `trackerapi`."""

from trackerapi.cli.entry import main

if __name__ == "__main__":
    raise SystemExit(main())
