"""Parser of `trackerapi run`, for its help and for completion.

`entry` reads the command line by `arguments.read()` instead of this parser: the import
of argparse would delay the user's command.
"""

import argparse
from typing import Any, Final

from trackerapi.cli.options import add_command
from trackerapi.cli.run.arguments import (
    OPTIONS,
    SYNOPSIS,
    Option,
    RunArguments,
    RunUsageError,
)
from trackerapi.cli.run.run import run
from trackerapi.errors import UsageError

_HELP: Final = """\
Run a command as the work of a job, or as one step of a job.

The command runs unchanged: exit status, signals, input and output pass through, even if
no report can be made. --job or TRACKERAPI_JOB names the job, by its id or its token.

With --step, the step is done if the command succeeds, and failed if the command fails.
If SIGTERM or Ctrl-C ends the command, the step stays open, and the job keeps running.
Without --step, Ctrl-C cancels the job. SIGTERM interrupts the job, or cancels the job
with TRACKERAPI_ON_SIGTERM=cancel.

With --progress, the output passes through a pipe, or through a pseudo-terminal if the
output goes to a terminal. REGEX is searched in each line, also in lines that end with a
carriage return. Its groups are
  one group     a percentage, 0 to 100, with or without %
  two groups    completed units of a total
  named groups  percent, fraction (0 to 1), completed, total

exit status:
  the exit status of the command; a signal that ends the command also ends this process
  2    wrong usage; the command was not run
  126  the command cannot be executed
  127  the command was not found

examples:
  trackerapi run --step convert -- convert in.tif out.png
  trackerapi run --step copy --progress '(\\d+)%' -- rsync --info=progress2 a b
  trackerapi run --step fetch --attempts 3 -- curl -fO https://example.org/data
"""


def add_commands(commands: Any) -> None:
    """Add `run`."""
    parser = add_command(commands, "run", _run, _HELP)
    parser.usage = f"%(prog)s {SYNOPSIS}"
    for option in OPTIONS:
        _add(parser, option)
    parser.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        type=str,
        metavar="COMMAND",
        help="command to run, and its arguments",
    )


def _add(parser: argparse.ArgumentParser, option: Option) -> None:
    if option.value is None:
        parser.add_argument(
            option.name,
            dest=option.name,
            action="store_const",
            const="",
            help=option.text,
        )
    else:
        parser.add_argument(
            option.name,
            dest=option.name,
            metavar=option.value,
            choices=option.choices or None,
            help=option.text,
        )


def _run(options: argparse.Namespace) -> int:
    words: list[str] = options.words
    given = {option.name: getattr(options, option.name) for option in OPTIONS}
    try:
        arguments = RunArguments(given, words[1:] if words[:1] == ["--"] else words)
    except RunUsageError as error:
        raise UsageError(str(error)) from None
    return run(arguments)
