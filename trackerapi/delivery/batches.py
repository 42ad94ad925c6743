"""Batches of records of outbox files, delivered in the order of each file.

A batch is settled once each record is delivered, held or deferred. A record is held if
the backend rejects it, either in the answer to a batch or by rejecting a batch of this
record alone. After any other failure the batch stays in the file and is sent again.
"""

import weakref
from collections.abc import Sequence
from typing import Final, NamedTuple

from trackerapi.delivery.deferred import CreationFinder, DeferredRecords
from trackerapi.delivery.failing_records import (
    BatchFailures,
    SearchResult,
    all_records_fail,
    lines_after,
    may_concern_records,
    sample_lines,
)
from trackerapi.delivery.journaling import JournalWriter
from trackerapi.delivery.requests import RecordRequests, rejected_entries
from trackerapi.delivery.sender import Sender
from trackerapi.errors import BackendUnavailable
from trackerapi.outbox.counters import Counters
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.held import HeldJournal, JournalEntry
from trackerapi.outbox.records import (
    MAX_BATCH_BYTES,
    MAX_BATCH_LINES,
    first_batch,
    is_creation,
    parse_creation,
    parse_record,
    split_lines,
)
from trackerapi.problems import Problems

_OVERSIZED: Final = {"status": 413, "detail": "the record is larger than 1 MiB"}


class _Split(NamedTuple):
    """A batch, split by the jobs of its events.

    Attributes:
        blocked: Journal entries of the events that are not sent. They are held after a
            rejected creation, and deferred after deferred records of their job.
        free: Events to send, each with its line end.
        free_count: Number of events to send.
    """

    blocked: list[JournalEntry]
    free: bytes
    free_count: int


