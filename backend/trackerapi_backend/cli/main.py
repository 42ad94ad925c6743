"""The command `trackerapi-backend`: parser of all commands, errors, exit status.

Exit status: 0 done, 1 failed (one line on stderr has the reason), 2 wrong usage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.cli import (
    customer,
    dev,
    export,
    import_,
    key,
    migrate,
    provider,
    serve,
)
from trackerapi_backend.cli.arguments import Parser, add_group
from trackerapi_backend.cli.output import (
    drop_output,
    open_closed_streams,
    print_any_file_name,
    print_error,
    print_line,
)
from trackerapi_backend.problems import Problem
from trackerapi_backend.settings import SettingsError
from trackerapi_backend.store import StoreError
from trackerapi_backend.version import __version__

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    open_closed_streams()
    print_any_file_name()
    options = build_parser().parse_args(argv)
    try:
        options.run(options, print_line)
    except (SettingsError, StoreError) as error:
        return _fail(str(error))
    except Problem as problem:
        return _fail(problem.detail)
    except OSError as error:
        file = "the output" if error.filename is None else f"{error.filename}"
        if error.filename is None:
            drop_output()
        return _fail(f"{file} cannot be used ({error.strerror or error})")
    except KeyboardInterrupt:
        return 0
    return 0


def _fail(reason: str) -> int:
    print_error(reason)
    return 1


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="trackerapi-backend",
        description="Run the reference backend of trackerapi.",
        epilog="Instead of a missing option, all commands except `dev` read the"
        " variables TRACKERAPI_BACKEND_DATABASE, _DATABASE_URL, _PEPPER_FILE, _HOST,"
        " _PORT and _PUBLIC_BASE_URL.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = add_group(parser, "COMMAND")
    for module in (dev, serve, migrate, key, customer, provider, export, import_):
        module.add_parser(commands)
    return parser
