"""Failing records: the backend fails at a record, but accepts other records.

The cause may be a bug of the backend (500), or a proxy that blocks the content. A
failing record is deferred, so that other records do not wait for it.

A search finds the failing records of a batch: it sends the batch in halves, down to
single records. A search needs many requests, so a batch is searched only after several
failures in a row. A search is called vain if the backend accepts no record of it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from trackerapi.errors import BackendUnavailable
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.held import JournalEntry
from trackerapi.outbox.records import (
    MAX_BATCH_BYTES,
    is_creation,
    job_of,
    parse_creation,
    split_lines,
)
from trackerapi.process.randomness import RANDOM
from trackerapi.retry import UNPROCESSED_STATUSES

FAILURES_TO_SEARCH: Final = 3
"""Number of failures of a batch in a row after which the batch is searched."""

_FAILURES_TO_CHECK: Final = 3
"""Number of failures in a row after which a search checks that the backend accepts any
record. The first three requests of a search are the batch and its two halves."""

_MAX_FAILURES: Final = 8
"""Number of failures in a row after which a search samples the remaining records.

If the samples fail too, all remaining records are deferred.
"""

_SAMPLES: Final = 3
"""Maximum number of sampled jobs, and of further sampled records."""

_MAX_FAILING_FILES: Final = 64
"""Number of failing files after which a delivery pass ends."""


def all_records_fail(error: BackendUnavailable) -> BackendUnavailable:
    """Return `error` with `is_backend_up` set, for a backend that accepts no record."""
    exchange = replace(error.exchange, is_backend_up=True)
    return BackendUnavailable(error.reason, exchange)


def may_concern_records(error: BackendUnavailable) -> bool:
    """Return whether a request may have failed because of its records.

    A request that was never sent, or that the backend has not processed (425, 429),
    failed for another reason.
    """
    return error.exchange.was_sent and error.status not in UNPROCESSED_STATUSES


class PassFailures:
    """Failures of the files of one delivery pass.

    Attributes:
        error: The last failure; None without a failure.
    """

    def __init__(self) -> None:
        self.error: BackendUnavailable | None = None
        self._count = 0

    def note(self, error: BackendUnavailable) -> None:
        """Record the failure of a file; return if the pass may go on with other files.

        The backend counts as up once a search of this pass has found that the backend
        is up and all records of the search fail.

        Raises:
            BackendUnavailable: The given error, if the pass has to end: the backend
                may be down, or too many files have failed.
        """
        is_up = error.exchange.is_backend_up or self.error is not None
        self._count += 1
        if not is_up or not may_concern_records(error):
            raise error
        if self._count >= _MAX_FAILING_FILES:
            raise error
        self.error = error


@dataclass(slots=True)
class _BatchState:
    """Failures of the batch at one position of a file.

    Attributes:
        position: Position of the first record of the batch, in bytes.
        failures: Number of failed attempts.
        answer_count: Number of usable answers at the time of the last vain search, if
            this batch has failed since; otherwise None.
    """

    position: int
    failures: int = 0
    answer_count: int | None = None


class BatchFailures:
    """Failures of the first undelivered batch of each file; for one thread.

    `answer_count` is the number of usable answers that the backend has given so far,
    to requests of any file. If the number has grown since a vain search, the backend
    accepts other records.
    """

    def __init__(self) -> None:
        self._states: dict[Path, _BatchState] = {}
        self._files_with_failing: set[Path] = set()
        self._vain_answer_count: int | None = None

    def count_failure(self, file: OutboxFile, answer_count: int) -> None:
        """Count a failed attempt with the first batch of a file."""
        state = self._state_of(file)
        state.failures += 1
        if answer_count == self._vain_answer_count:
            state.answer_count = answer_count

    def note_vain_search(self, answer_count: int) -> None:
        """Record that the backend accepted no record of a search."""
        self._vain_answer_count = answer_count

    def note_failing_records(self, file: OutboxFile) -> None:
        """Record that a search of a file has found failing records.

        More failing records may follow in this file: the next failed batch is searched
        after its first failure.
        """
        self._files_with_failing.add(file.path)

    def needs_search(self, file: OutboxFile, answer_count: int) -> bool:
        """Return whether to search the first batch of a file.

        A failure alone does not start a search: if the backend is down, the search is
        vain.
        """
        failures = self._state_of(file).failures
        is_due = failures > 0 and failures % FAILURES_TO_SEARCH == 0
        is_next = failures == 1 and file.path in self._files_with_failing
        return is_due or is_next or self.has_accepted_others(file, answer_count)

    def has_accepted_others(self, file: OutboxFile, answer_count: int) -> bool:
        """Return whether the backend has accepted other records since a vain search."""
        return self._state_of(file).answer_count not in {None, answer_count}

    def _state_of(self, file: OutboxFile) -> _BatchState:
        state = self._states.get(file.path)
        if state is None or state.position != file.position:
            state = self._states[file.path] = _BatchState(file.position)
        return state


class SearchResult(NamedTuple):
    """Records that a search has not delivered.

    Attributes:
        rejected: Entries that hold rejected records, or defer events of unknown jobs.
        failing: Entries that defer failing records.
    """

    rejected: list[JournalEntry]
    failing: list[JournalEntry]


class FailingRecordSearch:
    """Search for the failing records of a batch; for one thread.

    Args:
        lines: Records, each with its line end.
        send: Sends records and returns entries of the rejected records.
        max_lines: Maximum number of records in a request.
    """

    def __init__(
        self,
        lines: Sequence[bytes],
        send: Callable[[Sequence[bytes]], list[JournalEntry]],
        max_lines: int,
    ) -> None:
        # Sorted by job: if all records of a job fail, few requests contain them.
        lines = sorted(lines, key=job_of)
        starts = range(0, len(lines), max_lines)
        self._parts = deque(lines[start : start + max_lines] for start in starts)
        self._send = send
        self._result = SearchResult([], [])
        self._failures, self._is_up = 0, False

    def run(self, can_deliver_others: Callable[[], bool]) -> SearchResult:
        """Send all records; divide each failing request into halves.

        Args:
            can_deliver_others: Returns whether the backend accepts any record; called
                only while no request of the search has succeeded.

        Raises:
            BackendUnavailable: If the backend accepts no record, or was not reached.
        """
        while self._parts:
            lines = self._parts.popleft()
            try:
                self._result.rejected.extend(self._send(lines))
                self._failures, self._is_up = 0, True
            except BackendUnavailable as error:
                if not may_concern_records(error):
                    raise
                self._failures += 1
                if self._is_up:
                    self._divide(lines, error)
                    continue
                is_last = len(lines) == 1 and not self._parts
                if self._failures >= _FAILURES_TO_CHECK or is_last:
                    if not can_deliver_others():
                        raise
                    self._failures, self._is_up = 0, True
                # A single record is sent once more: its first failure may have been an
                # outage of the backend.
                self._add_halves(lines)
        return self._result

    def _divide(self, lines: Sequence[bytes], error: BackendUnavailable) -> None:
        """Divide records that failed while the backend is up; defer a single record."""
        if len(lines) == 1:
            self._result.failing.extend(failing_entries(lines, error))
        else:
            self._add_halves(lines)
        if self._failures < _MAX_FAILURES:
            return
        # After many failures, each remaining part may have one failing record, or all
        # remaining records may fail: samples decide.
        if self._deliver_sample():
            self._failures = 0
        else:
            remaining = list(chain.from_iterable(self._parts))
            self._result.failing.extend(failing_entries(remaining, error))
            self._parts.clear()

    def _add_halves(self, lines: Sequence[bytes]) -> None:
        middle = len(lines) // 2
        self._parts += filter(None, [list(lines[:middle]), list(lines[middle:])])

    def _deliver_sample(self) -> bool:
        """Send samples of the remaining records singly; return True after a success."""
        for line in sample_lines(list(chain.from_iterable(self._parts))):
            try:
                self._result.rejected.extend(self._send([line]))
            except BackendUnavailable as error:
                if not may_concern_records(error):
                    raise
                continue
            for lines in self._parts:
                if line in lines:
                    lines.remove(line)
            self._parts = deque(filter(None, self._parts))
            return True
        return False


def sample_lines(lines: Sequence[bytes]) -> list[bytes]:
    """Return random samples: first records of some jobs, and some other records.

    The list is empty for a single record.
    """
    if len(lines) == 1:
        return []
    firsts = list({job_of(line): line for line in reversed(lines)}.values())
    samples = RANDOM.sample(firsts, min(len(firsts), _SAMPLES))
    samples += RANDOM.sample(list(lines), min(len(lines), _SAMPLES))
    return list(dict.fromkeys(samples))


def lines_after(file: OutboxFile, size_bytes: int) -> list[bytes]:
    """Return the first and the last sendable record in the MiB after the first batch.

    Args:
        file: The outbox file.
        size_bytes: Size of the first batch.
    """
    chunk = file.read(file.position + size_bytes, MAX_BATCH_BYTES)
    lines = [line for line in split_lines(chunk) if _is_sendable(line)]
    return list(dict.fromkeys([*lines[:1], *lines[-1:]]))


def _is_sendable(line: bytes) -> bool:
    creation = parse_creation(line) if is_creation(line) else None
    return creation is None or creation.state == "waiting"


def failing_entries(
    lines: Sequence[bytes], error: BackendUnavailable
) -> list[JournalEntry]:
    """Return journal entries that defer failing records, with the reason."""
    reason = f"the backend takes other records, but not this one ({error.reason})"
    problem = {"status": error.status, "detail": reason}
    return [
        JournalEntry(record=line, problem=problem, is_deferred=True, is_failing=True)
        for line in lines
    ]
