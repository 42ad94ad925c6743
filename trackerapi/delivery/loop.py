"""The thread that brings records to the backend, and decides when.

It sleeps while there is nothing to do, sends at once what comes after a pause, and
lets batches form while more comes.
"""

import logging
import random
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
from trackerapi.retry import backoff_seconds

LINGER_SECONDS: Final = 0.1
"""Longest that a record waits for others to share its batch."""

MAX_BACKOFF_SECONDS: Final = 10.0
_LONGEST_KEY_WAIT_SECONDS: Final = 60.0
_DISK_RETRY_SECONDS: Final = 1.0
_FULL_BATCH_BYTES: Final = MAX_BATCH_BYTES // 4
_LOG: Final = logging.getLogger("trackerapi")


class SignalSafeEvent:
    """Wakes the courier; may be rung by a signal handler in the middle of a ring.

    `threading.Event` may not: the handler would wait for a lock that its own thread
    holds, and the courier for good where Ctrl-C leaves it locked.
    """

    def __init__(self) -> None:
        self._is_silent = threading.Lock()
        self._is_silent.acquire()

    def set(self) -> None:
        """Ring, unless it rings."""
        try:
            self._is_silent.release()
        except RuntimeError:  # it rings
            return

    def wait(self, seconds: float) -> None:
        """Wait for a ring, at most so long; silent afterwards."""
        self._is_silent.acquire(timeout=seconds)

    def clear(self) -> None:
        """Be silent."""
        self._is_silent.acquire(blocking=False)


