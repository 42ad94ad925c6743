"""Board: the jobs that a process shows, and the thread that draws them.

Threads of the job only queue notes. The board's thread reads the notes, lays the jobs
out and draws them. Drawing uses at most a few percent of the running time, and errors
of the board's thread never reach the job.
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
from trackerapi.view.output import block_terminal_signals
from trackerapi.view.snapshot import WatchedJob

if TYPE_CHECKING:
    from trackerapi.jobs.state import JobState

LAST_SECONDS: Final = 0.5
"""Maximum wait for the final drawing of a tracker's jobs, in seconds."""

_PAUSE_SECONDS: Final = 0.05
_MAX_NOTES: Final = 10_000
_SHARE_OF_TIME: Final = 0.02

DeliverySource = Callable[[], DeliveryReport]
"""Function that returns the state of a tracker's delivery."""


class Display(Protocol):
    """Live view or plain lines; only the thread of the board calls its methods."""

    def show(
        self, jobs: Sequence[WatchedJob], delivery: DeliveryReport | None, at: float, /
    ) -> float:
        """Show jobs at a monotonic time; return the seconds until the next call."""
        ...

    def end(
        self, job: WatchedJob, delivery: DeliveryReport | None, at: float, /
    ) -> None:
        """Show the final state of a job."""
        ...

    def close(self) -> None:
        """Erase or finish the output; called once, at the end of the thread."""
        ...


_Watched = tuple[WatchedJob, DeliverySource]


class _Note(NamedTuple):
    """A queued event of a job."""

    job: WatchedJob


class _Ending(NamedTuple):
    """A queued end: of one tracker, or of the process if `source` is None."""

    source: DeliverySource | None
    has_been_shown: threading.Event


class Board:
    """Shows the jobs of all trackers of this process; a forked child shows nothing.

    Args:
        open_display: Function that returns the display; called in the board's thread
            when the first job reports.

    Attributes:
        last_seconds: Maximum wait of `end()` for the final drawing, in seconds.
    """

    def __init__(self, open_display: Callable[[], Display]) -> None:
        self._open_display = open_display
        self.last_seconds = LAST_SECONDS
        self._process_id = os.getpid()
        self._notes: queue.SimpleQueue[_Note | _Ending] = queue.SimpleQueue()
        self._jobs: dict[weakref.ref[JobState], _Watched] = {}
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._is_broken = self._is_hooked = False
        self._delivery = _Delivery()

    def note_event(
        self, job: "JobState", kind: str, tag: str | None, source: DeliverySource
    ) -> None:
        """Queue an event; never blocks, and may be called in a signal handler."""
        # Only the parent draws after a fork: a child would draw over its output.
        if self._is_broken or os.getpid() != self._process_id:
            return
        key = weakref.ref(job)
        found = self._jobs.get(key)
        if found is None:
            new = WatchedJob(job, tag, steady_seconds()), source
            # One atomic call, so that two threads get the same object.
            found = self._jobs.setdefault(key, new)
        if tag is not None and kind != "progress":
            # Read now: the job may have more progress when the board's thread runs.
            found[0].percents[tag] = job.progress.percent
        if self._notes.qsize() < _MAX_NOTES:
            self._notes.put(_Note(found[0]))
        if self._thread is None:
            self._start()

    def end(self, source: DeliverySource | None = None) -> None:
        """Show the final state of a tracker's jobs, or of all jobs, in bounded time."""
        if self._thread is None or os.getpid() != self._process_id:
            return
        ending = _Ending(source, threading.Event())
        self._notes.put(ending)
        ending.has_been_shown.wait(self.last_seconds)

    def _start(self) -> None:
        # Reentrant: a signal handler may report an event while its thread has the lock.
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
            except RuntimeError:  # The interpreter shuts down: no thread can start.
                self._thread = None

    def _run(self) -> None:
        try:
            block_terminal_signals()
            self._show_all(self._open_display())
        except Exception as error:  # noqa: BLE001 - no error may reach the job
            self._is_broken = True
            log(logging.DEBUG, f"progress is not shown any more: {error!r}")

    def _show_all(self, display: Display) -> None:
        endings: list[_Ending] = []
        try:
            wait = 0.0
            while True:
                for note in self._next_notes(wait):
                    self._apply(note, endings)
                wait = self._refresh(display, endings)
                # Under the lock: a later note then sees no thread and starts a new one.
                with self._lock:
                    if not self._live_jobs() and self._notes.empty():
                        self._thread = None
                        return
                _confirm(endings)
                # Pause: without it, a job that reports in a tight loop would have to
                # share the processor with the drawing.
                pause(_PAUSE_SECONDS)
        finally:
            display.close()
            _confirm(endings)

    def _next_notes(self, wait: float) -> list[_Note | _Ending]:
        """Return the queued notes; wait at most `wait` seconds for the first note."""
        notes: list[_Note | _Ending] = []
        with suppress(queue.Empty):
            notes.append(self._notes.get(timeout=max(wait, 0.0)))
            while len(notes) < _MAX_NOTES:
                notes.append(self._notes.get_nowait())
        return notes

    def _apply(self, note: _Note | _Ending, endings: list[_Ending]) -> None:
        """Update the job of an event, or append an end to `endings`."""
        if isinstance(note, _Ending):
            endings.append(note)
        else:
            note.job.note_event()

    def _refresh(self, display: Display, endings: Sequence[_Ending]) -> float:
        """Draw the current state; return the seconds until the next drawing."""
        at = steady_seconds()
        delivery = self._delivery.newest({source for _, source in self._live_jobs()})
        ended = {ending.source for ending in endings}
        for job, source in self._live_jobs():
            is_abandoned = job.is_gone or None in ended or source in ended
            if job.is_over or is_abandoned:
                display.end(job, delivery, at)
                job.has_ended = True
        for key in [key for key in list(self._jobs) if key() is None]:
            self._jobs.pop(key, None)
        return display.show([job for job, _ in self._live_jobs()], delivery, at)

    def _live_jobs(self) -> list[_Watched]:
        return [found for found in list(self._jobs.values()) if not found[0].has_ended]


class _Delivery:
    """State of the delivery of all trackers, read at most every second.

    A slow read makes the pause before the next read longer: reads use at most 2 % of
    the time.
    """

    def __init__(self) -> None:
        self._newest: DeliveryReport | None = None
        self._next_at = 0.0

    def newest(self, sources: Iterable[DeliverySource]) -> DeliveryReport | None:
        """Return the sum of the delivery reports; the sum may be seconds old."""
        began = steady_seconds()
        if began >= self._next_at:
            with suppress(Exception):  # Another process may archive a file now.
                self._newest = _sum_of([source() for source in sources])
            spent = steady_seconds() - began
            self._next_at = began + max(spent / _SHARE_OF_TIME, 1.0)
        return self._newest


def _sum_of(reports: Sequence[DeliveryReport]) -> DeliveryReport | None:
    """Return one report with the summed counts; None if `reports` is empty."""
    if len(reports) < 2:
        return reports[0] if reports else None
    errors = [report.last_error for report in reports if report.last_error]
    return DeliveryReport(
        delivered=sum(report.delivered for report in reports),
        waiting=sum(report.waiting for report in reports),
        held=sum(report.held for report in reports),
        last_error=errors[0] if errors else None,
    )


def _confirm(endings: list[_Ending]) -> None:
    for ending in endings:
        ending.has_been_shown.set()
    endings.clear()
