"""Delivery of one TrackerApi: records are written to the outbox, then sent.

Files, thread and locks of a process belong to one `_Session`. The first record opens
the session and `close()` ends it. A forked child leaves the session to its parent and
opens a new session.
"""

import functools
import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from trackerapi.delivery.conflation import Conflation, Key, Line
from trackerapi.delivery.loop import DeliveryLoop
from trackerapi.delivery.passes import DeliveryParts
from trackerapi.delivery.report import DeliveryReport
from trackerapi.delivery.sender import Sender
from trackerapi.errors import BackendError, OutboxError
from trackerapi.outbox.counters import Counters
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.folder import OutboxFolder
from trackerapi.outbox.header import Binding
from trackerapi.outbox.outbox import Outbox, OutboxOptions
from trackerapi.outbox.records import Creation, first_time
from trackerapi.problems import (
    Problems,
    key_refused,
    log,
    lost,
    not_delivered,
    not_taken,
)
from trackerapi.process.clock import steady_seconds
from trackerapi.process.forks import keep_alive, register, stop_keeping_alive
from trackerapi.process.worker import Work, Worker

_STOP_SECONDS: Final = 0.2
"""Maximum wait of `close()` for the end of an idle delivery thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryOptions:
    """Options of the delivery of one TrackerApi.

    Attributes:
        outbox: Folder, size limit and durability of the outbox.
        is_online: Whether records are sent; otherwise they stay in the outbox.
        shutdown_timeout_seconds: Maximum time that `close()` waits for delivery.
    """

    outbox: OutboxOptions
    is_online: bool = True
    shutdown_timeout_seconds: float = 2.0


class _Session:
    """Outbox files, delivery thread and pending progress of one process."""

    def __init__(self, parts: DeliveryParts, record: Callable[[bytes], object]) -> None:
        self.outbox = parts.outbox
        self.loop = DeliveryLoop(parts)
        # Written by `Delivery.record()`, not to this outbox: the timer thread may write
        # pending progress after this session has ended. `record()` then opens a new
        # session.
        self.conflation = parts.conflation = Conflation(record)

    def append(self, line: bytes) -> bool:
        """Write a record and wake the loop; return False if the outbox is closed."""
        is_written = self.outbox.append(line)
        if self.loop.is_asleep:
            self.loop.wake()
        return is_written


class Delivery:
    """Delivery of records to the backend; safe across threads and forks.

    A record is in the outbox when the call that records it returns. Only `flush()` and
    `close()` wait for the backend.

    Args:
        options: Options of outbox and delivery.
        binding: Returns destination and owner of the records; called at the first
            record, because computing the fingerprint of a key takes time.
        sender: Returns the client for delivery; called by the delivery thread.
        problems: Logs each problem once.
    """

    def __init__(
        self,
        options: DeliveryOptions,
        binding: Callable[[], Binding],
        sender: Callable[[], Sender],
        problems: Problems,
    ) -> None:
        self._options, self._binding = options, functools.cache(binding)
        self._sender, self._problems = sender, problems
        self._folder = (
            OutboxFolder(options.outbox.folder) if options.outbox.folder else None
        )
        self._reset()

    def _reset(self) -> None:
        self._session: _Session | None = None
        # Reentrant: a signal handler may record while its thread opens the session.
        self._lock = threading.RLock()
        self._counters = Counters()
        self._worker = Worker()
        self._is_retired = False
        self._ended: list[_Session] = []  # their threads may still be running

    def post(self, work: Work) -> None:
        """Call `work` in the worker thread, in the order of the calls; do not block."""
        # Registered before the work is posted: a child that is forked between the two
        # calls would wait for a worker thread that only its parent has.
        register(self)
        self._worker.post(work)

    def record(self, line: bytes) -> None:
        """Write one record; a later crash of the process does not lose the record.

        Args:
            line: The record with its line end.

        Raises:
            OutboxError: With `strict`, if the record cannot be written.
        """
        session, is_new = self._session, False
        # Another thread may close the session between the lookup and `append()`.
        while session is None or not session.append(line):
            session, is_new = self._open(), True
        if is_new and self._is_retired:
            self.retire()

    def record_event(self, line: bytes, provider_job_id: str, tag: str | None) -> None:
        """Write an event, after the pending progress of its step.

        Args:
            line: The event with its line end.
            provider_job_id: The job, by the provider's id.
            tag: The step; None for an event of the job, before which the pending
                progress of all steps is written.

        Raises:
            OutboxError: With `strict`, if the event cannot be written.
        """
        session = self._session
        if session is None or session.conflation.pending:
            session = session or self._open()
            session.conflation.write_pending(provider_job_id, tag)
        if not session.outbox.append(line):
            self.record(line)
        elif session.loop.is_asleep:
            session.loop.wake()

    def record_newest(self, line: Line, key: Key, *, may_wait: bool = True) -> None:
        """Write an event now, or keep it as pending for up to a second.

        A newer event of the same key replaces a pending event.

        Args:
            line: The event, or a function that returns it when it is written.
            key: Job, step, kind and part of the event.
            may_wait: Whether the caller may block on the disk; otherwise a thread
                writes the event.

        Raises:
            OutboxError: With `strict`, if the event cannot be written.
        """
        session = self._session
        if may_wait:
            (session or self._open()).conflation.offer(key, line)
        elif session is not None:
            session.conflation.queue(key, line)
        else:
            self.post(functools.partial(self.record_newest, line, key))

    def write_pending(self, provider_job_id: str, tag: str | None) -> None:
        """Write the pending progress of a step, or of the whole job if `tag` is None.

        Raises:
            OutboxError: With `strict`, if the progress cannot be written.
        """
        session = self._session
        if session is not None and session.conflation.pending:
            session.conflation.write_pending(provider_job_id, tag)

    def record_creation(
        self,
        document: Mapping[str, Any],
        state: str,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the creation of a job.

        Args:
            document: Members of the contract's `JobInput`.
            state: waiting (to be sent), done (the backend has the job) or held
                (rejected).
            problem: Reason of the rejection, as members of problem details; None
                without a rejection.

        Raises:
            OutboxError: With `strict`, if the creation cannot be written.
        """
        creation = Creation(document=document, state=state, problem=problem)
        self.record(creation.as_line())

    def note_failure(self, error: BackendError) -> None:
        """Delay the next delivery, after another request to the backend has failed."""
        session = self._session
        if session is None:
            self._open(error)
        else:
            session.loop.note_failure(error)

    def flush(self, timeout_seconds: float) -> DeliveryReport:
        """Deliver all records, leftovers included; block until all are delivered.

        Args:
            timeout_seconds: Maximum time to block.
        """
        deadline = steady_seconds() + timeout_seconds
        self._worker.drain(timeout_seconds)
        session = self._session or self._open()
        session.conflation.write_all()
        remaining = max(deadline - steady_seconds(), 0.0)
        session.loop.flush(remaining, stops_if_down=False)
        return self.report()

    def report(self) -> DeliveryReport:
        """Return the state of delivery; do not wait for the backend."""
        session = self._session
        held = undelivered = 0
        times: list[datetime | None] = []
        if session is not None:
            outbox, leftovers = session.outbox, list(session.loop.passes.leftovers)
            undelivered = outbox.undelivered_count + len(session.conflation.pending)
            times.append(first_time(list(outbox.backlog)[:1]))
            times += [f.oldest_undelivered_at() for f in [*leftovers, *outbox.files]]
            for file in leftovers:
                with suppress(OSError):  # delivery may archive the file during the loop
                    undelivered += file.count_undelivered_lines()
        for journal in session.loop.passes.journals() if session else ():
            with suppress(OSError):  # another process may archive the file at any time
                journal.refresh()
                deferred = journal.entries(is_deferred=True)
                times.append(first_time(entry.record for entry in deferred))
            counts = journal.counts()
            held, undelivered = held + counts[0], undelivered + counts[1]
        return DeliveryReport(
            delivered=self._counters.delivered,
            waiting=undelivered,
            held=held,
            dropped=dict(self._counters.dropped),
            oldest_waiting_at=min(filter(None, times), default=None),
            last_error=self._counters.last_error,
        )

    def events_of(self, provider_job_id: str) -> list[dict[str, Any]]:
        """Return the events of a job in the outbox folder, sorted by time.

        The result includes events in leftover files and in recently archived files.
        """
        if self._folder is None:
            return []
        return self._folder.events_of(self._binding(), provider_job_id)

    def close(self, spent_seconds: float = 0.0) -> None:
        """Deliver all records within `shutdown_timeout`, then release all files.

        Does not wait if the backend is known to be down. The next process delivers the
        undelivered records. A later record opens a new session.

        Args:
            spent_seconds: Part of the timeout that other trackers have used already.
        """
        deadline = steady_seconds() - spent_seconds
        deadline += self._options.shutdown_timeout_seconds
        self._worker.drain(max(deadline - steady_seconds(), 0.0))
        session = self._session
        if session is None:
            return
        with suppress(OutboxError):  # the error is logged already
            session.conflation.close()
        # Another thread may have closed this session and opened a new session.
        if self._session is session:
            self._session = None
        # A session is kept while its thread runs: a child that is forked in this time
        # has to close the files of the session.
        alive = [ended for ended in self._ended if ended.loop.is_alive]
        self._ended = [*alive, session]
        remaining = max(deadline - steady_seconds(), 0.0)
        session.loop.flush(remaining, stops_if_down=True)
        dropped = self._counters.dropped.get("outbox unwritable", 0)
        files = session.outbox.close()
        dropped = self._counters.dropped.get("outbox unwritable", 0) - dropped
        self._log_undelivered(session, files, dropped)
        # A thread in a request ends and releases the files after the answer: do not
        # wait for the end.
        wait_seconds = 0.0 if session.loop.is_sending else _STOP_SECONDS
        session.loop.stop(files, wait_seconds=wait_seconds)

    def retire(self) -> None:
        """Close without blocking, once all records are delivered.

        Called when the script has dropped its TrackerApi. A finalizer of the script may
        record an event after that: the event opens a session that retires immediately.
        """
        self._is_retired = True
        session = self._session
        if session is not None:
            with suppress(OutboxError):  # the error is logged already
                session.conflation.close()
            # The script has dropped its reference, and the exit hook has only a weak
            # reference: keep this object until the thread has ended.
            keep_alive(self)
            session.loop.retire(on_end=lambda: stop_keeping_alive(self))

    def forget(self) -> None:
        """Reset this object in a forked child: all sessions belong to the parent."""
        sessions = [*self._ended, *([self._session] if self._session else ())]
        self._reset()
        for session in sessions:
            session.outbox.forget()
            session.loop.forget()

    def _open(self, failure: BackendError | None = None) -> _Session:
        # Registered before the lock is acquired: a child that is forked while the lock
        # is held copies a locked lock. `forget()` replaces the lock, but the fork hook
        # calls `forget()` only for registered objects.
        register(self)
        with self._lock:
            if self._session is None or self._session.outbox.is_closed:
                outbox = Outbox(
                    self._options.outbox,
                    self._binding(),
                    self._problems,
                    self._counters,
                )
                parts = DeliveryParts(
                    sender=self._sender if self._options.is_online else None,
                    folder=self._folder,
                    outbox=outbox,
                    problems=self._problems,
                    counters=self._counters,
                )
                session = _Session(parts, self.record)
                if failure is not None:
                    session.loop.note_failure(failure)
                session.loop.start()
                self._session = session
            return self._session

    def _log_undelivered(
        self, session: _Session, files: list[OutboxFile], dropped_count: int
    ) -> None:
        """Log lost records, and the reason for undelivered records of this process."""
        if dropped_count:
            log(logging.ERROR, lost(dropped_count, session.outbox.disk_error))
        # Records in leftover files do not count: the processes that wrote them have
        # logged them.
        undelivered = sum(f.undelivered_count + f.held.counts()[1] for f in files)
        if not undelivered or not self._options.is_online or self._folder is None:
            return
        path, binding = self._folder.path, session.outbox.binding
        if session.loop.key_error is not None:
            log(logging.ERROR, key_refused(session.loop.key_error, path))
        unknown_jobs = set[str]().union(*(file.held.unknown_jobs() for file in files))
        failing: list[str] = []
        for file in files:
            with suppress(OSError):  # another process may archive the file at any time
                entry = file.held.first_failing()
                if entry is not None:
                    failing.append(not_taken(entry.provider_job_id, entry.reason))
        is_confirmed = self._folder.is_confirmed(binding)
        unconfirmed = "" if is_confirmed else binding.base_url
        message = not_delivered(undelivered, path, unknown_jobs, failing, unconfirmed)
        log(logging.WARNING, message)
