"""The parser of the command line: short printable errors, no blank values."""

import argparse
from pathlib import Path
from typing import Any, NoReturn

from trackerapi.errors import one_line


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` for arguments that scripts put together.

    An argument without a `type`, or with the type `Path`, must not be blank: it stands
    for an unset variable of the script. Free text, which may be blank, has the type
    `str`. Takes the arguments of `ArgumentParser`.
    """

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.register("type", None, _filled)
        self.register("type", Path, _path)

    def error(self, message: str) -> NoReturn:
        """Print the usage and an error, and exit with status 2.

        The error repeats an argument, which may be of any length and hold controls.
        """
        super().error(one_line(message))


def add_group(parser: argparse.ArgumentParser) -> Any:
    """Let a parser have commands; return what `add_command()` adds them to."""
    commands: Any = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    # All words of the command go through its type, free text among them.
    commands.type = str
    return commands


def _filled(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be blank")
    return text


def _path(text: str) -> Path:
    return Path(_filled(text))  # `Path("")` would be the current folder
