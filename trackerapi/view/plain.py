"""Lines for a log: one at each change of a step, and one from time to time."""

from collections.abc import Sequence
from typing import Final

from trackerapi.delivery.report import DeliveryReport
from trackerapi.events.projection import ALIVE
from trackerapi.view import lines
from trackerapi.view.output import Output
from trackerapi.view.snapshot import JobView, Sight, StepView

MOST_CHANGES: Final = 5
"""Steps of a job that get a line each when they change at once."""

MOST_LINES_A_SECOND: Final = 20
"""Beyond it, changes wait and are told together."""

_SAID: Final = frozenset({"running", "waiting", "done", "failed", "skipped"})
_PREFIX: Final = "trackerapi: "


class _Told:
    """What was said of a job.

    Attributes:
        statuses: Of the steps, by tag.
        next_at: When the next line is due if nothing changes.
    """

    def __init__(self, statuses: dict[str, str], next_at: float) -> None:
        self.statuses, self.next_at = statuses, next_at


class PlainLines:
    """Writes lines about jobs; never more than a reader of a log can bear.

    Args:
        output: Where to.
        seconds: Between two lines about a job of which nothing has changed but counts.
    """

    def __init__(self, output: Output, seconds: float) -> None:
        self._output, self._seconds = output, seconds
        self._told: dict[Sight, _Told] = {}
        self._room, self._filled_at = float(MOST_LINES_A_SECOND), float("-inf")
        self._untold_ends = 0

    def show(
        self, sights: Sequence[Sight], delivery: DeliveryReport | None, at: float
    ) -> float:
        """Say what is new; return the seconds until there may be something again."""
        self._refill(at)
        self._tell_ends()
        wait = self._seconds
        for sight in sights:
            view = sight.look(at)
            if self._room < 1:
                return 1.0
            told = self._tell_changes(sight, view, at)
            if at >= told.next_at:
                told.next_at = at + self._seconds
                if view.status in ALIVE:
                    self._say(lines.progress_line(view, delivery))
            wait = min(wait, told.next_at - at)
        return wait

    def end(self, sight: Sight, delivery: DeliveryReport | None, at: float) -> None:
        """Say how a job ended; nothing if it is only seen no more."""
        self._refill(at)
        view = sight.look(at)
        if self._room < 1:
            self._told.pop(sight, None)
            self._untold_ends += 1
            return
        self._tell_changes(sight, view, at)
        self._told.pop(sight, None)
        if view.status not in ALIVE:
            self._say(lines.end_line(view, delivery))

    def close(self) -> None:
        """Say what was kept back."""
        self._room = 1.0
        self._tell_ends()

    def _tell_changes(self, sight: Sight, view: JobView, at: float) -> _Told:
        told = self._told.get(sight)
        if told is None:
            told = self._told[sight] = _Told(dict(sight.before), at + self._seconds)
            if view.status in ALIVE:
                self._say(lines.begin_line(view))
        changed = [step for step in view.steps if _is_news(step, told.statuses)]
        if not changed:
            return told
        told.statuses.update((step.tag, step.status) for step in changed)
        told.next_at = at + self._seconds
        if len(changed) > MOST_CHANGES:
            self._say(lines.changes_line(view, len(changed)))
        else:
            for step in changed:
                self._say(lines.change_line(view, step))
        return told

    def _tell_ends(self) -> None:
        if self._untold_ends and self._room >= 1:
            self._say(f"{self._untold_ends:,} jobs more have ended")
            self._untold_ends = 0

    def _refill(self, at: float) -> None:
        grown = (at - self._filled_at) * MOST_LINES_A_SECOND
        self._room = min(self._room + grown, float(MOST_LINES_A_SECOND))
        self._filled_at = at

    def _say(self, line: str) -> None:
        self._room -= 1
        self._output.write(f"{_PREFIX}{line}\n")


def _is_news(step: StepView, told: dict[str, str]) -> bool:
    return step.status in _SAID and step.status != told.get(step.tag)
