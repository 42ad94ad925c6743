"""Bringing the records of one file to the backend, batch after batch, in order.

Final is only a refusal for the content of one record: a line in the batch answer, or
an answer to a batch of one; see `refusals`. Everything else is tried again.
"""

import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Final

from trackerapi.delivery.deferred import CreationFinder, WaitingCarrier
from trackerapi.delivery.failing_records import (
    AllRecordsFail,
    BatchFailures,
    Parted,
    lines_behind,
    may_concern_records,
    samples_of,
)
from trackerapi.delivery.requests import refused_lines
from trackerapi.delivery.sender import Sender
from trackerapi.errors import BackendUnavailable
from trackerapi.outbox.counters import Counters
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.held import HeldJournal, JournalEntry
from trackerapi.outbox.records import (
    MAX_BATCH_BYTES,
    MAX_BATCH_LINES,
    Creation,
    first_batch,
    is_creation,
    job_of,
    parse_creation,
    split_lines,
)
from trackerapi.problems import Problems

_OVERSIZED: Final = {"status": 413, "detail": "no request carries more than 1 MiB"}


class BatchDelivery(WaitingCarrier):
    """Carries records of any number of files; for one thread.

    Args:
        sender: Where to.
        find_creation: Returns the creation of a job, by the provider's id.
        problems: Told of what is refused.
        counters: Told of what is delivered.
    """

    def __init__(
        self,
        sender: Sender,
        find_creation: CreationFinder,
        problems: Problems,
        counters: Counters,
    ) -> None:
        super().__init__(sender, find_creation, problems, counters)
        self._journals: weakref.WeakSet[HeldJournal] = weakref.WeakSet()
        self._setbacks = BatchFailures()

    def know(self, file: OutboxFile) -> None:
        """Let no record overtake those of its job that wait beside `file`."""
        self._journals.add(file.held)

    def deliver_next(self, file: OutboxFile) -> bool:
        """Deliver the next batch of a file; return whether there was one.

        A record that the backend does not take, while it takes others, is set aside.

        Raises:
            NotTaken: If the backend is there, and takes nothing of this file.
            BackendUnavailable: If no usable answer came.
            AuthenticationError: If the key was refused.
            OSError: If refused records cannot be kept aside.
        """
        is_search = self._setbacks.needs_search(file, self._answers)
        try:
            if is_search:
                self._sender.identify()  # a backend that is down is asked once, as ever
            return self._carry(file, is_search=is_search)
        except BackendUnavailable as error:
            if may_concern_records(error):
                self._setbacks.note(file, self._answers)
            raise

    def _carry(self, file: OutboxFile, *, is_search: bool) -> bool:
        chunk = file.peek(MAX_BATCH_BYTES)
        if not chunk:
            return False
        file.held.refresh()
        most_lines = MAX_BATCH_LINES if is_search else self._most_lines
        batch, count = first_batch(chunk, most_lines)
        if is_creation(batch):
            self._carry_creation(file, batch, is_search=is_search)
        elif count == 1 and len(batch) > MAX_BATCH_BYTES:
            self._hold(file, [JournalEntry(record=batch, problem=_OVERSIZED)])
            file.settle(len(batch), 1, delivered=0)
        elif is_search:
            self._carry_apart(file, batch, count)
        else:
            self._carry_batch(file, batch, count)
        return True

    def _carry_batch(self, file: OutboxFile, batch: bytes, count: int) -> None:
        aside, rest, rest_count = self._kept_apart(file, batch, count)
        refused: list[JournalEntry] = []
        delivered = 0
        if rest_count:
            receipt = self._attempt(rest, rest_count)
            if receipt is None:
                return  # the next turn takes fewer lines
            refused = refused_lines(receipt, rest)
            delivered = receipt.accepted + receipt.duplicates
            self._counters.count_delivered(delivered)
            if aside:
                # `outbox retry` may have fixed their job meanwhile, and be over.
                file.held.refresh()
                aside, freed, freed_count = self._kept_apart(
                    file, b"".join(kept.record for kept in aside), len(aside)
                )
                refused += self.deliver_lines(split_lines(freed))
                delivered += freed_count
        file.held.add(aside)
        self._hold(file, refused)
        file.settle(len(batch), count, delivered=delivered)

    def _carry_apart(self, file: OutboxFile, batch: bytes, count: int) -> None:
        aside, rest, rest_count = self._kept_apart(file, batch, count)
        refused, failing = self._sent_apart(file, split_lines(rest), len(batch))
        if failing:
            self._setbacks.note_found(file)
        file.held.add(aside)
        self._hold(file, [*refused, *failing])
        delivered = rest_count - len(refused) - len(failing)
        file.settle(len(batch), count, delivered=delivered)

    def _sent_apart(
        self, file: OutboxFile, lines: Sequence[bytes], size_bytes: int
    ) -> Parted:
        """Send the first records of a file apart from those that fail.

        Raises:
            NotTaken: If all of them fail, and nothing says that others would not.
            BackendUnavailable: If the backend was not reached.
        """
        answers = self._answers

        def takes_others() -> bool:
            if self._setbacks.has_seen_others(file, answers):
                return True
            # Their turn comes later: a second delivery does no harm.
            samples = [*lines_behind(file, size_bytes), *samples_of(lines)]
            return any(map(self._is_answered, samples))

        try:
            return self._part(lines, takes_others)
        except BackendUnavailable as error:
            if not may_concern_records(error):
                raise
            self._setbacks.note_search(answers)
            raise AllRecordsFail(error.reason, error.exchange) from error

    def _carry_creation(
        self, file: OutboxFile, line: bytes, *, is_search: bool
    ) -> None:
        creation = parse_creation(line)
        dropped = 0
        if creation is None:
            dropped = 1
            self._counters.count_dropped("damaged")
        elif creation.state == "held":
            self._hold_job(file, creation, dict(creation.problem or {}))
        else:
            refused, failing = (
                self._sent_apart(file, [line], len(line))
                if is_search
                else (self.deliver_lines([line]), [])
            )
            if refused:
                self._hold_job(file, creation, refused[0].problem)
            elif failing:
                self._hold(file, failing)
            else:
                # A job that was refused before, and is not any more, holds nothing.
                file.held.remove_creation(creation.provider_job_id)
        file.settle(len(line), 1, delivered=0, dropped=dropped)

    def _hold_job(
        self, file: OutboxFile, creation: Creation, problem: Mapping[str, Any]
    ) -> None:
        kept = JournalEntry(record=creation.as_line(), problem=problem)
        file.held.add([kept])
        self._tell_job(creation.provider_job_id, kept.reason, problem)

    def _kept_apart(
        self, file: OutboxFile, batch: bytes, count: int
    ) -> tuple[list[JournalEntry], bytes, int]:
        """Part from a batch what has to stay behind earlier records of its job.

        Returns:
            What stays, the rest, and its count of lines.
        """
        self.know(file)
        refused, blocked = file.held.rejected_jobs(), self.blocked_jobs()
        aside: list[JournalEntry] = []
        if not refused and not blocked:
            return aside, batch, count
        unknown = set[str]().union(*(held.unknown_jobs() for held in self._journals))
        rest: list[bytes] = []
        for line in split_lines(batch):
            job_id = job_of(line)
            if job_id in refused:
                problem = {"detail": "the job of this event was refused"}
                aside.append(JournalEntry(record=line, problem=problem))
            elif job_id in blocked:
                problem = {"detail": "earlier events of this job wait"}
                aside.append(
                    JournalEntry(
                        record=line,
                        problem=problem,
                        is_deferred=True,
                        is_failing=job_id not in unknown,
                    )
                )
            else:
                rest.append(line)
        return aside, b"".join(rest), len(rest)

    def blocked_jobs(self) -> set[str]:
        """Return the jobs of which later records wait behind others, in any file."""
        return set[str]().union(*(held.blocked_jobs() for held in self._journals))
