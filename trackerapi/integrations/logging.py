"""Handler of `logging` that turns log records into lines of the job's timeline.

The audience of the lines is the provider, or the customer too if `audience` says so.
Records of this library and its threads are omitted: a report must not cause a report.
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

MAX_A_SECOND: Final = 10
"""Maximum number of lines of a job in a second; further records are only counted."""

AUDIENCES: Final = ("provider", "customer")

_OURS: Final = "trackerapi"
_MESSAGE_ONLY: Final = logging.Formatter()
_FULL: Final = logging.Formatter("%(levelname)s %(name)s: %(message)s")


class TrackerHandler(logging.Handler):
    """Report log records as `info` lines of a job or step.

    At most 10 records a second become lines of one job; a further line gives the number
    of omitted records.
    `Handler.handleError()` prints an error of the handler; the error never reaches the
    job.

    Args:
        job: Handle of the job; None for the current job of the logging code. Records
            without a job are dropped.
        step: Tag or display name of the step; None for the current step of the logging
            code.
        level: Minimum level of a record, as in `logging`; INFO by default.
        audience: `"provider"`, or `"customer"`: the customer gets the message only and
            never a traceback.
        filter: Function that returns whether a record becomes a line; None for all.

    Raises:
        TypeError: If `filter` is not callable.
        ValueError: If `audience` or `level` does not exist.

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
        self._counts: weakref.WeakKeyDictionary[TrackerJob, _RateCount]
        self._counts = weakref.WeakKeyDictionary()
        # Jobs with a pending line about omitted records. The references are strong: the
        # line needs the job.
        self._pending: set[TrackerJob] = set()
        self._emitting = threading.local()
        self._is_hooked = False
        self.addFilter(_is_foreign)
        if filter is not None:
            self.addFilter(filter)

    def emit(self, record: logging.LogRecord) -> None:
        """Report a record; called by `logging`."""
        # A report may log, for example in `before_send`: such a record is ignored.
        if getattr(self._emitting, "is_active", False):
            return
        self._emitting.is_active = True
        try:
            self._report(record)
        except Exception:  # noqa: BLE001 - a broken record must not stop the job
            self.handleError(record)
        finally:
            self._emitting.is_active = False

    def flush(self) -> None:
        """Report the number of omitted records since the last line."""
        self.acquire()
        try:
            self._report_omitted()
        except TrackerError:
            pass  # With `strict`, an unwritable outbox raises. The log has the error.
        finally:
            self.release()

    def close(self) -> None:
        """Report the number of omitted records, and close the handler."""
        self.flush()
        atexit.unregister(self.flush)
        super().close()

    def _report(self, record: logging.LogRecord) -> None:
        job, step = self._job_and_step()
        if job is None:
            return
        counts, now = self._counts.setdefault(job, _RateCount()), steady_seconds()
        self._report_omitted(before=now - 1)
        if not counts.admits(now):
            self._pending.add(job)
            if not self._is_hooked:
                # Python calls exit hooks in reverse order. This hook is registered
                # after the exit hook of delivery, so Python calls this hook first.
                self._is_hooked = True
                atexit.register(self.flush)
            return
        if self._audience == "customer":
            text, detail = self._without_traceback(record), _traceback_of(record)
            job.send_event(kind="info", name=step, message=text, detail=detail)
        else:
            text = (self.formatter or _FULL).format(record)
            job.send_event(kind="info", name=step, detail=text)

    def _job_and_step(self) -> "tuple[TrackerJob | None, str | None]":
        """Return the job of a record, and the tag of its step."""
        blocks = current_blocks()
        around = blocks[-1].job if blocks else None
        step = blocks[-1].step if blocks else None
        job = around if self._job is None else self._job
        if self._step is not None or step is None or job is not around:
            return job, self._step
        return job, step.tag

    def _report_omitted(self, before: float = math.inf) -> None:
        """Report omitted records of the seconds that began before a monotonic time."""
        for job in [job for job in self._pending if self._counts[job].began <= before]:
            self._pending.discard(job)
            counts = self._counts[job]
            count, counts.omitted = counts.omitted, 0
            records = "log record was" if count == 1 else "log records were"
            text = f"{count:,} {records} left out: more than {MAX_A_SECOND} a second"
            job.send_event(kind="info", detail=text)

    def _without_traceback(self, record: logging.LogRecord) -> str:
        """Return a record as text without its traceback."""
        bare = copy.copy(record)
        bare.exc_info = bare.exc_text = bare.stack_info = None
        return (self.formatter or _MESSAGE_ONLY).format(bare)


class _RateCount:
    """Counts of a job's records in the current second.

    Attributes:
        began: Begin of the second, in monotonic seconds.
        omitted: Number of omitted records that no line has reported yet.
    """

    def __init__(self) -> None:
        self.began, self._count = -math.inf, 0
        self.omitted = 0

    def admits(self, at: float) -> bool:
        """Count a record; return whether it becomes a line."""
        if at - self.began >= 1:
            self.began, self._count = at, 0
        self._count += 1
        if self._count > MAX_A_SECOND:
            self.omitted += 1
            return False
        return True


def _traceback_of(record: logging.LogRecord) -> str | None:
    return diagnosis(record.exc_info[1]) if record.exc_info else None


def _is_foreign(record: logging.LogRecord) -> bool:
    """Return whether a record comes from the job, not from this library."""
    is_ours = record.name.partition(".")[0] == _OURS
    return not is_ours and not (record.threadName or "").startswith(f"{_OURS}-")
