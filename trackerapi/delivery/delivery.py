"""Delivery of one TrackerApi: the one door for records, and how they fare.

Everything that belongs to a process (files, thread, locks) is one `_Session`, made
with the first record, ended by `close()`, and left behind by a forked child, which
begins its own.
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

_LAST_WORDS_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryOptions:
    """How one TrackerApi delivers.

    Attributes:
        outbox: Where and how records are kept.
        is_online: Whether anything is sent at all.
        shutdown_timeout_seconds: Longest that `close()` waits for delivery.
    """

    outbox: OutboxOptions
    is_online: bool = True
    shutdown_timeout_seconds: float = 2.0


class _Session:
    """What one process has open."""

    def __init__(self, parts: DeliveryParts, record: Callable[[bytes], object]) -> None:
        self.outbox = parts.outbox
        self.loop = DeliveryLoop(parts)
        # Progress may be written by a thread of its own, when its time comes, which
        # may be after the end of this session.
        self.conflation = parts.conflation = Conflation(record)

    def append(self, line: bytes) -> bool:
        """Write a record and let the courier see it; False if all is closed."""
        is_taken = self.outbox.append(line)
        if self.loop.is_asleep:
            self.loop.wake()
        return is_taken


class Delivery:
    """Takes records and brings them to the backend; safe across threads and forks.

    Args:
        options: How.
        binding: Returns where the records are to go, and whose they are; called with
            the first record, since it may take long to know.
        sender: Returns what carries them; called in the courier's thread.
        problems: Told of what goes wrong.
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
        self._begin()

    def _begin(self) -> None:
        self._session: _Session | None = None
        self._lock = threading.RLock()
        self._counters = Counters()
        self._worker = Worker()
        self._is_retired = False
        self._ending: list[_Session] = []  # their couriers may still be at it

    def post(self, work: Work) -> None:
        """Have a thread do what may wait for a disk, in the order of these calls."""
        # First: a child that is forked now has another thread to begin.
        register(self)
        self._worker.post(work)

    def record(self, line: bytes) -> None:
        """Write one record; it has left the process when this returns.

        Raises:
            OutboxError: With `strict`, if it could not be written.
        """
        session, is_new = self._session, False
        while session is None or not session.append(line):
            session, is_new = self._open(), True
        if is_new and self._is_retired:
            self.retire()

    def record_event(self, line: bytes, provider_job_id: str, tag: str | None) -> None:
        """Write an event, behind what is kept of its step's progress.

        Raises:
            OutboxError: With `strict`, if it could not be written.
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
        """Write an event of which only the newest of its kind counts, now or soon.

        Args:
            line: The event, or what makes it when it is written.
            key: Its job, step, kind and part.
            may_wait: Whether the caller may wait for a disk; else a thread writes.

        Raises:
            OutboxError: With `strict`, if it could not be written.
        """
        session = self._session
        if may_wait:
            (session or self._open()).conflation.offer(key, line)
        elif session is not None:
            session.conflation.queue(key, line)
        else:
            self.post(functools.partial(self.record_newest, line, key))

    def write_pending(self, provider_job_id: str, tag: str | None) -> None:
        """Write what is kept of the progress of a step, or of the whole job.

        Raises:
            OutboxError: With `strict`, if it could not be written.
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
        """Write down that a job is to be created, was, or was refused.

        Args:
            document: Members of the contract's `JobInput`.
            state: waiting, done or held.
            problem: Why it was refused.

        Raises:
            OutboxError: With `strict`, if it could not be written.
        """
        creation = Creation(document=document, state=state, problem=problem)
        self.record(creation.as_line())

    def note_failure(self, error: BackendError) -> None:
        """Learn from a request of somebody else that the backend cannot be reached."""
        session = self._session
        if session is None:
            self._open(error)
        else:
            session.loop.note_failure(error)

    def flush(self, timeout_seconds: float) -> DeliveryReport:
        """Deliver what waits, also what others have left; wait for it.

        Args:
            timeout_seconds: Longest wait.
        """
        deadline = steady_seconds() + timeout_seconds
        self._worker.drain(timeout_seconds)
        session = self._session or self._open()
        session.conflation.write_all()
        left = max(deadline - steady_seconds(), 0.0)
        session.loop.flush(left, stops_if_down=False)
        return self.report()

    def report(self) -> DeliveryReport:
        """Tell how far delivery is, without waiting."""
        session = self._session
        held = waiting = 0
        moments: list[datetime | None] = []
        if session is not None:
            outbox, adopted = session.outbox, list(session.loop.passes.leftovers)
            waiting = outbox.undelivered_count + len(session.conflation.pending)
            moments.append(first_time(list(outbox.backlog)[:1]))
            moments += [f.oldest_undelivered_at() for f in [*adopted, *outbox.files]]
            for file in adopted:
                with suppress(OSError):  # delivery may archive the file meanwhile
                    waiting += file.count_undelivered_lines()
        for journal in session.loop.passes.journals() if session else ():
            with suppress(OSError):  # another process may archive the file meanwhile
                journal.refresh()
                deferred = journal.entries(is_deferred=True)
                moments.append(first_time(entry.record for entry in deferred))
            counts = journal.counts()
            held, waiting = held + counts[0], waiting + counts[1]
        oldest = min(filter(None, moments), default=None)
        return DeliveryReport(
            delivered=self._counters.delivered,
            waiting=waiting,
            held=held,
            dropped=dict(self._counters.dropped),
            oldest_waiting_at=oldest,
            last_error=self._counters.last_error,
        )

    def events_of(self, provider_job_id: str) -> list[dict[str, Any]]:
        """Return the events of a job that the outbox holds, in their order.

        Those that others have left are among them, and those that were delivered a
        short time ago.
        """
        if self._folder is None:
            return []
        return self._folder.events_of(self._binding(), provider_job_id)

    def close(self, spent_seconds: float = 0.0) -> None:
        """Deliver what waits within `shutdown_timeout`, then let go of everything.

        Does not wait when the backend is known to be down. What stays is delivered by
        the next process. A later record begins anew.

        Args:
            spent_seconds: What others have taken of that time.
        """
        deadline = steady_seconds() - spent_seconds
        deadline += self._options.shutdown_timeout_seconds
        self._worker.drain(max(deadline - steady_seconds(), 0.0))
        session = self._session
        if session is None:
            return
        with suppress(OutboxError):  # has been told
            session.conflation.close()
        if self._session is session:  # else another thread has ended it, too
            self._session = None
        alive = [ended for ended in self._ending if ended.loop.is_alive]
        self._ending = [*alive, session]
        left = max(deadline - steady_seconds(), 0.0)
        session.loop.flush(left, stops_if_down=True)
        dropped = self._counters.dropped.get("outbox unwritable", 0)
        files = session.outbox.close()
        dropped = self._counters.dropped.get("outbox unwritable", 0) - dropped
        self._say_goodbye(session, files, dropped)
        wait_seconds = 0.0 if session.loop.is_sending else _LAST_WORDS_SECONDS
        session.loop.stop(files, wait_seconds=wait_seconds)

    def retire(self) -> None:
        """End without waiting once all is delivered; nobody reports here any more.

        But for finalizers that run with this one, whose record begins anew.
        """
        self._is_retired = True
        session = self._session
        if session is not None:
            with suppress(OutboxError):
                session.conflation.close()
            keep_alive(self)
            session.loop.retire(on_end=lambda: stop_keeping_alive(self))

    def forget(self) -> None:
        """Begin anew in a child that has everything from its parent by a fork."""
        sessions = [*self._ending, *([self._session] if self._session else ())]
        self._begin()
        for session in sessions:
            session.outbox.forget()
            session.loop.forget()

    def _open(self, failure: BackendError | None = None) -> _Session:
        # First: a child that is forked while the lock is held has to hear of it.
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

    def _say_goodbye(
        self, session: _Session, files: list[OutboxFile], dropped_count: int
    ) -> None:
        if dropped_count:
            log(logging.ERROR, lost(dropped_count, session.outbox.disk_error))
        # Records of other processes were reported when those ended.
        waiting = sum(file.undelivered_count + file.held.counts()[1] for file in files)
        if not waiting or not self._options.is_online or self._folder is None:
            return
        path, binding = self._folder.path, session.outbox.binding
        if session.loop.key_error is not None:
            log(logging.ERROR, key_refused(session.loop.key_error, path))
        awaited = set[str]().union(*(file.held.unknown_jobs() for file in files))
        failing: list[str] = []
        for file in files:
            with suppress(OSError):  # another process may put it away meanwhile
                kept = file.held.first_failing()
                failing += (
                    [not_taken(kept.provider_job_id, kept.reason)] if kept else []
                )
        is_confirmed = self._folder.is_confirmed(binding)
        unconfirmed = "" if is_confirmed else binding.base_url
        text = not_delivered(waiting, path, awaited, failing, unconfirmed)
        log(logging.WARNING, text)
