"""Help for `trackerapi run`, which itself is read without any parser.

See `entry`: what stands before other people's commands is not to load one.
"""

import argparse
from typing import Any, Final

from trackerapi.cli.options import add_command
from trackerapi.cli.run.arguments import FLAG, STREAMS, Misuse, Order
from trackerapi.cli.run.run import run
from trackerapi.errors import UsageError

_HELP: Final = """\
Run a command as the work of a job, or as one step of it.

The command is not changed by it: exit status, signals, input and output pass through,
whether or not anything can be reported. Its step is done when the command succeeds and
failed when it does not; a command that SIGTERM or Ctrl-C ends leaves its step open, and
the job running. Without --step, Ctrl-C cancels the job, and SIGTERM interrupts it, or
cancels it with TRACKERAPI_ON_SIGTERM=cancel. The job is that of --job, else of
TRACKERAPI_JOB, as its id or its token.

With --progress, the output is looked at on its way, through a pipe, or a terminal where
it goes to one. REGEX is tried on each line, also on those that end with a carriage
return, and has
  one group     a percentage, 0 to 100, with or without %
  two groups    completed units of a total
  named groups  percent, fraction (0 to 1), completed, total

exit status:
  that of the command; where a signal ended it, the same signal ends this
  2    wrong usage; nothing was run
  126  the command cannot be run
  127  there is no such command

examples:
  trackerapi run --step convert -- convert in.tif out.png
  trackerapi run --step copy --progress '(\\d+)%' -- rsync --info=progress2 a b
  trackerapi run --step fetch --attempts 3 -- curl -fO https://example.org/data
"""


def add_commands(commands: Any) -> None:
    """Add `run`."""
    parser = add_command(commands, "run", _run, _HELP)
    parser.usage = "%(prog)s [--step STEP] [--job ID] [OPTIONS] -- COMMAND ..."
    parser.add_argument("--step", help="tag or name of the step that the command is")
    parser.add_argument("--job", metavar="ID", help="id or token of the job")
    parser.add_argument(
        "--progress", metavar="REGEX", help="finds in its output how far the step is"
    )
    parser.add_argument(
        "--watch",
        choices=STREAMS,
        metavar="STREAM",
        help=f"which output: {', '.join(STREAMS)} (both)",
    )
    parser.add_argument(
        "--attempts", metavar="N", help="run it so often at most, until it succeeds"
    )
    parser.add_argument(
        FLAG,
        action="store_const",
        const="",
        help="let the provider read the arguments of a command that failed, too; "
        "leave it out where they may hold personal data",
    )
    parser.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        type=str,
        metavar="COMMAND",
        help="the command and its arguments",
    )


def _run(options: argparse.Namespace) -> int:
    words: list[str] = options.words
    given = {
        f"--{name.replace('_', '-')}": value for name, value in vars(options).items()
    }
    try:
        order = Order(given, words[1:] if words[:1] == ["--"] else words)
    except Misuse as mistake:
        raise UsageError(str(mistake)) from None
    return run(order)
