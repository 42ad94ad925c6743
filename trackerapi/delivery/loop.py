"""Delivery loop: a thread that runs delivery passes, and decides when a pass begins.

While all records are delivered, the thread sleeps; the next record wakes the thread and
is sent immediately. While more records follow, the thread waits `LINGER_SECONDS`
between passes, so that records share batches. After a failure it backs off
exponentially.
"""

import logging
import sys
import threading
from collections.abc import Callable
from typing import Final

from trackerapi.delivery.passes import (
    LEFTOVER_SEARCH_SECONDS,
    DeliveryParts,
    DeliveryPasses,
)
from trackerapi.errors import (
    AuthenticationError,
    BackendError,
    BackendUnavailable,
)
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.records import MAX_BATCH_BYTES
from trackerapi.outbox.thinning import thin_out
from trackerapi.problems import (
    INTERNAL,
    KEY_REFUSED,
    OUTBOX_UNWRITABLE,
    UNREACHABLE,
    delivery_failed,
    key_refused,
    unheld,
    unreachable,
)
from trackerapi.process.clock import steady_seconds
from trackerapi.process.descriptors import LostFileError
from trackerapi.process.randomness import RANDOM
from trackerapi.retry import backoff_seconds

LINGER_SECONDS: Final = 0.1
"""Pause between passes in which records gather for the next batch."""

MAX_BACKOFF_SECONDS: Final = 10.0
"""Maximum pause after failures, unless the backend asks for a longer pause."""

_MAX_KEY_PAUSE_SECONDS: Final = 60.0
_DISK_RETRY_SECONDS: Final = 1.0
_FULL_BATCH_BYTES: Final = MAX_BATCH_BYTES // 4
_LOG: Final = logging.getLogger("trackerapi")


class SignalSafeEvent:
    """Event that wakes one waiting thread; a signal handler may set it at any time.

    `threading.Event` holds a lock inside of `set()`. A signal handler that interrupts
    `set()` and calls it again would wait for the lock of its own thread for ever.
    Ctrl-C inside of `set()` would leave the lock locked, and the thread asleep.
    """

    def __init__(self) -> None:
        # Locked while the event is clear; releasing a lock is atomic.
        self._clear_lock = threading.Lock()
        self._clear_lock.acquire()

    def set(self) -> None:
        """Wake the waiting thread, or make the next `wait()` return immediately."""
        try:
            self._clear_lock.release()
        except RuntimeError:  # already set
            return

    def wait(self, seconds: float) -> None:
        """Block until the event is set or the time is over; clear the event."""
        self._clear_lock.acquire(timeout=seconds)

    def clear(self) -> None:
        """Clear the event."""
        self._clear_lock.acquire(blocking=False)


