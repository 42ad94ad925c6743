"""The command `trackerapi-backend`: run a backend, look after keys and customers.

Exit status: 0 done, 1 could not be done (one line says why), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import codecs
import io
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

from trackerapi_backend.cli import commands
from trackerapi_backend.instants import parse_instant
from trackerapi_backend.problems import Problem
from trackerapi_backend.requests.auth import SCOPES
from trackerapi_backend.settings import (
    DEFAULT_HOST,
    DEFAULT_PORT,
    MAX_PORT,
    SettingsError,
    user_data_dir,
)
from trackerapi_backend.store import StoreError
from trackerapi_backend.store.schema import MAX_ID
from trackerapi_backend.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001

LONGEST_NAME = 100
MAX_ERROR_LENGTH = 500
"""Longest error, in characters: errors repeat arguments and names of files."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    _write_any_name()
    options = build_parser().parse_args(argv)
    try:
        options.run(options, _tell)
    except (SettingsError, StoreError) as error:
        return _complain(str(error))
    except Problem as problem:
        return _complain(problem.detail)
    except OSError as error:
        file = "the output" if error.filename is None else f"{error.filename}"
        if error.filename is None:
            _drop_output()
        return _complain(f"{file} cannot be used ({error.strerror or error})")
    except KeyboardInterrupt:
        return 0
    return 0


def _write_any_name() -> None:
    """Write file names as their bytes, and characters without bytes as escapes."""
    codecs.register_error("trackerapi-backend", _bytes_or_escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="trackerapi-backend")


def _bytes_or_escape(error: UnicodeError) -> tuple[str | bytes, int]:
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


def _complain(reason: str) -> int:
    print(f"trackerapi-backend: {_one_line(reason)}", file=sys.stderr)
    return 1


def _one_line(text: str) -> str:
    """Return a text without control characters, cut to `MAX_ERROR_LENGTH`."""
    if len(text) > MAX_ERROR_LENGTH:
        text = f"{text[: MAX_ERROR_LENGTH - 1]}…"
    return "".join(
        c if c.isprintable() or _is_byte(c) else "\N{REPLACEMENT CHARACTER}"
        for c in text
    )


def _is_byte(character: str) -> bool:
    """Return whether it stands for a byte of a name that is not UTF-8."""
    return "\udc80" <= character <= "\udcff"


