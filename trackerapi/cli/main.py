"""Command `trackerapi`: its parser, and the exit status of each error.

Exit status: 0 success, 1 the backend gave no usable answer or stdout cannot be written,
2 wrong usage or settings, 3 the backend refused the key, 4 the backend refused the
request or does not know the object, 5 the watched job has failed or was cancelled, 130
interrupted. For `check`, `sync` and `outbox`,
1 and 3 have other meanings, which the help of each command lists.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final

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
from trackerapi.cli.printing import (
    discard_stdout,
    flush_stdout,
    library_messages_on_stderr,
    print_message,
)
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

_MODULES: Final = {
    "verify": "verify",
    "job": "job",
    "event": "event",
    "run": "run.help",
    "track": "track",
    "sync": "sync",
    "outbox": "outbox.group",
    "check": "check",
    "completion": "completion",
}
"""Module of each command in `trackerapi.cli`; only the called command is loaded."""

_EPILOG = """\
exit status (`run`, `check`, `sync` and `outbox` list other meanings in their help):
  0  success
  1  the backend gave no usable answer, or stdout cannot be written
  2  wrong usage or settings
  3  the backend refused the key
  4  the backend refused the request, or does not know the object
  5  the watched job has failed or was cancelled (`job watch`)
  130  interrupted

settings (an option wins over its variable; a blank variable counts as not set):
  TRACKERAPI_BASE_URL, TRACKERAPI_API_KEY or TRACKERAPI_API_KEY_FILE,
  TRACKERAPI_OUTBOX, TRACKERAPI_CA_FILE, TRACKERAPI_JOB (the job of the command),
  TRACKERAPI_MODE (online, offline, off), TRACKERAPI_SHUTDOWN_TIMEOUT; for proxies
  HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY. Commands do not read
  TRACKERAPI_STRICT: it is for job scripts.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        try:
            return _run(arguments)
        finally:
            # Inside `try`: the handlers set the status of a failed write.
            flush_stdout()
    except (TrackerError, ValueError) as error:
        print_message(one_line(str(error)))
        statuses = (
            status for kind, status in _STATUS_OF.items() if isinstance(error, kind)
        )
        return next(statuses, USAGE)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        discard_stdout()  # The reader of the pipe has ended.
        return FINE
    except OSError as error:
        file = f"{error.filename}: " if error.filename else ""
        print_message(one_line(f"{file}{error.strerror or error}"))
        return USAGE


def _run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit status; exit after `--help`."""
    options = build_parser(arguments[:1]).parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    with library_messages_on_stderr():
        return run(options)


def build_parser(called: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser of the command line.

    Args:
        called: First word of the command line. For a known command, only its parser is
            loaded; without a word or for an unknown word, all commands are loaded.
    """
    parser = Parser(
        prog="trackerapi",
        description="Report jobs, deliver undelivered reports, and show jobs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = add_group(parser)
    modules = [_MODULES[name] for name in called if name in _MODULES]
    for module in modules or _MODULES.values():
        import_module(f"trackerapi.cli.{module}").add_commands(commands)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