class DeliveryLoop:
    """Delivery in a daemon thread.

    Safe to share between threads; `start()` is called once.

    Args:
        parts: Outbox, sender and the other parts of the session.

    Attributes:
        passes: Delivery passes, with the claimed leftover files.
        is_asleep: Whether the thread sleeps, so that a new record needs `wake()`.
        is_down: Whether the last attempt got no usable answer; None before the first
            attempt.
        key_error: Error of the last attempt if the backend rejected the key; otherwise
            None.
        is_sending: Whether the thread is delivering, and may wait for an answer.
    """

    def __init__(self, parts: DeliveryParts) -> None:
        self._parts = parts
        self.passes = DeliveryPasses(parts)
        self.is_asleep = False
        self.is_down: bool | None = None
        self.key_error: AuthenticationError | None = None
        self.is_sending = False
        self._wake = SignalSafeEvent()
        # Notified after each pass. Reentrant: a signal handler may flush while its
        # thread flushes.
        self._pass_done = threading.Condition(threading.RLock())
        self._flush_count = 0
        self._is_stopping = self._is_retiring = False
        self._on_end: Callable[[], object] | None = None
        self._failures = 0
        # Monotonic times in seconds: the next attempt, and the end of the pause that
        # the backend asked for by Retry-After.
        self._next_attempt = self._retry_after_at = 0.0
        self._seen_mark = parts.outbox.mark
        self._own_files: list[OutboxFile] = []
        self._thread: threading.Thread | None = None
        parts.outbox.on_new_file = self.wake

    def start(self) -> None:
        """Start the thread.

        Without a thread, records stay in the outbox for the next process.
        """
        # `Thread.start()` waits until the thread runs, and no new thread runs while the
        # interpreter finalizes: the process would hang.
        if sys.is_finalizing():
            return
        self._thread = threading.Thread(
            target=self._run, name="trackerapi-delivery", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter ends, or there are too many threads
            self._thread = None

    @property
    def is_alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread is not None and self._thread.is_alive()

    def wake(self) -> None:
        """Begin the next pass now; safe in a signal handler."""
        self._wake.set()

    def note_failure(self, error: BackendError) -> None:
        """Delay the next delivery, after another request to the backend has failed."""
        self.is_down = True
        self._back_off(error)

    def flush(self, seconds: float, *, stops_if_down: bool) -> None:
        """Deliver without pauses; block until all records are delivered.

        Args:
            seconds: Maximum time to block.
            stops_if_down: Whether to return as soon as the backend is known to be down
                or to reject the key. If True, the call also does not wait for deferred
                records, and does not shorten a pause that the backend has asked for.
        """
        if self._thread is None or self._parts.sender is None:
            return
        deadline = steady_seconds() + seconds
        with self._pass_done:
            self._flush_count += 1
            self.passes.search_again()
            self._next_attempt = self._retry_after_at if stops_if_down else 0.0
            self._wake.set()
            try:
                while not self._is_flushed(stops_if_down) and self._thread.is_alive():
                    remaining = deadline - steady_seconds()
                    is_unusable = self.is_down or self.key_error is not None
                    if remaining <= 0 or (stops_if_down and is_unusable):
                        return
                    self._pass_done.wait(remaining)
            finally:
                self._flush_count -= 1

    def stop(self, files: list[OutboxFile], *, wait_seconds: float) -> None:
        """End the thread after its present request, and release all files.

        Args:
            files: Files that this process has appended to.
            wait_seconds: Maximum time to block until the thread has ended.
        """
        self._own_files += files
        self._is_stopping = True
        self._wake.set()
        if self._thread is None:
            self.passes.release(files)
        else:
            self._thread.join(wait_seconds)

    def retire(self, on_end: Callable[[], object]) -> None:
        """End the thread once all records are delivered; do not block.

        Args:
            on_end: Called by the thread at its end.
        """
        self._on_end = on_end
        self._is_retiring = True
        self._wake.set()

    def forget(self) -> None:
        """Close all files in a forked child: the parent delivers their records."""
        for file in [*self.passes.leftovers, *self._own_files]:
            file.close()

    def _is_flushed(self, stops_if_down: bool) -> bool:
        """Return whether all records are delivered; needs `_pass_done` locked."""
        parts = self._parts
        return (
            self.passes.is_search_complete
            and not (parts.conflation and parts.conflation.pending)
            and parts.outbox.is_empty
            and all(file.is_delivered for file in list(self.passes.leftovers))
            # Events of an unknown job may be deferred for days: the end of a script
            # does not wait for them.
            and (stops_if_down or not self.passes.has_deferred_records())
        )

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                self._pause(self._run_pass())
                is_offline = self._parts.sender is None
                if self._is_retiring and (is_offline or self._parts.outbox.is_empty):
                    self._own_files += self._parts.outbox.close()
                    break
        finally:
            self.passes.release(self._own_files)
            # Without the notification, a thread in `flush()` would wait for another
            # pass until its timeout.
            with self._pass_done:
                self._pass_done.notify_all()
            if self._on_end is not None:
                self._on_end()

    def _pause(self, seconds: float | None) -> None:
        """Wait before the next pass, until `wake()` or the end of the time.

        Args:
            seconds: Maximum wait; None sleeps until the next search for leftover files.
        """
        if seconds is None:
            seconds = LEFTOVER_SEARCH_SECONDS
            # Offline, a new record does not wake the thread: nothing can be sent.
            self.is_asleep = self._parts.sender is not None
            # Race: for a record that was appended before `is_asleep` was set, nobody
            # has called `wake()`. The record would wait for the next search.
            if self.is_asleep and self._parts.outbox.mark != self._seen_mark:
                seconds = 0.0
        if seconds > 0 and not self._is_stopping:
            self._wake.wait(seconds)
        self.is_asleep = False
        self._wake.clear()

    def _run_pass(self) -> float | None:
        """Run one pass; return the seconds until the next pass, None to sleep."""
        self._seen_mark = self._parts.outbox.mark
        try:
            self.passes.reopen_lost_files()
            thin_out(self._parts.outbox, self._parts.counters, self._parts.problems)
            seconds = self._deliver() if self._parts.sender is not None else None
        except BaseException as error:  # noqa: BLE001
            # Any exception is caught, even `SystemExit` of `on_problem`: it would end
            # the thread, and the process would deliver no more records.
            _LOG.debug("a pass of delivery failed", exc_info=error)
            self._note_unreachable(
                BackendUnavailable(f"{type(error).__name__}: {error}")
            )
            self._parts.problems.report(INTERNAL, delivery_failed(error))
            seconds = self._next_attempt - steady_seconds()
        with self._pass_done:
            self._pass_done.notify_all()
        return None if seconds is None else max(seconds, 0.0)

    def _deliver(self) -> float | None:
        """Deliver due records; return the seconds until the next pass, or None."""
        now = steady_seconds()
        if now < self._next_attempt:
            return self._next_attempt - now
        try:
            self.passes.claim_leftovers()
            if not self.passes.has_due_requests():
                return self.passes.seconds_until_retry()
            self.is_sending = True
            self.passes.deliver_batches()
        except AuthenticationError as error:
            self._note_key_error(error)
        except BackendError as error:
            self._note_unreachable(error)
        except LostFileError:
            return 0.0  # the next pass replaces the file first
        except OSError as error:
            self._note_unwritable(error)
        else:
            self._note_success()
            return self._linger_seconds()
        finally:
            self.is_sending = False
        return self._next_attempt - steady_seconds()

    def _linger_seconds(self) -> float:
        """Return the pause before the next pass; 0 in a flush or with a large batch."""
        files = self.passes.files()
        largest = max((file.undelivered_bytes for file in files), default=0)
        is_busy = self._flush_count > 0 or largest >= _FULL_BATCH_BYTES
        return 0.0 if is_busy else LINGER_SECONDS

    def _note_success(self) -> None:
        self._failures = 0
        self._retry_after_at = self._next_attempt = 0.0
        self.is_down, self.key_error = False, None
        self._parts.counters.last_error = None

    def _note_unreachable(self, error: BackendError) -> None:
        self.is_down = True
        self._back_off(error)
        self._parts.problems.report(UNREACHABLE, unreachable(error))

    def _note_key_error(self, error: AuthenticationError) -> None:
        self.key_error = error
        self._back_off(error)
        folder = self._parts.folder
        message = key_refused(error, folder.path if folder else None)
        self._parts.problems.report(KEY_REFUSED, message)
        self.passes.reload_key()

    def _note_unwritable(self, error: OSError) -> None:
        self._parts.counters.last_error = str(error)
        self._next_attempt = steady_seconds() + _DISK_RETRY_SECONDS
        self._parts.problems.report(OUTBOX_UNWRITABLE, unheld(error))

    def _back_off(self, error: BackendError) -> None:
        """Set the time of the next attempt."""
        self._parts.counters.last_error = str(error)
        self._failures += 1
        now = steady_seconds()
        asked = error.retry_after_seconds or 0.0
        if self.key_error is error:
            # Somebody may fix the key long before the end of the requested pause.
            asked = min(asked, _MAX_KEY_PAUSE_SECONDS)
        self._retry_after_at = now + asked
        self._next_attempt = now + backoff_seconds(
            self._failures,
            jitter=RANDOM.random(),
            retry_after_seconds=asked,
            longest_seconds=MAX_BACKOFF_SECONDS,
        )