def _drop_output() -> None:
    """Discard the unwritten output: Python would fail on it at its exit."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(line: str) -> None:
    print(line, flush=True)


class _Parser(argparse.ArgumentParser):
    """A parser with short printable errors that refuses blank arguments.

    A blank argument stands for an unset variable of a script.
    """

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.register("type", None, _filled)

    def error(self, message: str) -> NoReturn:
        super().error(_one_line(message))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = _Parser(
        prog="trackerapi-backend",
        description="Run the reference backend of trackerapi.",
        epilog="Where an option is left out, `serve`, `migrate`, `key` and `customer`"
        " read TRACKERAPI_BACKEND_DATABASE, _PEPPER_FILE, _HOST, _PORT and"
        " _PUBLIC_BASE_URL.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = _group(parser, "COMMAND")
    _add_dev(subparsers)
    _add_serve(subparsers)
    _add_migrate(subparsers)
    _add_key(subparsers)
    _add_customer(subparsers)
    return parser


def _group(parser: argparse.ArgumentParser, metavar: str) -> Commands:
    """Make a group of commands; return the object that commands are added to."""
    commands = parser.add_subparsers(required=True, metavar=metavar)
    # All words of a command go through this type; each option then names itself.
    commands.type = str
    return commands


def _add_dev(subparsers: Commands) -> None:
    dev = subparsers.add_parser(
        "dev",
        help="run a backend of your own, without any set-up",
        description="Run a backend on this machine. A database, a key and customers"
        " (142 among them) are made on the first run and kept. DIR/dev.json tells"
        " scripts where it is while it runs.",
    )
    dev.add_argument("--host", default=DEFAULT_HOST, help="default: %(default)s")
    dev.add_argument(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        help="default: %(default)s; 0 takes a free one",
    )
    dev.add_argument(
        "--data-dir",
        metavar="DIR",
        help=f"folder that keeps everything; default: {_usual_data_dir()}",
    )
    dev.set_defaults(run=commands.dev)


def _usual_data_dir() -> str:
    usual = user_data_dir()
    if usual is None:
        return "none, since this user has no home directory"
    # argparse reads a percent sign as its own; bytes of a name may not be printable.
    return os.fsencode(usual).decode(errors="replace").replace("%", "%%")


def _add_serve(subparsers: Commands) -> None:
    serve = subparsers.add_parser(
        "serve",
        help="run a backend for others",
        description="Serve a database whose schema is up to date (see `migrate`).",
    )
    _add_database(serve)
    serve.add_argument("--host", help=f"default: {DEFAULT_HOST}")
    serve.add_argument("--port", type=_port, help=f"default: {DEFAULT_PORT}")
    serve.add_argument(
        "--public-base-url",
        metavar="URL",
        help="where readers reach it; default: the address of each request",
    )
    serve.set_defaults(run=commands.serve)


def _add_migrate(subparsers: Commands) -> None:
    migrate = subparsers.add_parser(
        "migrate",
        help="bring a database's schema up to date",
        description="Bring a database's schema up to date, or make the database."
        " One that is there is copied beside itself first.",
    )
    _add_database(migrate)
    migrate.set_defaults(run=commands.migrate)


def _add_key(subparsers: Commands) -> None:
    key = subparsers.add_parser("key", help="make, list and expire API keys")
    actions = _group(key, "ACTION")
    create = actions.add_parser("create", help="make a key and print it, this once")
    _add_provider(create)
    create.add_argument("--label", required=True, help="what the key is for")
    create.add_argument(
        "--scope",
        action="append",
        choices=SCOPES,
        help="what it may do; may be repeated; default: ingest and read",
    )
    create.add_argument(
        "--expires-at",
        type=_time,
        metavar="TIME",
        help="such as 2030-01-01T00:00:00Z; default: never",
    )
    create.set_defaults(run=commands.create_key)
    listing = actions.add_parser("list", help="list the keys, without their secrets")
    _add_provider(listing)
    listing.set_defaults(run=commands.list_keys)
    expire = actions.add_parser("expire", help="end a key at once")
    _add_provider(expire)
    expire.add_argument(
        "key_id", metavar="KEY_ID", help="second part of the key, or the whole key"
    )
    expire.set_defaults(run=commands.expire_key)


def _add_customer(subparsers: Commands) -> None:
    customer = subparsers.add_parser("customer", help="make and list customers")
    actions = _group(customer, "ACTION")
    create = actions.add_parser("create", help="make a customer and print its id")
    _add_provider(create)
    create.add_argument("--id", type=_customer_id, help="default: the next free one")
    create.add_argument("--reference", help="the provider's own id of the customer")
    create.add_argument("--name", help="what the provider calls the customer")
    create.set_defaults(run=commands.create_customer)
    listing = actions.add_parser("list", help="list the customers")
    _add_provider(listing)
    listing.set_defaults(run=commands.list_customers)


def _add_provider(parser: argparse.ArgumentParser) -> None:
    _add_database(parser)
    parser.add_argument(
        "--provider",
        type=_name,
        metavar="NAME",
        help="whose; `create` makes one that is new; default: the oldest",
    )


def _add_database(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--database", metavar="FILE", help="the SQLite file")
    parser.add_argument(
        "--pepper-file",
        metavar="FILE",
        help="secret under which keys are kept; default: `pepper` beside the database",
    )


def _filled(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be blank")
    return text


def _time(text: str) -> datetime:
    try:
        return parse_instant(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time such as 2030-01-01T00:00:00Z"
        ) from None


def _port(text: str) -> int:
    return _whole_number(text, 0, MAX_PORT)


def _name(text: str) -> str:
    if not text.strip() or len(text) > LONGEST_NAME or not text.isprintable():
        raise argparse.ArgumentTypeError(
            f"must be 1 to {LONGEST_NAME} printable characters, and not blank"
        )
    return text


def _customer_id(text: str) -> int:
    return _whole_number(text, 1, MAX_ID)


def _whole_number(text: str, least: int, most: int) -> int:
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(most))
    if not is_number or not least <= int(text) <= most:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number from {least} to {most}"
        )
    return int(text)
