"""`trackerapi run`: the command as it was meant, and what is told of it."""

import os
import signal

from trackerapi.cli.run import programs

TYPE_CHECKING = False  # see `order`
if TYPE_CHECKING:
    from trackerapi.cli.run.arguments import Order

_JOB = "TRACKERAPI_JOB"
_MODE = "TRACKERAPI_MODE"


def run(order: "Order") -> int:
    """Run the command; return its exit status.

    Where a signal ends it, the same one ends this process.
    """
    programs.undo_changes_of_python()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Until the command has begun there is nothing that Ctrl-C must not end.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    is_off = os.environ.get(_MODE, "").strip().lower() == "off"
    job = "" if is_off else (order.job or os.environ.get(_JOB, "")).strip()
    if not job and not is_off:
        programs.tell(f"no job: set {_JOB} or pass --job; nothing is reported")
    if not job and order.attempts == 1:
        try:
            return programs.become(order.command)
        except programs.NotStarted as error:
            programs.tell(error.reason)
            return error.status
    from trackerapi.cli.run.attempts import Attempts

    return Attempts(order, job).run()
