"""The command `trackerapi-backend`: parser of all commands, errors, exit status.

Exit status: 0 done, 1 failed (one line on stderr has the reason) or a finding of
`doctor`, 2 wrong usage.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

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
    from collections.abc import Collection, Sequence

_COMMANDS: Final = {
    "dev": ("dev", "run a backend of your own, without any set-up"),
    "serve": ("serve", "run a backend for other machines and users"),
    "migrate": ("migrate", "upgrade the schema of a database"),
    "key": ("key", "create, list and expire API keys"),
    "customer": ("customer", "create, list and erase customers"),
    "job": ("job", "erase jobs"),
    "provider": ("provider", "list providers, show and change profile and retention"),
    "pepper": ("pepper", "replace the secret of all API keys"),
    "audit": ("audit", "list the administrative changes"),
    "compact": ("compact", "remove the bytes of deleted rows from a database"),
    "export": ("export", "write all data of a database to a file"),
    "backup": ("backup", "copy a database and its pepper, also while a server runs"),
    "doctor": (
        "doctor",
        "find faults of an installation and their fixes",
    ),
    "restore": ("restore", "put the database and the pepper of a backup in place"),
    "import": ("import_", "read all data from a file of `export`"),
    "conformance": ("conformance", "check any backend of the contract, over HTTP"),
}
"""Module in `trackerapi_backend.cli` and help of each command, by its name.

Only the module of the called command is loaded: `dev` and `serve` load the server.
"""


_SERVERS: Final = ("dev", "serve")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    open_closed_streams()
    print_any_file_name()
    arguments = sys.argv[1:] if argv is None else list(argv)
    options = build_parser(arguments[:1]).parse_args(arguments)
    try:
        status: int | None = options.run(options, print_line)
    except KeyboardInterrupt:
        # Ctrl-C is the usual end of a server. Of another command, 0 would mean success.
        if arguments[0] in _SERVERS:
            return 0
        print_error("interrupted")
        return 1
    except Exception as error:
        reason = failure_of(error)
        if reason is None:
            raise
        if isinstance(error, OSError) and error.filename is None:
            drop_output()
        print_error(reason)
        return 1
    return status or 0


def failure_of(error: Exception) -> str | None:
    """Return the reason of a failed command; None for an error of this program."""
    match error:
        case SettingsError() | StoreError():
            return str(error)
        case Problem():
            return error.detail
        case OSError():
            file = "the output" if error.filename is None else f"{error.filename}"
            return f"{file} cannot be used ({error.strerror or error})"
    return None


def build_parser(
    called: Collection[str] = _COMMANDS, parser_class: type[Parser] = Parser
) -> argparse.ArgumentParser:
    """Return the parser of the command line.

    Args:
        called: First word of the command line, or the words of several commands. Only
            these commands have arguments and can run.
        parser_class: Class of the parser and of the parsers of all commands.
    """
    parser = parser_class(
        prog="trackerapi-backend",
        description="Run the reference backend of trackerapi.",
        epilog="Instead of a missing option, all commands that use a database, except"
        " `dev`, read the"
        " variables TRACKERAPI_BACKEND_DATABASE, _DATABASE_URL, _PEPPER_FILE and"
        " _ERASURES_FILE. `serve` has a variable for each of its options, such as"
        " TRACKERAPI_BACKEND_PUBLIC_BASE_URL; `doctor` checks them. `dev` reads"
        " _LOG_LEVEL and _LOG_FILE.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = add_group(parser, "COMMAND")
    for name, (module, help_text) in _COMMANDS.items():
        command = commands.add_parser(name, help=help_text)
        if name in called:
            import_module(f"trackerapi_backend.cli.{module}").add_arguments(command)
    return parser
