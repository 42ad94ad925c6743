"""User's side of the commands that a running server executes."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from trackerapi_backend.cli.output import drop_output
from trackerapi_backend.control.messages import (
    ALIVE_SECONDS,
    MAX_REQUEST_BYTES,
    Request,
)
from trackerapi_backend.control.socket_file import connect
from trackerapi_backend.instants import format_instant
from trackerapi_backend.settings import SettingsError
from trackerapi_backend.store import StoreError

if TYPE_CHECKING:
    import socket
    from argparse import Action, Namespace
    from collections.abc import Iterator

    from trackerapi_backend.cli.arguments import PrintLine
    from trackerapi_backend.store import StoreInUse

SILENCE_SECONDS = 6 * ALIVE_SECONDS
"""Time without a message after which a command reports an error, in seconds."""

_ENDED = (
    "the server ended before the end of the command: a change may be stored, so look"
    " for it"
)
_OWN_OPTIONS = ("database", "pepper_file")
"""Options that are not sent: the server has its own database and pepper file."""


def run_in_server(
    options: Namespace, in_use: StoreInUse, print_line: PrintLine
) -> None:
    """Run a command in the server that has locked the database; print its lines.

    Args:
        options: Options of a command with `set_command()`.
        in_use: Error that names the locked database.
        print_line: Function that prints a line.

    Raises:
        SettingsError: If the arguments are too long for a request.
        StoreError: If the server cannot be reached, does not answer, or reports an
            error.
    """
    request = Request(arguments=_command_line(options)).encode()
    if len(request) > MAX_REQUEST_BYTES:
        raise SettingsError(
            f"the arguments have more than {MAX_REQUEST_BYTES:,} bytes: shorten them,"
            " or stop the server first"
        )
    try:
        with _connect(in_use) as connection:
            connection.sendall(request)
            _print_answer(connection, print_line)
    except TimeoutError:
        raise StoreError(
            f"the server of {in_use.path} does not answer: restart it; a change of this"
            " command may be stored"
        ) from None
    except ConnectionError:
        raise StoreError(_ENDED) from None
    except KeyboardInterrupt:
        raise StoreError("interrupted: the server may finish the command") from None


def _connect(in_use: StoreInUse) -> socket.socket:
    try:
        return connect(in_use.path, SILENCE_SECONDS)
    except TimeoutError:
        raise
    except OSError:
        raise in_use from None


def _print_answer(connection: socket.socket, print_line: PrintLine) -> None:
    for message in _messages(connection):
        for line in message.get("lines", ()):
            _print(line, print_line)
        if "error" in message:
            if message["error"] is not None:
                raise StoreError(message["error"])
            return
    raise StoreError(_ENDED)


def _print(line: str, print_line: PrintLine) -> None:
    try:
        print_line(line)
    except OSError as error:
        drop_output()
        raise StoreError(
            f"the output cannot be used ({error.strerror or error}); a change of this"
            " command is stored nevertheless"
        ) from None


def _messages(connection: socket.socket) -> Iterator[dict[str, Any]]:
    try:
        with connection.makefile("rb") as lines:
            for line in lines:
                yield json.loads(line)
    except ValueError:
        return


def _command_line(options: Namespace) -> list[str]:
    """Return a command line with these options, without the name of the program."""
    words: list[str] = options.parser.prog.split()[1:]
    positional: list[str] = []
    for action in options.parser.own_arguments:
        value = getattr(options, action.dest, None)
        if value is None or value == action.default or action.dest in _OWN_OPTIONS:
            continue
        if action.option_strings:
            words += _option_words(action, value)
        else:
            positional.append(str(value))
    return [*words, "--", *positional] if positional else words


def _option_words(action: Action, value: object) -> list[str]:
    option = action.option_strings[-1]
    if action.nargs == 0:
        return [option]
    values = value if isinstance(value, list) else [value]
    return [f"{option}={_text(each)}" for each in values]


def _text(value: object) -> str:
    return format_instant(value) if isinstance(value, datetime) else str(value)
