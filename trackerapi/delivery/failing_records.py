"""Records that the backend does not take while it takes others.

A backend may fail on one record for good: by a 500, a broken connection, or the page
of a proxy that dislikes its content. Such a record is set aside and sent again later,
so that other records do not wait for it.
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from trackerapi.errors import BackendUnavailable
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.held import JournalEntry
from trackerapi.outbox.records import (
    MAX_BATCH_BYTES,
    job_of,
    parse_creation,
    split_lines,
)
from trackerapi.retry import UNPROCESSED_STATUSES

FAILURES_TO_SEARCH: Final = 3
"""Failed batches in a row after which their records are sent apart."""

_FAILURES_TO_DOUBT: Final = 3
"""Failures of a search, as of a batch and its halves, before others are tried."""

_MAX_FAILURES: Final = 8
"""Failures in a row after which a few of the remaining records are sent alone.

If these fail too, the rest is set aside, to be searched later.
"""

_SAMPLES: Final = 3

Parted = tuple[list[JournalEntry], list[JournalEntry]]
"""The rejected records, and those that the backend does not take."""


_MAX_FAILING_FILES: Final = 64
"""Files that fail in one pass, after which the pass ends."""


class AllRecordsFail(BackendUnavailable):
    """The backend answers, but takes no record of a batch; it may take others."""


def may_concern_records(error: BackendUnavailable) -> bool:
    """Return whether a request may have failed because of the records in it.

    A request that was not sent, or was refused for the number of requests (429), says
    nothing about its records.
    """
    return error.exchange.was_sent and error.status not in UNPROCESSED_STATUSES


class PassFailures:
    """Files whose records fail while the backend is there; for one pass of delivery.

    Attributes:
        error: The last failure; None without one.
    """

    def __init__(self) -> None:
        self.error: BackendUnavailable | None = None
        self._count = 0

    def note(self, error: BackendUnavailable) -> None:
        """Pass over a file that failed, so that other files have their turn.

        Raises:
            BackendUnavailable: If the backend may be down: no file was searched in this
                pass, the request says nothing about records, or too many files failed.
        """
        is_there = isinstance(error, AllRecordsFail) or self.error is not None
        self._count += 1
        if not (is_there and may_concern_records(error)):
            raise error
        if self._count >= _MAX_FAILING_FILES:
            raise error
        self.error = error


@dataclass(slots=True)
class _Setback:
    """What failed at one position of a file.

    Attributes:
        position: Of the first record of the batch.
        failures: Attempts that failed there.
        answers: Usable answers to anything when a search found nothing, in this file
            or in another one just before; None otherwise.
    """

    position: int
    failures: int = 0
    answers: int | None = None


class BatchFailures:
    """Failures of the first undelivered batch of each file; for one thread."""

    def __init__(self) -> None:
        self._setbacks: dict[Path, _Setback] = {}
        self._searched: set[Path] = set()
        self._answers_in_vain: int | None = None

    def note(self, file: OutboxFile, answers: int) -> None:
        """Count a failure of the first batch of a file."""
        setback = self._of(file)
        setback.failures += 1
        if answers == self._answers_in_vain:
            setback.answers = answers

    def note_search(self, answers: int) -> None:
        """Remember how many usable answers there were when a search found nothing."""
        self._answers_in_vain = answers

    def note_found(self, file: OutboxFile) -> None:
        """Remember that records of a file failed alone: more of them may follow."""
        self._searched.add(file.path)

    def needs_search(self, file: OutboxFile, answers: int) -> bool:
        """Return whether to find out which records of the first batch fail.

        Not for each failure: where all requests fail, a search brings nothing.
        """
        failures = self._of(file).failures
        is_due = failures > 0 and failures % FAILURES_TO_SEARCH == 0
        is_next = failures == 1 and file.path in self._searched
        return is_due or is_next or self.has_seen_others(file, answers)

    def has_seen_others(self, file: OutboxFile, answers: int) -> bool:
        """Return whether other records were taken since a search found nothing."""
        return self._of(file).answers not in {None, answers}

    def _of(self, file: OutboxFile) -> _Setback:
        known = self._setbacks.get(file.path)
        if known is None or known.position != file.position:
            known = self._setbacks[file.path] = _Setback(file.position)
        return known


def part(
    lines: Sequence[bytes],
    send: Callable[[Sequence[bytes]], list[JournalEntry]],
    takes_others: Callable[[], bool],
    most_lines: int,
) -> Parted:
    """Send records, in halves where they fail together.

    Args:
        lines: Each with its end.
        send: Sends records and returns the rejected ones.
        takes_others: Returns whether the backend takes anything at all; asked while
            all fails.
        most_lines: Records to begin with in one request.

    Raises:
        BackendUnavailable: If the backend takes nothing, or was not reached.
    """
    return _Search(lines, send, most_lines).run(takes_others)


class _Search:
    """Sends records, in halves where they fail together; for one thread."""

    def __init__(
        self,
        lines: Sequence[bytes],
        send: Callable[[Sequence[bytes]], list[JournalEntry]],
        most_lines: int,
    ) -> None:
        # By job, for all records of a job may fail.
        lines = sorted(lines, key=job_of)
        starts = range(0, len(lines), most_lines)
        self._parts = deque(lines[start : start + most_lines] for start in starts)
        self._send = send
        self._refused: list[JournalEntry] = []
        self._failing: list[JournalEntry] = []
        self._failures, self._is_there = 0, False

    def run(self, takes_others: Callable[[], bool]) -> Parted:
        """Send all records; see `part()`."""
        while self._parts:
            lines = self._parts.popleft()
            try:
                self._refused += self._send(lines)
                self._failures, self._is_there = 0, True
            except BackendUnavailable as error:
                if not may_concern_records(error):
                    raise
                self._failures += 1
                if self._is_there:
                    self._divide(lines, error)
                    continue
                is_last = len(lines) == 1 and not self._parts
                if self._failures >= _FAILURES_TO_DOUBT or is_last:
                    if not takes_others():
                        raise
                    self._failures, self._is_there = 0, True
                # A single record is sent again once the backend is known to be there.
                self._add_halves(lines)
        return self._refused, self._failing

    def _divide(self, lines: Sequence[bytes], error: BackendUnavailable) -> None:
        """Divide records that failed while the backend is there."""
        if len(lines) == 1:
            self._failing += not_taken(lines, error)
        else:
            self._add_halves(lines)
        if self._failures < _MAX_FAILURES:
            return
        # A few failing records may lie so that each part has one.
        if self._sends_one_alone():
            self._failures = 0
        else:
            self._failing += not_taken([*chain.from_iterable(self._parts)], error)
            self._parts.clear()

    def _add_halves(self, lines: Sequence[bytes]) -> None:
        middle = len(lines) // 2
        self._parts += filter(None, [list(lines[:middle]), list(lines[middle:])])

    def _sends_one_alone(self) -> bool:
        """Send a few of the remaining records, each alone, until one is answered."""
        for line in samples_of([*chain.from_iterable(self._parts)]):
            try:
                self._refused += self._send([line])
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


def samples_of(lines: Sequence[bytes]) -> list[bytes]:
    """Return a few records: the first ones of some jobs, and any others."""
    if len(lines) == 1:
        return []
    firsts = {job_of(line): line for line in reversed(lines)}.values()
    some = random.sample(list(firsts), min(len(firsts), _SAMPLES))
    some += random.sample(list(lines), min(len(lines), _SAMPLES))
    return list(dict.fromkeys(some))


def lines_behind(file: OutboxFile, size_bytes: int) -> list[bytes]:
    """Return the first and the last record behind the first ones of a file.

    Args:
        file: Where they lie.
        size_bytes: Size of the first records.
    """
    chunk = file.read(file.position + size_bytes, MAX_BATCH_BYTES)
    lines = [line for line in split_lines(chunk) if _is_sent(line)]
    return list(dict.fromkeys([*lines[:1], *lines[-1:]]))


def _is_sent(line: bytes) -> bool:
    creation = parse_creation(line)
    return creation is None or creation.state == "waiting"


def not_taken(lines: Sequence[bytes], error: BackendUnavailable) -> list[JournalEntry]:
    """Return records that the backend does not take, with the reason."""
    reason = f"the backend takes other records, but not this one ({error.reason})"
    problem = {"status": error.status, "detail": reason}
    return [
        JournalEntry(record=line, problem=problem, is_deferred=True, is_failing=True)
        for line in lines
    ]
