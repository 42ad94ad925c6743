"""Plain lines for a log: a line for each status change, and a line at intervals."""

from collections.abc import Sequence
from typing import Final

from trackerapi.delivery.report import DeliveryReport
from trackerapi.events.projection import ALIVE
from trackerapi.view import lines
from trackerapi.view.output import Output
from trackerapi.view.snapshot import JobSnapshot, StepSnapshot, WatchedJob

MAX_CHANGES: Final = 5
"""Maximum number of step changes with a line each; more changes share one line."""

MAX_LINES_A_SECOND: Final = 20
"""Maximum number of lines a second, on average; more changes wait for a later call."""

_PRINTED_STATUSES: Final = frozenset(
    {"running", "waiting", "done", "failed", "skipped"}
)
_PREFIX: Final = "trackerapi: "


class _Printed:
    """State of a job at its latest printed line.

    Attributes:
        statuses: Statuses of the steps, by tag.
        next_at: Monotonic time of the next line if no status changes, in seconds.
    """

    def __init__(self, statuses: dict[str, str], next_at: float) -> None:
        self.statuses, self.next_at = statuses, next_at


class PlainLines:
    """Writes lines about jobs, at most 20 a second on average.

    Args:
        output: Stream of the lines.
        seconds: Seconds between lines about a job while no status changes.
    """

    def __init__(self, output: Output, seconds: float) -> None:
        self._output, self._seconds = output, seconds
        self._printed: dict[WatchedJob, _Printed] = {}
        self._room, self._filled_at = float(MAX_LINES_A_SECOND), float("-inf")
        self._unprinted_ends = 0

    def show(
        self, jobs: Sequence[WatchedJob], delivery: DeliveryReport | None, at: float
    ) -> float:
        """Print changes and due lines; return the seconds until the next call."""
        self._refill(at)
        self._print_ends()
        wait = self._seconds
        for job in jobs:
            snapshot = job.snapshot(at)
            if self._room < 1:
                return 1.0
            printed = self._print_changes(job, snapshot, at)
            if at >= printed.next_at:
                printed.next_at = at + self._seconds
                if snapshot.status in ALIVE:
                    self._print(lines.progress_line(snapshot, delivery))
            wait = min(wait, printed.next_at - at)
        return wait

    def end(self, job: WatchedJob, delivery: DeliveryReport | None, at: float) -> None:
        """Print the last changes of a job, and its end unless the job is alive."""
        self._refill(at)
        snapshot = job.snapshot(at)
        if self._room < 1:
            self._printed.pop(job, None)
            self._unprinted_ends += 1
            return
        self._print_changes(job, snapshot, at)
        self._printed.pop(job, None)
        if snapshot.status not in ALIVE:
            self._print(lines.end_line(snapshot, delivery))

    def close(self) -> None:
        """Print a line for the ends that the rate limit has delayed."""
        self._room = 1.0
        self._print_ends()

    def _print_changes(
        self, job: WatchedJob, snapshot: JobSnapshot, at: float
    ) -> _Printed:
        printed = self._printed.get(job)
        if printed is None:
            printed = _Printed(dict(job.before), at + self._seconds)
            self._printed[job] = printed
            if snapshot.status in ALIVE:
                self._print(lines.begin_line(snapshot))
        changed = [one for one in snapshot.steps if _is_new(one, printed.statuses)]
        if not changed:
            return printed
        printed.statuses.update((step.tag, step.status) for step in changed)
        printed.next_at = at + self._seconds
        if len(changed) > MAX_CHANGES:
            self._print(lines.changes_line(snapshot, len(changed)))
        else:
            for step in changed:
                self._print(lines.change_line(snapshot, step))
        return printed

    def _print_ends(self) -> None:
        if self._unprinted_ends and self._room >= 1:
            self._print(f"{self._unprinted_ends:,} more jobs have ended")
            self._unprinted_ends = 0

    def _refill(self, at: float) -> None:
        grown = (at - self._filled_at) * MAX_LINES_A_SECOND
        self._room = min(self._room + grown, float(MAX_LINES_A_SECOND))
        self._filled_at = at

    def _print(self, line: str) -> None:
        self._room -= 1
        self._output.write(f"{_PREFIX}{line}\n")


def _is_new(step: StepSnapshot, printed: dict[str, str]) -> bool:
    return step.status in _PRINTED_STATUSES and step.status != printed.get(step.tag)
