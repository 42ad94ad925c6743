"""Watch of one job: its states, from a stream of the backend or from polls.

A thread makes the requests and keeps only the newest state, so that a slow reader gets
the newest state and not a queue of older states.
"""

import logging
import os
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Final

from trackerapi.arguments import MAX_JOB_ID_LENGTH, check_flag, check_name
from trackerapi.errors import BackendError, BackendUnavailable
from trackerapi.events.projection import ENDED
from trackerapi.jobs.opening import find_job
from trackerapi.problems import log
from trackerapi.process.clock import steady_seconds
from trackerapi.process.randomness import RANDOM
from trackerapi.retry import backoff_seconds

if TYPE_CHECKING:
    from trackerapi.models import Job
    from trackerapi.wire.connection import Connection
    from trackerapi.wire.watch_calls import JobStream

POLL_SECONDS: Final = 5.0
"""Pause between two polls while no stream can be read, in seconds."""

MAX_OUTAGE_PAUSE_SECONDS: Final = 15.0
"""Maximum pause between two polls while the backend gives no answer, in seconds."""

FIRST_STREAM_PAUSE_SECONDS: Final = 5.0
MAX_STREAM_PAUSE_SECONDS: Final = 300.0
"""First and maximum pause between two streams that break at once, in seconds."""

LONG_STREAM_SECONDS: Final = 60.0
"""Duration of a stream after which the pause is the first one again, in seconds."""


class JobWatch:
    """Watch of one job, without a request before the first `next_state()`.

    Any thread may call `close()`; one thread at a time calls `next_state()`.

    Args:
        provider_job_id: The provider's id of the job.
        connect: Function that returns the connections of the tracker.
        until_done: Whether the watch ends once the job has ended.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If `provider_job_id` is out of range.
    """

    def __init__(
        self,
        provider_job_id: str,
        connect: "Callable[[], Connection]",
        *,
        until_done: bool,
    ) -> None:
        self._provider_job_id = check_name(
            "provider_job_id", provider_job_id, MAX_JOB_ID_LENGTH
        )
        self._until_done = check_flag("until_done", until_done)
        self._connect = connect
        self._pid: int | None = None
        self._version = -1
        self._reset()

    def _reset(self) -> None:
        self._changed, self._stop = threading.Condition(), threading.Event()
        self._newest: Job | None = None
        self._error: BaseException | None = None
        self._is_over = False
        self._stream: JobStream | None = None
        self._stream_at = self._stream_pause = 0.0

    def next_state(self) -> "Job | None":
        """Wait for a newer state than the last; return None after the end.

        Raises:
            AuthenticationError: If the key is refused.
            BackendRejected: If this provider has no such job, or not any more.
            BackendError: If the backend gives no usable answer to the first request.
        """
        if self._pid != os.getpid():
            self._start()
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._is_over)
            job, self._newest = self._newest, None
            if job is None and self._error is not None:
                error, self._error = self._error, None
                raise error
            return job

    def close(self) -> None:
        """End the watch and close its connection; wake up `next_state()`."""
        if self._pid != os.getpid():
            return  # The connection belongs to the parent process.
        self._stop.set()
        with self._changed:
            self._newest, self._is_over = None, True
            self._changed.notify_all()
        stream = self._stream
        if stream is not None:
            stream.abort()

    def _start(self) -> None:
        if self._pid is not None:  # A fork: only the parent has the thread.
            self._reset()
        self._pid = os.getpid()
        threading.Thread(target=self._run, name="trackerapi-watch", daemon=True).start()

    def _run(self) -> None:
        try:
            self._follow()
        except BaseException as error:  # noqa: BLE001 - raised by `next_state()`
            self._error = None if self._stop.is_set() else error
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _follow(self) -> None:
        """Offer the states of the job until the end of the watch."""
        job = find_job(self._connect().read_calls, self._provider_job_id)
        is_open = self._offer(job)
        failures = 0
        while is_open:
            refusal: BackendError | None = None
            # An outage is over when a poll is answered: one request tries that.
            if not failures and steady_seconds() >= self._stream_at:
                refusal = self._read_stream(job.id)
            if self._stop.is_set() or self._is_over:
                return
            try:
                job = self._connect().watch_calls.get_job(job.id)
            except BackendUnavailable as error:
                if not failures:
                    log(logging.INFO, f"{error} (the watch goes on)")
                failures += 1
                self._stop.wait(_outage_pause(failures, error))
                continue
            failures, is_open = 0, self._offer(job)
            if refusal is not None:
                self._postpone_stream(refusal)
            until_stream = self._stream_at - steady_seconds()
            self._stop.wait(min(max(until_stream, 0.0), POLL_SECONDS))

    def _read_stream(self, job_id: int) -> BackendError | None:
        """Offer the states of a stream; return the error that ended it, if any."""
        began = steady_seconds()
        # The first stream begins with the known state, at once: silence then means
        # that a proxy collects the messages.
        known = self._version if self._stream_at else None
        try:
            with self._connect().watch_calls.stream_job(job_id, known) as stream:
                self._stream = stream
                if self._stop.is_set():
                    return None
                for job in stream:
                    if not self._offer(job):
                        return None
            self._stream_at = steady_seconds() + stream.retry_seconds
        except BackendError as error:
            # No error is final here: a poll decides about the job and the key.
            return error
        finally:
            self._stream = None
            if steady_seconds() - began >= LONG_STREAM_SECONDS:
                self._stream_pause = 0.0
        return None

    def _postpone_stream(self, refusal: BackendError) -> None:
        """Set the time of the next stream after one that failed."""
        self._stream_pause = min(
            max(2 * self._stream_pause, FIRST_STREAM_PAUSE_SECONDS),
            MAX_STREAM_PAUSE_SECONDS,
        )
        pause = max(self._stream_pause, refusal.retry_after_seconds or 0.0)
        self._stream_at = steady_seconds() + pause

    def _offer(self, job: "Job") -> bool:
        """Keep a state if it is newer; return whether the watch goes on."""
        with self._changed:
            if job.version > self._version and not self._is_over:
                self._version, self._newest = job.version, job
                self._is_over = self._until_done and job.status in ENDED
                self._changed.notify_all()
            return not self._is_over


def states_of(watch: JobWatch) -> "Generator[Job]":
    """Yield the states of a watch; close it with the generator."""
    try:
        while (job := watch.next_state()) is not None:
            yield job
    finally:
        watch.close()


def _outage_pause(failures: int, error: BackendUnavailable) -> float:
    return backoff_seconds(
        failures,
        jitter=RANDOM.random(),
        retry_after_seconds=error.retry_after_seconds,
        longest_seconds=MAX_OUTAGE_PAUSE_SECONDS,
    )
