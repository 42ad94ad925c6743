"""A handler of `logging` that turns chosen records into lines of the job's timeline.

They are the provider's unless the author says otherwise. Records of this library, and
of its threads, are left out: a report must not cause the next one.
"""

import atexit
import copy
import logging
import math
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal

from trackerapi.errors import TrackerError
from trackerapi.jobs.current import current_blocks
from trackerapi.jobs.endings import diagnosis
from trackerapi.process.clock import steady_seconds

if TYPE_CHECKING:
    from trackerapi.jobs.job import TrackerJob

__all__ = ["TrackerHandler"]

MOST_A_SECOND: Final = 10
"""Records of a job that become lines within a second; others are counted."""

AUDIENCES: Final = ("provider", "customer")

_OURS: Final = "trackerapi"
_WORDS: Final = logging.Formatter()
_FULL: Final = logging.Formatter("%(levelname)s %(name)s: %(message)s")


class TrackerHandler(logging.Handler):
    """Report log records as `info` lines of a job, or of a step of it.

    At most 10 records a second and job become lines; a line says how many were left
    out. What goes wrong here is told as `logging` tells it, and raises nothing.

    Args:
        job: Handle of the job; None takes the one whose block runs the code that logs.
            Records outside of any job are dropped.
        step: Tag or display name of the step; None takes the one whose block runs the
            code that logs.
        level: Least level of a record, as `logging` has it; INFO by default.
        audience: Who reads the lines: `"provider"`, or `"customer"`, who reads the
            message alone and never a traceback.
        filter: Returns whether a record becomes a line; None takes all.

    Raises:
        TypeError: If `filter` is not callable.
        ValueError: If `audience` or `level` is none.

    Example:
        logging.getLogger("my_pipeline").addHandler(TrackerHandler())
    """

    def __init__(
        self,
        job: "TrackerJob | None" = None,
        step: str | None = None,
        level: int | str = logging.INFO,
        *,
        audience: Literal["provider", "customer"] = "provider",
        filter: Callable[[logging.LogRecord], bool] | logging.Filter | None = None,  # noqa: A002 - logging's word
    ) -> None:
        if audience not in AUDIENCES:
            raise ValueError(f"audience must be one of {AUDIENCES}, got {audience!r}")
        if not (filter is None or callable(filter) or hasattr(filter, "filter")):
            raise TypeError(f"filter must be callable, got {type(filter).__name__}")
        super().__init__(level)
        self._job, self._step, self._audience = job, step, audience
        self._flows: weakref.WeakKeyDictionary[TrackerJob, _Flow]
        self._flows = weakref.WeakKeyDictionary()
        # Those that something has to be told of; held until it is.
        self._untold: set[TrackerJob] = set()
        self._emitting = threading.local()
        self._is_hooked = False
        self.addFilter(_is_foreign)
        if filter is not None:
            self.addFilter(filter)

    def emit(self, record: logging.LogRecord) -> None:
        """Report a record; called by `logging`."""
        # What a report makes somebody log must not become a report.
        if getattr(self._emitting, "is_so", False):
            return
        self._emitting.is_so = True
        try:
            self._report(record)
        except Exception:  # noqa: BLE001 - a broken record must not stop the job
            self.handleError(record)
        finally:
            self._emitting.is_so = False

    def flush(self) -> None:
        """Say how many records were left out since the last line."""
        self.acquire()
        try:
            self._tell_left_out()
        except TrackerError:
            pass  # strict, and the outbox cannot be written, as it has told
        finally:
            self.release()

    def close(self) -> None:
        """Say what was left out, and take no records any more."""
        self.flush()
        atexit.unregister(self.flush)
        super().close()

    def _report(self, record: logging.LogRecord) -> None:
        job, step = self._job_and_step()
        if job is None:
            return
        flow, now = self._flows.setdefault(job, _Flow()), steady_seconds()
        self._tell_left_out(before=now - 1)
        if not flow.takes(now):
            self._untold.add(job)
            if not self._is_hooked:
                # Later than delivery has, and so called before it ends.
                self._is_hooked = True
                atexit.register(self.flush)
            return
        if self._audience == "customer":
            text, detail = self._words_alone(record), _traceback_of(record)
            job.send_event(kind="info", name=step, message=text, detail=detail)
        else:
            text = (self.formatter or _FULL).format(record)
            job.send_event(kind="info", name=step, detail=text)

    def _job_and_step(self) -> "tuple[TrackerJob | None, str | None]":
        """Return the job that a record belongs to, and the tag of its step."""
        blocks = current_blocks()
        around = blocks[-1].job if blocks else None
        step = blocks[-1].step if blocks else None
        job = around if self._job is None else self._job
        if self._step is not None or step is None or job is not around:
            return job, self._step
        return job, step.tag

    def _tell_left_out(self, before: float = math.inf) -> None:
        """Tell of records that were left out in seconds that began before a time."""
        for job in [job for job in self._untold if self._flows[job].began <= before]:
            self._untold.discard(job)
            flow = self._flows[job]
            count, flow.left_out = flow.left_out, 0
            records = "log record was" if count == 1 else "log records were"
            text = f"{count:,} {records} left out: more than {MOST_A_SECOND} a second"
            job.send_event(kind="info", detail=text)

    def _words_alone(self, record: logging.LogRecord) -> str:
        """Return a record as text without its traceback."""
        bare = copy.copy(record)
        bare.exc_info = bare.exc_text = bare.stack_info = None
        return (self.formatter or _WORDS).format(bare)


class _Flow:
    """How many records of a job became lines, and how many did not.

    Attributes:
        began: When the second that it counts in began; monotonic.
        left_out: Records that were left out and not told yet.
    """

    def __init__(self) -> None:
        self.began, self._count = -math.inf, 0
        self.left_out = 0

    def takes(self, at: float) -> bool:
        """Tell whether a record at a monotonic time becomes a line; count it."""
        if at - self.began >= 1:
            self.began, self._count = at, 0
        self._count += 1
        if self._count > MOST_A_SECOND:
            self.left_out += 1
            return False
        return True


def _traceback_of(record: logging.LogRecord) -> str | None:
    return diagnosis(record.exc_info[1]) if record.exc_info else None


def _is_foreign(record: logging.LogRecord) -> bool:
    """Tell whether a record comes from the job, not from this library."""
    is_ours = record.name.partition(".")[0] == _OURS
    return not is_ours and not (record.threadName or "").startswith(f"{_OURS}-")
