"""Entry of `trackerapi run`: the command replaces this process, or runs as a child."""

import os
import signal

from trackerapi.cli.run import programs

TYPE_CHECKING = False  # see `arguments`
if TYPE_CHECKING:
    from trackerapi.cli.run.arguments import RunArguments

_JOB = "TRACKERAPI_JOB"
_MODE = "TRACKERAPI_MODE"


def run(arguments: "RunArguments") -> int:
    """Run the command; return its exit status.

    Without a job and with one attempt, the command replaces this process. If a signal
    ends the command, the same signal ends this process.
    """
    programs.restore_locale()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Python would print a traceback for Ctrl-C before the command has started.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    is_off = os.environ.get(_MODE, "").strip().lower() == "off"
    job = "" if is_off else (arguments.job or os.environ.get(_JOB, "")).strip()
    if not job and not is_off:
        programs.print_message(f"no job: set {_JOB} or pass --job; nothing is reported")
    if not job and arguments.attempts == 1:
        try:
            return programs.exec_command(arguments.command)
        except programs.NotStarted as error:
            programs.print_message(error.reason)
            return error.status
    from trackerapi.cli.run.attempts import Attempts

    return Attempts(arguments, job).run()
