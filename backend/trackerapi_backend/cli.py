"""The command `trackerapi-backend`: run a backend, look after keys and customers.

Exit status: 0 done, 1 could not be done (one line says why), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from trackerapi_backend import __version__
from trackerapi_backend.logs import log_to_stderr
from trackerapi_backend.settings import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    SettingsError,
)
from trackerapi_backend.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = build_parser().parse_args(argv)
    try:
        options.run(options)
    except (SettingsError, StoreError) as error:
        print(f"trackerapi-backend: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="trackerapi-backend",
        description="Run the reference backend of trackerapi.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    dev = commands.add_parser(
        "dev",
        help="run a backend of your own, without any set-up",
        description="Run a backend on this machine. A database, a key and customers"
        " (142 among them) are made on the first run and kept.",
    )
    dev.add_argument("--host", default=DEFAULT_HOST, help="default: %(default)s")
    dev.add_argument(
        "--port",
        type=int,
        default=DEFAULT_PORT,
        help="default: %(default)s; 0 takes a free one",
    )
    dev.add_argument(
        "--data-dir",
        type=Path,
        default=platformdirs.user_data_path("trackerapi-backend"),
        metavar="DIR",
        help="folder that keeps everything; default: %(default)s",
    )
    dev.set_defaults(run=_dev)
    return parser


def _dev(options: argparse.Namespace) -> None:
    from trackerapi_backend.dev import run_dev

    log_to_stderr(logging.WARNING)
    run_dev(options.data_dir, host=options.host, port=options.port, tell=_tell)


def _tell(line: str) -> None:
    print(line, flush=True)
