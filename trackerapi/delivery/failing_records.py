"""Failing records: the backend fails at a record, but takes other records.

The cause may be a bug of the backend (500), or a proxy that dislikes the content. A
failing record is deferred, so that other records do not wait for it.

A search finds the failing records of a batch: it sends the batch in halves, down to
single records. A search costs many requests, so a file is searched only after several
failures in a row.
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
"""Failures of a batch in a row after which the batch is searched."""

_FAILURES_TO_DOUBT: Final = 3
"""Failures of a search in a row after which it checks that the backend takes others.

Three are the batch and its two halves.
"""

_MAX_FAILURES: Final = 8
"""Failures in a row after which a search samples the remaining records.

If the samples fail too, all remaining records are deferred.
"""

_SAMPLES: Final = 3
"""Number of sampled jobs, and of sampled records."""

_MAX_FAILING_FILES: Final = 64
"""Failing files after which a pass of delivery ends."""


def all_records_fail(error: BackendUnavailable) -> BackendUnavailable:
    """Return `error` with the finding that the backend is up, but takes no record."""
    exchange = replace(error.exchange, is_backend_up=True)
    return BackendUnavailable(error.reason, exchange)


def may_concern_records(error: BackendUnavailable) -> bool:
    """Return whether a request may have failed because of its records.

    A request that was never sent, or that the backend has not processed (425, 429),
    failed for another reason.
    """
    return error.exchange.was_sent and error.status not in UNPROCESSED_STATUSES


class PassFailures:
    """Failures of the files of one pass of delivery.

    Attributes:
        error: The last failure; None without one.
    """

    def __init__(self) -> None:
        self.error: BackendUnavailable | None = None
        self._count = 0

    def note(self, error: BackendUnavailable) -> None:
        """Record the failure of a file, so that the pass goes on with other files.

        Raises:
            BackendUnavailable: The given error, if the pass has to end: the backend
                may be down, or too many files have failed. The backend is up once a
                search of this pass has found that all its records fail.
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
        answer_count: Answers of the backend at the last vain search, if the batch has
            failed since; None otherwise.
    """

    position: int
    failures: int = 0
    answer_count: int | None = None


class BatchFailures:
    """Failures of the first undelivered batch of each file; for one thread.

    `answer_count` is the number of usable answers that the backend has given so far,
    to requests of any file. If the number has grown since a vain search, the backend
    takes other records.
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
        """Record that each record of a search failed: the backend took no record."""
        self._vain_answer_count = answer_count

    def note_failing_records(self, file: OutboxFile) -> None:
        """Record that a search of a file has found failing records.

        More failing records may follow in this file, so its next failure is searched
        at once.
        """
        self._files_with_failing.add(file.path)

    def needs_search(self, file: OutboxFile, answer_count: int) -> bool:
        """Return whether to search the first batch of a file.

        Not after each failure: while the backend takes nothing, a search is in vain.
        """
        failures = self._state_of(file).failures
        is_due = failures > 0 and failures % FAILURES_TO_SEARCH == 0
        is_next = failures == 1 and file.path in self._files_with_failing
        return is_due or is_next or self.took_others(file, answer_count)

    def took_others(self, file: OutboxFile, answer_count: int) -> bool:
        """Return whether the backend took other records since a vain search."""
        return self._state_of(file).answer_count not in {None, answer_count}

    def _state_of(self, file: OutboxFile) -> _BatchState:
        state = self._states.get(file.path)
        if state is None or state.position != file.position:
            state = self._states[file.path] = _BatchState(file.position)
        return state


class SearchResult(NamedTuple):
    """Records that a search has not delivered.

    Attributes:
        rejected: Rejected events that are to be held, and events of unknown jobs.
        failing: Failing records.
    """

    rejected: list[JournalEntry]
    failing: list[JournalEntry]


class FailingRecordSearch:
    """Search for the failing records of a batch; for one thread.

    Args:
        lines: Records, each with its line end.
        send: Sends records and returns entries of the rejected records.
        max_lines: Number of records in the first requests.
    """

    def __init__(
        self,
        lines: Sequence[bytes],
        send: Callable[[Sequence[bytes]], list[JournalEntry]],
        max_lines: int,
    ) -> None:
        # Sorted by job: if all records of a job fail, they stand in few requests.
        lines = sorted(lines, key=job_of)
        starts = range(0, len(lines), max_lines)
        self._parts = deque(lines[start : start + max_lines] for start in starts)
        self._send = send
        self._result = SearchResult([], [])
        self._failures, self._is_up = 0, False

    def run(self, takes_others: Callable[[], bool]) -> SearchResult:
        """Send all records, in halves where they fail together.

        Args:
            takes_others: Returns whether the backend takes any record; called while
                each request of the search has failed.

        Raises:
            BackendUnavailable: If the backend takes no record, or was not reached.
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
                if self._failures >= _FAILURES_TO_DOUBT or is_last:
                    if not takes_others():
                        raise
                    self._failures, self._is_up = 0, True
                # A single record is sent again now that the backend is known to be up:
                # its first failure may have been an outage.
                self._add_halves(lines)
        return self._result

    def _divide(self, lines: Sequence[bytes], error: BackendUnavailable) -> None:
        """Divide records that failed while the backend is up."""
        if len(lines) == 1:
            self._result.failing.extend(failing_entries(lines, error))
        else:
            self._add_halves(lines)
        if self._failures < _MAX_FAILURES:
            return
        # Many failures in a row may mean that each part has one failing record.
        if self._delivers_sample():
            self._failures = 0
        else:
            remaining = list(chain.from_iterable(self._parts))
            self._result.failing.extend(failing_entries(remaining, error))
            self._parts.clear()

    def _add_halves(self, lines: Sequence[bytes]) -> None:
        middle = len(lines) // 2
        self._parts += filter(None, [list(lines[:middle]), list(lines[middle:])])

    def _delivers_sample(self) -> bool:
        """Send samples of the remaining records alone until one succeeds."""
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
    """Return a few records at random: first records of jobs, and others.

    A single record has no samples.
    """
    if len(lines) == 1:
        return []
    firsts = list({job_of(line): line for line in reversed(lines)}.values())
    samples = RANDOM.sample(firsts, min(len(firsts), _SAMPLES))
    samples += RANDOM.sample(list(lines), min(len(lines), _SAMPLES))
    return list(dict.fromkeys(samples))


def lines_after(file: OutboxFile, size_bytes: int) -> list[bytes]:
    """Return the first and the last record behind the first batch of a file.

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
