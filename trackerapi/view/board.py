"""The jobs that a process shows, and the thread that looks at them.

Job threads only leave a note; all reading, laying out and writing is done by one
thread, which takes little of the interpreter's time, and whose trouble is its own.
"""

import atexit
import logging
import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from trackerapi.delivery.report import DeliveryReport
from trackerapi.problems import log
from trackerapi.process.clock import pause, steady_seconds
from trackerapi.view.output import leave_signals_alone
from trackerapi.view.snapshot import Sight

if TYPE_CHECKING:
    from trackerapi.jobs.sending import EventSender

LAST_SECONDS: Final = 0.5
"""Longest that last words ever take."""

_PAUSE_SECONDS: Final = 0.05
_MOST_NOTES: Final = 10_000
_SHARE_OF_TIME: Final = 0.02

Source = Callable[[], DeliveryReport]
"""Tells how far the delivery of a tracker is."""


class Display(Protocol):
    """Shows jobs; used by one thread."""

    def show(
        self, sights: Sequence[Sight], delivery: DeliveryReport | None, at: float, /
    ) -> float:
        """Show jobs at a monotonic time; return the seconds until it is due again."""
        ...

    def end(self, sight: Sight, delivery: DeliveryReport | None, at: float, /) -> None:
        """Show the last of a job."""
        ...

    def close(self) -> None:
        """Show nothing any more."""
        ...


class _Note(NamedTuple):
    """An event that a job has reported."""

    sight: Sight
    kind: str
    tag: str | None


class _Ending(NamedTuple):
    """The end of a tracker, or of the process where `source` is None."""

    source: Source | None
    is_shown: threading.Event


class Board:
    """Shows the jobs of all trackers of this process; a forked child shows nothing.

    Args:
        opened: Returns what shows; called in the thread, when there is something.

    Attributes:
        last_seconds: Longest that the end of a tracker or process waits for the last
            words.
    """

    def __init__(self, opened: Callable[[], Display]) -> None:
        self._opened = opened
        self.last_seconds = LAST_SECONDS
        self._process_id = os.getpid()
        self._notes: queue.SimpleQueue[_Note | _Ending] = queue.SimpleQueue()
        self._sights: dict[weakref.ref[EventSender], tuple[Sight, Source]] = {}
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._is_broken = self._is_hooked = False
        self._delivery = _Delivery()

    def saw(
        self, job: "EventSender", kind: str, tag: str | None, source: Source
    ) -> None:
        """Note an event; never waits, and may be called in a signal handler."""
        if self._is_broken or os.getpid() != self._process_id:
            return
        key = weakref.ref(job)
        seen = self._sights.get(key)
        if seen is None:
            new = Sight(job, tag, steady_seconds()), source
            seen = self._sights.setdefault(key, new)
        if tag is not None and kind != "progress":
            # Here and not in the thread, for which the moment may be long over.
            seen[0].percents[tag] = job.progress.percent
        if self._notes.qsize() < _MOST_NOTES:
            self._notes.put(_Note(seen[0], kind, tag))
        if self._thread is None:
            self._start()

    def end(self, source: Source | None = None) -> None:
        """Show the last of a tracker's jobs, or of all, in bounded time."""
        if self._thread is None or os.getpid() != self._process_id:
            return
        ending = _Ending(source, threading.Event())
        self._notes.put(ending)
        ending.is_shown.wait(self.last_seconds)

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            if not self._is_hooked:
                self._is_hooked = True
                atexit.register(self.end)
            self._thread = threading.Thread(
                target=self._run, name="trackerapi-view", daemon=True
            )
            try:
                self._thread.start()
            except RuntimeError:  # at the end of the interpreter
                self._thread = None

    def _run(self) -> None:
        try:
            leave_signals_alone()
            self._show_all(self._opened())
        except Exception as error:  # noqa: BLE001 - whatever it is, the job goes on
            self._is_broken = True
            log(logging.DEBUG, f"progress is not shown any more: {error!r}")

    def _show_all(self, display: Display) -> None:
        endings: list[_Ending] = []
        try:
            wait = 0.0
            while True:
                for note in self._taken(wait):
                    self._take(note, endings)
                wait = self._turn(display, endings)
                with self._lock:
                    if not self._shown() and self._notes.empty():
                        self._thread = None
                        return
                _release(endings)
                # Not at once: what reports without a pause is to have the processor.
                pause(_PAUSE_SECONDS)
        finally:
            display.close()
            _release(endings)

    def _taken(self, wait: float) -> list[_Note | _Ending]:
        """Return what was noted, after a wait in seconds for the first."""
        taken: list[_Note | _Ending] = []
        with suppress(queue.Empty):
            taken.append(self._notes.get(timeout=max(wait, 0.0)))
            while len(taken) < _MOST_NOTES:
                taken.append(self._notes.get_nowait())
        return taken

    def _take(self, note: _Note | _Ending, endings: list[_Ending]) -> None:
        if isinstance(note, _Ending):
            endings.append(note)
        else:
            note.sight.hear(note.kind, note.tag)

    def _turn(self, display: Display, endings: Sequence[_Ending]) -> float:
        """Show what is so now; return the seconds until it is due again."""
        at = steady_seconds()
        delivery = self._delivery.newest({source for _, source in self._shown()})
        ended = {ending.source for ending in endings}
        for sight, source in self._shown():
            is_left = sight.is_gone or None in ended or source in ended
            if sight.is_over or is_left:
                display.end(sight, delivery, at)
                sight.has_ended = True
        for key in [key for key in list(self._sights) if key() is None]:
            self._sights.pop(key, None)
        return display.show([sight for sight, _ in self._shown()], delivery, at)

    def _shown(self) -> list[tuple[Sight, Source]]:
        return [seen for seen in list(self._sights.values()) if not seen[0].has_ended]


class _Delivery:
    """Asks deliveries how far they are, no more often than what it costs allows."""

    def __init__(self) -> None:
        self._newest: DeliveryReport | None = None
        self._next_at = 0.0

    def newest(self, sources: Iterable[Source]) -> DeliveryReport | None:
        """Return how far some deliveries are, together, as of a moment ago."""
        began = steady_seconds()
        if began >= self._next_at:
            with suppress(Exception):  # files that the courier puts away meanwhile
                self._newest = _together([source() for source in sources])
            spent = steady_seconds() - began
            self._next_at = began + max(spent / _SHARE_OF_TIME, 1.0)
        return self._newest


def _together(reports: Sequence[DeliveryReport]) -> DeliveryReport | None:
    if len(reports) < 2:
        return reports[0] if reports else None
    errors = [report.last_error for report in reports if report.last_error]
    return DeliveryReport(
        delivered=sum(report.delivered for report in reports),
        waiting=sum(report.waiting for report in reports),
        held=sum(report.held for report in reports),
        last_error=errors[0] if errors else None,
    )


def _release(endings: list[_Ending]) -> None:
    for ending in endings:
        ending.is_shown.set()
    endings.clear()
