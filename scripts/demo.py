"""Run the demo job on a new backend, and keep the page of the job available.

Arguments are passed to the job script. On a terminal, the backend runs until Enter is
pressed; otherwise, the backend ends with the job.

Exit status: that of the job script; 1 if no backend could be started.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from demo.backend import CUSTOMER_ID, DemoBackend, start_backend
from trackerapi import SettingsError
from trackerapi.settings.api_key import API_KEY
from trackerapi.settings.route import BASE_URL


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit status of the job."""
    parser = argparse.ArgumentParser(
        prog="scripts/demo.sh",
        description=__doc__,
        epilog="Options of the job script: .venv/bin/python -m demo.mockscript --help",
        usage="%(prog)s [options of the job script]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _, arguments = parser.parse_known_args(argv)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="trackerapi-demo-") as folder,
            start_backend(Path(folder)) as backend,
        ):
            print(f"A backend runs at {backend.base_url}", flush=True)
            status = run_job(backend, arguments)
            if sys.stdin.isatty() and sys.stdout.isatty():
                input("The page stays up until you press Enter. ")
            return status
    except SettingsError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        return 130


def run_job(backend: DemoBackend, arguments: Sequence[str]) -> int:
    """Run the job script against `backend`; return its exit status."""
    unrelated = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TRACKERAPI_")
    }
    environment = {
        BASE_URL: backend.base_url,
        API_KEY: backend.api_key,
        CUSTOMER_ID: str(backend.customer_id),
    }
    command = [sys.executable, "-m", "demo.mockscript", *arguments]
    return subprocess.run(command, env=unrelated | environment, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
