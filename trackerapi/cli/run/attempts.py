"""Attempts to run the command: start, wait and report of each attempt."""

import os
import time

from trackerapi.cli.run.child import Child
from trackerapi.cli.run.programs import NotStarted, print_message
from trackerapi.cli.run.signals import Signals, exit_like_child

TYPE_CHECKING = False  # see `arguments`
if TYPE_CHECKING:
    from trackerapi.cli.run.arguments import RunArguments
    from trackerapi.cli.run.matcher import Matcher
    from trackerapi.cli.run.outcome import Outcome
    from trackerapi.cli.run.progress_pattern import Measure
    from trackerapi.cli.run.relay import Relays
    from trackerapi.cli.run.reporting import Reporting

_FIRST_WAIT_SECONDS = 1.0
_MAX_WAIT_SECONDS = 60.0
_MAX_DOUBLINGS = 16
_UNWRITTEN = 1 << 8
"""Wait status, as from `os.waitpid()`, for exit status 1 after a failed write."""


class Attempts:
    """Loop that runs the command until it succeeds, at most `--attempts` times.

    Args:
        arguments: Arguments of `trackerapi run`.
        job: Token or id of the job; an empty text disables reports.
    """

    def __init__(self, arguments: "RunArguments", job: str) -> None:
        self._arguments, self._job = arguments, job
        self._signals = Signals()
        self._reporting: Reporting | None = None
        self._matcher: Matcher | None = None

    def run(self) -> int:
        """Run all attempts; return the exit status.

        If a signal ended the command, the same signal ends this process.
        """
        number, outcome = 1, self._attempt()
        while outcome.may_be_repeated and number < self._arguments.attempts:
            if self._reporting is not None:
                self._reporting.retry(outcome)
            stop = self._signals.wait_until(lambda: False, _wait_seconds(number))
            if stop is None:
                number, outcome = number + 1, self._attempt()
            else:
                outcome = outcome.stopped_before_next(stop)
        self._report_end(outcome)
        return exit_like_child(outcome.status)

    def _attempt(self) -> "Outcome":
        """Run the command once; report its start, and return its outcome."""
        relays = self._relays()
        actions = relays.actions if relays else ()
        at, began = time.time(), time.monotonic()
        try:
            child = Child(self._arguments.command, self._signals, actions)
        except NotStarted as error:
            if relays:
                relays.abandon()
            return self._not_started(error, at)
        # The modules for reports are loaded after the command has started: their
        # imports would delay the start.
        self._report_begin(at)
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
                print_message(f"output cannot be written: {relays.loss}")
                # Without the relay, the write of the command itself would have failed.
                status = status or _UNWRITTEN
        from trackerapi.cli.run.outcome import Outcome

        return Outcome(
            status=status, seconds=seconds, received_signal=child.received_signal
        )

    def _not_started(self, error: NotStarted, at: float) -> "Outcome":
        """Print and report that the command could not be started."""
        from trackerapi.cli.run.outcome import Outcome

        print_message(error.reason)
        self._report_begin(at)
        return Outcome(status=error.status << 8, reason=error.reason)

    def _relays(self) -> "Relays | None":
        """Return the relays of the output; None if no progress can be reported."""
        arguments = self._arguments
        if arguments.progress is None or not self._job:
            return None
        from trackerapi.cli.run.matcher import Matcher
        from trackerapi.cli.run.relay import Relays

        if self._matcher is None:
            # Make the matcher before any thread starts: the matcher forks, and a lock
            # that another thread holds would stay locked in the child.
            try:
                self._matcher = Matcher(arguments.progress, self._count)
            except OSError as error:
                print_message(f"--progress: cannot read the output: {error.strerror}")
                return None
        return Relays(self._matcher, arguments.watch)

    def _count(self, measure: "Measure") -> None:
        if self._reporting is not None:
            self._reporting.count(measure)

    def _report_begin(self, at: float) -> None:
        """Report that an attempt began; the first call starts the reporting thread.

        Args:
            at: Start time of the attempt, in seconds since 1970.
        """
        if not self._job:
            return
        if self._reporting is None:
            from trackerapi.cli.run.reporting import Reporting

            self._reporting = Reporting(self._arguments, self._job)
        self._reporting.begin(at)

    def _report_end(self, outcome: "Outcome") -> None:
        """Report the last outcome; end the process if the delivery is too slow."""
        if self._reporting is None:
            return
        self._reporting.end(outcome)
        is_over = self._reporting.finish(self._signals)
        if not is_over and os.WIFEXITED(outcome.status):
            # A normal exit would wait for the reporting thread.
            os._exit(os.WEXITSTATUS(outcome.status))


def _wait_seconds(number: int) -> float:
    """Return the pause after attempt `number`: 1 s, doubled each time, at most 60 s."""
    # Bound the exponent first: 2.0**1024 raises OverflowError.
    doublings = min(number - 1, _MAX_DOUBLINGS)
    return min(_FIRST_WAIT_SECONDS * 2.0**doublings, _MAX_WAIT_SECONDS)


def _do_nothing() -> None:
    """Ignore a resized terminal: without a relay, the command sees the terminal."""
