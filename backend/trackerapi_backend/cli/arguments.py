"""Arguments that several commands share: parser class, types, database options."""

from __future__ import annotations

import argparse
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from trackerapi_backend.cli.output import printable_line
from trackerapi_backend.instants import parse_instant
from trackerapi_backend.problems import Problem
from trackerapi_backend.requests.contract import check, named_schema
from trackerapi_backend.settings import LOG_LEVELS, MAX_PORT, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001
    PrintLine = Callable[[str], None]

MAX_NAME_LENGTH = 100


class Parser(argparse.ArgumentParser):
    """Parser with short printable errors, which rejects blank arguments.

    A blank argument usually means that a variable of the calling script is unset.

    Attributes:
        own_arguments: Arguments of this parser, without those of its commands.
    """

    def __init__(self, **keywords: Any) -> None:
        self.own_arguments: list[argparse.Action] = []
        super().__init__(**keywords)
        self.register("type", None, _not_blank)

    def add_argument(self, *names: str, **keywords: Any) -> argparse.Action:
        """Add an argument; return it."""
        action = super().add_argument(*names, **keywords)
        self.own_arguments.append(action)
        return action

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments; reject `--` as the value of an option.

        Python before 3.13 would set the option to an empty list.
        """
        for argument in sys.argv[1:] if args is None else args:
            if argument == "--":
                break
            option, _equals, value = argument.partition("=")
            if value == "--" and option.startswith("--"):
                self.error(f"argument {option}: -- is no value")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Print the usage and a printable error; exit with status 2."""
        super().error(printable_line(message))


def add_group(parser: argparse.ArgumentParser, metavar: str) -> Commands:
    """Add a group of commands to a parser; return the group."""
    commands = parser.add_subparsers(required=True, metavar=metavar)
    # With the default type, the error of a blank command name would be "must not be
    # blank". With `str`, the error lists the commands.
    commands.type = str
    return commands


def add_database_options(parser: argparse.ArgumentParser) -> None:
    """Add `--database` and `--pepper-file`."""
    parser.add_argument(
        "--database",
        metavar="FILE",
        help="the SQLite file; only the variable TRACKERAPI_BACKEND_DATABASE_URL names"
        " a PostgreSQL database",
    )
    parser.add_argument(
        "--pepper-file",
        metavar="FILE",
        help="secret of this installation; default with SQLite: `pepper` beside the"
        " database",
    )


def add_log_options(parser: argparse.ArgumentParser, default_level: str) -> None:
    """Add `--log-level` and `--log-file`."""
    parser.add_argument(
        "--log-level",
        choices=LOG_LEVELS,
        metavar="LEVEL",
        help=f"one of {', '.join(LOG_LEVELS)}; default: {default_level}",
    )
    parser.add_argument(
        "--log-file",
        metavar="FILE",
        help="append the log to this file, and open it again once it was renamed;"
        " default: stderr",
    )


def add_provider_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for a database and `--provider`."""
    add_database_options(parser)
    parser.add_argument(
        "--provider",
        type=_provider_name,
        metavar="NAME",
        help="name of the provider; `key create` and `customer create` add a provider"
        " that does not exist; default: the oldest provider",
    )


def file_name(text: str) -> str:
    """Return the name of a seekable file.

    Raises:
        ArgumentTypeError: If the name stands for standard input or output.
    """
    if text == "-":
        raise argparse.ArgumentTypeError(
            "standard input and output are not supported: name a file"
        )
    return _not_blank(text)


def plain_text(text: str) -> str:
    """Return a text that the database can store, unlike the name of a file.

    Raises:
        ArgumentTypeError: If the text is blank, or has bytes that are not UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("has bytes that are not UTF-8") from None
    return _not_blank(text)


def port_number(text: str) -> int:
    """Return the port number in a text, at most `MAX_PORT`; 0 means any free port."""
    return whole_number(text, 0, MAX_PORT)


def whole_number(text: str, minimum: int, maximum: int) -> int:
    """Return the whole number in a text.

    Raises:
        ArgumentTypeError: If the text is not a whole number from `minimum` to
            `maximum`.
    """
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(maximum))
    if not is_number or not minimum <= int(text) <= maximum:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number from {minimum} to {maximum}"
        )
    return int(text)


def instant(text: str) -> datetime:
    """Return the instant of an RFC 3339 text.

    Raises:
        ArgumentTypeError: If the text is not an RFC 3339 text.
    """
    try:
        return parse_instant(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time such as 2030-01-01T00:00:00Z"
        ) from None


def check_options(schema_name: str, values: dict[str, object]) -> None:
    """Check the values of options against a schema of the contract.

    Args:
        schema_name: Name of an object schema.
        values: Value of each option by the name of a member of the schema. The option
            has the same name, with dashes instead of underscores.

    Raises:
        SettingsError: If a value is not valid; the message names the option.
    """
    with naming_options():
        check(named_schema(schema_name), values)


@contextmanager
def naming_options() -> Iterator[None]:
    """Turn a `Problem` about a member into a `SettingsError` that names the option."""
    try:
        yield
    except Problem as problem:
        first = next(iter(problem.errors), None)
        # A value that is not UTF-8 has a problem without a location.
        if first is None:
            raise
        option = first["pointer"].replace("/", "--", 1).replace("_", "-")
        raise SettingsError(f"{option} {first['detail']}") from None


def _not_blank(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be blank")
    return text


def _provider_name(text: str) -> str:
    if not text.strip() or len(text) > MAX_NAME_LENGTH or not text.isprintable():
        raise argparse.ArgumentTypeError(
            f"must be 1 to {MAX_NAME_LENGTH} printable characters, and not blank"
        )
    return text
