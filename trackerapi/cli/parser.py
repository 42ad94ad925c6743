"""Parser of the command line: short printable errors, and checks for blank values."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from trackerapi.cli.printing import print_line
from trackerapi.errors import one_line

if TYPE_CHECKING:
    from _typeshed import SupportsWrite


class Parser(argparse.ArgumentParser):
    """`ArgumentParser` that rejects blank values, and prints short errors.

    An argument without a `type`, or with the type `Path`, must not be blank: a blank
    value comes from an unset variable of the script. Free text has the type `str` and
    may be blank.
    """

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.register("type", None, _nonblank)
        self.register("type", Path, _path)

    def parse_known_args(self, *args: Any, **keywords: Any) -> Any:
        """Parse arguments; reject `--` as the value of an option.

        Python before 3.13 sets such an option to an empty list.
        """
        options, rest = super().parse_known_args(*args, **keywords)
        for action in self._actions:
            value = getattr(options, action.dest, None)
            is_lost = value == [] and action.default != []
            if isinstance(value, list) and (is_lost or [] in value):
                self.error(
                    f"argument {'/'.join(action.option_strings)}: -- is no value"
                )
        return options, rest

    def error(self, message: str) -> NoReturn:
        """Print the usage and an error, and exit with status 2.

        `one_line()` cuts and escapes the message: a quoted argument can be long and
        contain control characters.
        """
        super().error(one_line(message))

    def _print_message(
        self, message: str, file: "SupportsWrite[str] | None" = None
    ) -> None:
        # argparse ignores a failed write, so that `--help` would end with status 0.
        if file is sys.stdout:
            print_line(message, end="")
        else:
            super()._print_message(message, file)


def add_group(parser: argparse.ArgumentParser) -> Any:
    """Add a group of commands to a parser; return the group, for `add_command()`."""
    commands: Any = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    # argparse applies the type of the group to each word after the command. Some of
    # these words are free text, and may be blank.
    commands.type = str
    return commands


def _nonblank(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be blank")
    return text


def _path(text: str) -> Path:
    return Path(_nonblank(text))  # `Path("")` would be the current folder
