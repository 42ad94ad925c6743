"""`python -m trackerapi_backend` is the command `trackerapi-backend`."""

from __future__ import annotations

from trackerapi_backend.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
