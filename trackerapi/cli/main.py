"""The command `trackerapi`: report jobs, deliver what waits, ask the backend.

Exit status: 0 fine, 1 the backend gave no usable answer, 2 wrong usage or settings,
3 the key was refused, 4 the backend knows no such thing or refused the request, 130
interrupted. `check`, `sync` and `outbox` say in their help what 1 and 3 mean for them.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final, TextIO

from trackerapi.cli.exit_statuses import (
    FINE,
    INTERRUPTED,
    KEY_REFUSED,
    REFUSED,
    UNAVAILABLE,
    UNPRINTED,
    USAGE,
    NotPrinted,
)
from trackerapi.cli.parser import Parser, add_group
from trackerapi.cli.printing import library_messages_on_stderr, print_message
from trackerapi.errors import (
    AuthenticationError,
    BackendRejected,
    BackendUnavailable,
    TrackerError,
    one_line,
)
from trackerapi.version import __version__

_STATUS_OF: dict[type[Exception], int] = {
    AuthenticationError: KEY_REFUSED,
    BackendRejected: REFUSED,
    BackendUnavailable: UNAVAILABLE,
    NotPrinted: UNPRINTED,
}

_HOMES: Final = {
    "verify": "verify",
    "job": "job",
    "event": "event",
    "run": "run.help",
    "track": "track",
    "sync": "sync",
    "outbox": "outbox.list_show",
    "check": "check",
    "completion": "completion",
}
"""The module of each command, of which only the one that is asked for is loaded."""

_EPILOG = """\
exit status (`run`, `check`, `sync` and `outbox` say in their help what theirs mean):
  0  fine
  1  the backend gave no usable answer
  2  wrong usage or settings
  3  the key was refused
  4  the backend knows no such thing or refused the request
  130  interrupted

settings (an option wins over its variable; a blank variable is not set):
  TRACKERAPI_BASE_URL, TRACKERAPI_API_KEY or TRACKERAPI_API_KEY_FILE,
  TRACKERAPI_OUTBOX, TRACKERAPI_CA_FILE, TRACKERAPI_JOB (the job that a command is
  about), TRACKERAPI_MODE (online, offline, off), TRACKERAPI_SHUTDOWN_TIMEOUT; proxies
  from the usual variables
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    options = build_parser(arguments[:1]).parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    stdout: TextIO | None = sys.stdout  # None where it is closed
    try:
        with library_messages_on_stderr():
            status = run(options)
            if stdout is not None:
                stdout.flush()  # here, where it is known what a failure means
            return status
    except (TrackerError, ValueError) as error:
        print_message(one_line(str(error)))
        kinds = (
            status for kind, status in _STATUS_OF.items() if isinstance(error, kind)
        )
        return next(kinds, USAGE)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has seen enough; what is left must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print_message(one_line(f"{place}{error.strerror or error}"))
        return USAGE


def build_parser(asked: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser of the command.

    Args:
        asked: The only command to make a parser for; all of them if it is none.
    """
    parser = Parser(
        prog="trackerapi",
        description="Report what jobs do, deliver what waits, and ask the backend.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = add_group(parser)
    homes = [_HOMES[name] for name in asked if name in _HOMES]
    for home in homes or _HOMES.values():
        import_module(f"trackerapi.cli.{home}").add_commands(commands)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