class DeliveryLoop:
    """Delivers in a daemon thread of its own, which `start()` begins.

    Attributes:
        rounds: What is carried.
        is_asleep: Whether `wake()` is needed for a new record to be seen.
        is_down: Whether the last attempt found no backend; None before the first.
        refusal: Why the last attempt found the key refused; None if it did not.
        is_carrying: Whether an answer is being waited for.
    """

    def __init__(self, parts: DeliveryParts) -> None:
        self._route = parts
        self.passes = DeliveryPasses(parts)
        self.is_asleep = False
        self.is_down: bool | None = None
        self.key_error: AuthenticationError | None = None
        self._wake = SignalSafeEvent()
        self._pass_done = threading.Condition()
        self._hurries = 0
        self.is_sending = False
        self._is_stopping = self._is_retiring = False
        self._on_end: Callable[[], object] | None = None
        self._failures = 0
        self._next_attempt = self._asked_until = 0.0
        self._seen = parts.outbox.mark
        self._leaving: list[OutboxFile] = []
        self._thread: threading.Thread | None = None
        parts.outbox.on_new_file = self.wake

    def start(self) -> None:
        """Begin; where no thread can be started, records stay for the next process."""
        if sys.is_finalizing():  # a thread would be waited for that cannot begin
            return
        self._thread = threading.Thread(
            target=self._run, name="trackerapi-delivery", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:  # at the end of the interpreter, or at a limit
            self._thread = None

    @property
    def is_alive(self) -> bool:
        """Whether the thread has not ended."""
        return self._thread is not None and self._thread.is_alive()

    def wake(self) -> None:
        """Let the courier see a new record."""
        self._wake.set()

    def note_failure(self, error: BackendError) -> None:
        """Learn from a request of somebody else that the backend cannot be reached."""
        self.is_down = True
        self._back_off(error)

    def flush(self, seconds: float, *, stops_if_down: bool) -> None:
        """Deliver without delay until nothing waits or the time is over.

        Args:
            seconds: Longest wait.
            stops_if_down: Whether to end as soon as the backend is known to be down.
        """
        if self._thread is None or self._route.sender is None:
            return
        deadline = steady_seconds() + seconds
        with self._pass_done:
            self._hurries += 1
            self.passes.search_again()
            # A wait that the backend asked for is not cut short by the end of a script.
            self._next_attempt = self._asked_until if stops_if_down else 0.0
            self._wake.set()
            try:
                while not self._is_done(stops_if_down) and self._thread.is_alive():
                    left = deadline - steady_seconds()
                    is_gone = self.is_down or self.key_error is not None
                    if left <= 0 or (stops_if_down and is_gone):
                        return
                    self._pass_done.wait(left)
            finally:
                self._hurries -= 1

    def stop(self, files: list[OutboxFile], *, wait_seconds: float) -> None:
        """End the thread after what it is at, and put files away.

        Args:
            files: Those that this process appended to.
            wait_seconds: How long to wait for the end.
        """
        self._leaving += files
        self._is_stopping = True
        self._wake.set()
        if self._thread is None:
            self.passes.archive(files)
        else:
            self._thread.join(wait_seconds)

    def retire(self, on_end: Callable[[], object]) -> None:
        """End the thread by itself once nothing waits any more.

        Args:
            on_end: Called then.
        """
        self._on_end = on_end
        self._is_retiring = True
        self._wake.set()

    def forget(self) -> None:
        """Let go of everything without a trace, in a child that has it from a fork."""
        for file in [*self.passes.leftovers, *self._leaving]:
            file.close()

    def _is_done(self, stops_if_down: bool) -> bool:
        """Whether nothing waits; only called with `_round_done` held."""
        parts = self._route
        return (
            self.passes.is_search_complete
            and not (parts.conflation and parts.conflation.pending)
            and parts.outbox.is_empty
            and all(file.is_delivered for file in list(self.passes.leftovers))
            # What waits for its job may do so for days.
            and (stops_if_down or not self.passes.has_deferred_records())
        )

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                self._pause(self._run_pass())
                is_offline = self._route.sender is None
                if self._is_retiring and (is_offline or self._route.outbox.is_empty):
                    self._leaving += self._route.outbox.close()
                    break
        finally:
            self.passes.archive(self._leaving)
            with self._pass_done:
                self._pass_done.notify_all()
            if self._on_end is not None:
                self._on_end()

    def _pause(self, seconds: float | None) -> None:
        """Wait for the next round: a time, or until woken if None."""
        if seconds is None:
            seconds = LEFTOVER_SEARCH_SECONDS
            # Offline there is nothing to do for a single record.
            self.is_asleep = self._route.sender is not None
            # A record that came before `is_asleep` was set has woken nobody.
            if self.is_asleep and self._route.outbox.mark != self._seen:
                seconds = 0.0
        if seconds > 0 and not self._is_stopping:
            self._wake.wait(seconds)
        self.is_asleep = False
        self._wake.clear()

    def _run_pass(self) -> float | None:
        """Do what is due; return the seconds until the next round, None for a rest."""
        self._seen = self._route.outbox.mark
        try:
            self.passes.reopen_lost_files()
            thin_out(self._route.outbox, self._route.counters, self._route.problems)
            after = self._deliver() if self._route.sender is not None else None
        except BaseException as error:  # noqa: BLE001
            # The thread must live on, also where `on_problem` calls `sys.exit()`.
            _LOG.debug("a round of delivery failed", exc_info=error)
            self._failed(BackendUnavailable(f"{type(error).__name__}: {error}"))
            self._route.problems.report(INTERNAL, delivery_failed(error))
            after = self._next_attempt - steady_seconds()
        with self._pass_done:
            self._pass_done.notify_all()
        return None if after is None else max(after, 0.0)

    def _deliver(self) -> float | None:
        now = steady_seconds()
        if now < self._next_attempt:
            return self._next_attempt - now
        try:
            self.passes.claim_leftovers()
            if not self.passes.has_due_records():
                return self.passes.seconds_until_retry()
            self.is_sending = True
            self.passes.deliver_batches()
        except AuthenticationError as error:
            self._key_refused(error)
        except BackendError as error:
            self._failed(error)
        except LostFileError:
            return 0.0  # the next round begins by looking after it
        except OSError as error:
            self._unwritable(error)
        else:
            self._succeeded()
            return self._next_turn()
        finally:
            self.is_sending = False
        return self._next_attempt - steady_seconds()

    def _next_turn(self) -> float:
        waiting = max((f.undelivered_bytes for f in self.passes.files()), default=0)
        is_busy = self._hurries > 0 or waiting >= _FULL_BATCH_BYTES
        return 0.0 if is_busy else LINGER_SECONDS

    def _succeeded(self) -> None:
        self._failures = 0
        self._asked_until = self._next_attempt = 0.0
        self.is_down, self.key_error = False, None
        self._route.counters.last_error = None

    def _failed(self, error: BackendError) -> None:
        self.is_down = True
        self._back_off(error)
        self._route.problems.report(UNREACHABLE, unreachable(error))

    def _key_refused(self, error: AuthenticationError) -> None:
        self.key_error = error
        self._back_off(error)
        folder = self._route.folder
        message = key_refused(error, folder.path if folder else None)
        self._route.problems.report(KEY_REFUSED, message)
        self.passes.reload_key()

    def _back_off(self, error: BackendError) -> None:
        self._route.counters.last_error = str(error)
        self._failures += 1
        now = steady_seconds()
        asked = error.retry_after_seconds or 0.0
        if self.key_error is error:  # the key may be replaced at any time
            asked = min(asked, _LONGEST_KEY_WAIT_SECONDS)
        self._asked_until = now + asked
        self._next_attempt = now + backoff_seconds(
            self._failures,
            jitter=random.random(),  # noqa: S311 - spreads load, hides nothing
            retry_after_seconds=asked,
            longest_seconds=MAX_BACKOFF_SECONDS,
        )

    def _unwritable(self, error: OSError) -> None:
        self._route.counters.last_error = str(error)
        self._next_attempt = steady_seconds() + _DISK_RETRY_SECONDS
        self._route.problems.report(OUTBOX_UNWRITABLE, unheld(error))
