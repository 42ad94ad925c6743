"""Attempts at a command: started, looked after, told, and ended as it ended."""

import os
import time

from trackerapi.cli.run.child import Child
from trackerapi.cli.run.programs import NotStarted, tell
from trackerapi.cli.run.signals import Signals, leave_as

TYPE_CHECKING = False  # see `order`
if TYPE_CHECKING:
    from trackerapi.cli.run.arguments import Order
    from trackerapi.cli.run.matcher import Matcher
    from trackerapi.cli.run.outcome import Outcome
    from trackerapi.cli.run.progress_pattern import Measure
    from trackerapi.cli.run.relay import Relays
    from trackerapi.cli.run.reporting import Reporting

_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
_MAX_DOUBLINGS = 16
_UNWRITTEN = 1 << 8
"""What `os.waitpid()` says of a command that ends with 1."""


class Attempts:
    """Runs a command, again if it fails and that is wanted.

    Args:
        order: What is wanted.
        job: Token or id of the job; blank to report nothing.
    """

    def __init__(self, order: "Order", job: str) -> None:
        self._order, self._job = order, job
        self._signals = Signals()
        self._reporting: Reporting | None = None
        self._matcher: Matcher | None = None

    def run(self) -> int:
        """Run it; return its exit status, or end by the signal that ended it."""
        number, outcome = 1, self._attempt()
        while outcome.may_be_repeated and number < self._order.attempts:
            if self._reporting is not None:
                self._reporting.retry(number, outcome)
            stop = self._signals.wait_until(lambda: False, _wait_seconds(number))
            if stop is None:
                number, outcome = number + 1, self._attempt()
            else:
                outcome = outcome.stopped_before_next(stop)
        self._tell_end(outcome)
        return leave_as(outcome.status)

    def _attempt(self) -> "Outcome":
        """Run it once."""
        relays = self._relays()
        actions = relays.actions if relays else ()
        at, began = time.time(), time.monotonic()
        try:
            child = Child(self._order.command, self._signals, actions)
        except NotStarted as error:
            if relays:
                relays.abandon()
            return self._not_started(error, at)
        # What is not needed before is loaded while the command runs.
        self._tell_begin(at)
        if relays and self._matcher:
            self._matcher.start()
            relays.start()
        status = child.wait(relays.resize if relays else _do_nothing)
        seconds = time.monotonic() - began
        if relays:
            relays.finish(self._signals)
            if self._matcher:
                self._matcher.finish(self._signals)
            if relays.loss is not None:
                tell(f"output cannot be written: {relays.loss}")
                # It wrote to a pipe, and would have failed where that leads to.
                status = status or _UNWRITTEN
        from trackerapi.cli.run.outcome import Outcome

        return Outcome(status=status, seconds=seconds, stopped_by=child.stopped_by)

    def _not_started(self, error: NotStarted, at: float) -> "Outcome":
        from trackerapi.cli.run.outcome import Outcome

        tell(error.reason)
        self._tell_begin(at)
        return Outcome(status=error.status << 8, reason=error.reason)

    def _relays(self) -> "Relays | None":
        """Return what looks at the output; None if nobody wants to know."""
        order = self._order
        if order.progress is None or not self._job:
            return None
        from trackerapi.cli.run.matcher import Matcher
        from trackerapi.cli.run.relay import Relays

        if self._matcher is None:
            # Before there are threads: it is forked.
            try:
                self._matcher = Matcher(order.progress, self._count)
            except OSError as error:
                tell(f"--progress: cannot look at the output: {error.strerror}")
                return None
        return Relays(self._matcher, order.watch)

    def _count(self, measure: "Measure") -> None:
        if self._reporting is not None:
            self._reporting.count(measure)

    def _tell_begin(self, at: float) -> None:
        if not self._job:
            return
        if self._reporting is None:
            from trackerapi.cli.run.reporting import Reporting

            self._reporting = Reporting(self._order, self._job)
        self._reporting.begin(at)

    def _tell_end(self, outcome: "Outcome") -> None:
        if self._reporting is None:
            return
        self._reporting.end(outcome)
        is_over = self._reporting.finish(self._signals)
        if not is_over and os.WIFEXITED(outcome.status):
            # What holds the reports would hold an orderly end for as long.
            os._exit(os.WEXITSTATUS(outcome.status))


def _wait_seconds(number: int) -> float:
    # Bound the exponent first: 2.0**1024 raises OverflowError.
    doublings = min(number - 1, _MAX_DOUBLINGS)
    return min(_FIRST_WAIT_SECONDS * 2.0**doublings, _LONGEST_WAIT_SECONDS)


def _do_nothing() -> None:
    """Take a new size of the terminal where nobody stands before it."""