class BatchDelivery:
    """Delivery of batches from any number of outbox files; for one thread.

    Args:
        sender: The client for delivery.
        find_creation: Returns the recorded creation of an unknown job.
        problems: Reports rejected and deferred records.
        counters: Counts delivered and damaged records.
    """

    def __init__(
        self,
        sender: Sender,
        find_creation: CreationFinder,
        problems: Problems,
        counters: Counters,
    ) -> None:
        self._counters = counters
        self._requests = RecordRequests(sender, counters)
        self._writer = JournalWriter(problems)
        self._deferred = DeferredRecords(self._requests, find_creation, self._writer)
        self._failures = BatchFailures()
        self._journals: weakref.WeakSet[HeldJournal] = weakref.WeakSet()

    def add_journal(self, file: OutboxFile) -> None:
        """Make the deferred records of a file block later events of their jobs.

        The events may be in any file: an event must not overtake an earlier event of
        its job.
        """
        self._journals.add(file.held)

    def blocked_jobs(self) -> set[str]:
        """Return the ids of jobs with deferred records that block later events."""
        return set[str]().union(*(held.blocked_jobs() for held in self._journals))

    def deliver_lines(self, lines: Sequence[bytes]) -> list[JournalEntry]:
        """Deliver records from memory; return entries of the rejected records.

        Raises:
            BackendUnavailable: If no usable answer came; some records may have
                arrived.
            AuthenticationError: If the key was rejected.
        """
        return self._requests.deliver_lines(lines)

    def retry_deferred(self, file: OutboxFile) -> None:
        """Send the deferred records of a file again; see `DeferredRecords.retry()`."""
        self._deferred.retry(file)

    def deliver_next(self, file: OutboxFile) -> bool:
        """Deliver the next batch of a file; return False if no record is undelivered.

        After repeated failures the batch is searched for failing records, which are
        deferred. A search sends many requests.

        Raises:
            BackendUnavailable: If no usable answer came, or the backend fails at each
                record of the batch.
            AuthenticationError: If the key was rejected.
            OSError: If the journal cannot be written.
        """
        is_search = self._failures.needs_search(file, self._requests.answer_count)
        try:
            if is_search:
                # If the backend is down, this single request fails, and the many
                # requests of the search are not sent.
                self._requests.check_backend()
            return self._deliver_next(file, is_search=is_search)
        except BackendUnavailable as error:
            if may_concern_records(error):
                self._failures.count_failure(file, self._requests.answer_count)
            raise

    def _deliver_next(self, file: OutboxFile, *, is_search: bool) -> bool:
        chunk = file.peek(MAX_BATCH_BYTES)
        if not chunk:
            return False
        file.held.refresh()
        max_lines = MAX_BATCH_LINES if is_search else self._requests.max_lines
        batch, count = first_batch(chunk, max_lines)
        if is_creation(batch):
            self._deliver_creation(file, batch, is_search=is_search)
        elif count == 1 and len(batch) > MAX_BATCH_BYTES:
            self._writer.add(file, [JournalEntry(record=batch, problem=_OVERSIZED)])
            file.settle(len(batch), 1, delivered=0)
        elif is_search:
            self._search_batch(file, batch, count)
        else:
            self._send_batch(file, batch, count)
        return True

    def _send_batch(self, file: OutboxFile, batch: bytes, count: int) -> None:
        blocked, free, free_count = self._split(file, batch, count)
        rejected: list[JournalEntry] = []
        delivered = 0
        if free_count:
            result = self._requests.send_batch(free, free_count)
            if result is None:
                return  # the batch was too large: the next call sends fewer lines
            rejected = rejected_entries(result, free)
            delivered = result.accepted + result.duplicates
            self._counters.count_delivered(delivered)
            if blocked:
                # During the request, `trackerapi outbox retry` in another process may
                # have delivered the blocking records. Nothing would deliver events that
                # are held after that.
                file.held.refresh()
                lines = b"".join(entry.record for entry in blocked)
                blocked, freed, freed_count = self._split(file, lines, len(blocked))
                rejected += self._requests.deliver_lines(split_lines(freed))
                delivered += freed_count
        # The journal is written before the position. A crash between the two writes
        # sends the batch again: the journal may get an entry twice, but no record is
        # lost.
        file.held.add(blocked)
        self._writer.add(file, rejected)
        file.settle(len(batch), count, delivered=delivered)

    def _search_batch(self, file: OutboxFile, batch: bytes, count: int) -> None:
        blocked, free, free_count = self._split(file, batch, count)
        rejected, failing = self._search(file, split_lines(free), len(batch))
        if failing:
            self._failures.note_failing_records(file)
        file.held.add(blocked)
        self._writer.add(file, [*rejected, *failing])
        delivered = free_count - len(rejected) - len(failing)
        file.settle(len(batch), count, delivered=delivered)

    def _search(
        self, file: OutboxFile, lines: Sequence[bytes], size_bytes: int
    ) -> SearchResult:
        """Deliver the first records of a file, and search for failing records.

        Args:
            file: The outbox file.
            lines: The records to send.
            size_bytes: Size of the first batch of the file, including records that are
                not in `lines`.

        Raises:
            BackendUnavailable: If the backend was not reached, or if each record fails
                and the backend accepts no other record either.
        """
        answer_count = self._requests.answer_count

        def can_deliver_others() -> bool:
            if self._failures.has_accepted_others(file, answer_count):
                return True
            # Later records of the file are sent now as samples, and again in their
            # turn: the backend detects the duplicates by their event ids.
            samples = [*lines_after(file, size_bytes), *sample_lines(lines)]
            return any(map(self._requests.is_answered, samples))

        try:
            return self._requests.deliver_all_but_failing(lines, can_deliver_others)
        except BackendUnavailable as error:
            if not may_concern_records(error):
                raise
            self._failures.note_vain_search(answer_count)
            raise all_records_fail(error) from error

    def _deliver_creation(
        self, file: OutboxFile, line: bytes, *, is_search: bool
    ) -> None:
        creation = parse_creation(line)
        dropped = 0
        if creation is None:
            dropped = 1
            self._counters.count_dropped("damaged")
        elif creation.state == "held":
            self._writer.hold_job(file, creation, dict(creation.problem or {}))
        else:
            rejected, failing = (
                self._search(file, [line], len(line))
                if is_search
                else SearchResult(self._requests.deliver_lines([line]), [])
            )
            if rejected:
                self._writer.hold_job(file, creation, rejected[0].problem)
            elif failing:
                self._writer.add(file, failing)
            else:
                # An entry from an earlier attempt would hold or defer the job's events.
                file.held.remove_creation(creation.provider_job_id)
        file.settle(len(line), 1, delivered=0, dropped=dropped)

    def _split(self, file: OutboxFile, batch: bytes, count: int) -> _Split:
        """Split the events of a batch: events to hold or defer, and events to send."""
        self.add_journal(file)
        rejected, blocked = file.held.rejected_jobs(), self.blocked_jobs()
        entries: list[JournalEntry] = []
        if not rejected and not blocked:
            return _Split(entries, batch, count)
        unknown = set[str]().union(*(held.unknown_jobs() for held in self._journals))
        free: list[bytes] = []
        for line in split_lines(batch):
            job_id = str(parse_record(line).get("provider_job_id"))
            if job_id in rejected:
                problem = {"detail": "the job of this event was refused"}
                entries.append(JournalEntry(record=line, problem=problem))
            elif job_id in blocked:
                entry = JournalEntry(
                    record=line,
                    problem={"detail": "earlier events of this job wait"},
                    is_deferred=True,
                    is_failing=job_id not in unknown,
                )
                entries.append(entry)
            else:
                free.append(line)
        return _Split(entries, b"".join(free), len(free))
