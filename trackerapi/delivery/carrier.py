"""Bringing the records of one file to the backend, batch after batch, in order.

Final is only a refusal for the content of one record: a line in the batch answer, or
an answer to a batch of one; see `refusals`. Everything else is tried again.
"""

import logging
import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from trackerapi.delivery.held import HeldJournal, KeptRecord
from trackerapi.delivery.outbox_file import OutboxFile
from trackerapi.delivery.receipts import check
from trackerapi.delivery.records import (
    CREATION_START,
    MAX_BATCH_BYTES,
    MAX_BATCH_LINES,
    Creation,
    count_that_fits,
    first_lines,
    parse_creation,
    parse_record,
    split_lines,
)
from trackerapi.delivery.refusals import (
    TOO_LARGE,
    is_final_for_event,
    is_final_for_job,
    problem_of,
)
from trackerapi.delivery.report import Counters, Problems, refused_job
from trackerapi.delivery.sender import Receipt, Sender
from trackerapi.errors import (
    AuthenticationError,
    BackendError,
    BackendRejected,
    BackendUnavailable,
)
from trackerapi.steady import utc_now

HOLD_AFTER: Final = timedelta(days=7)
"""How long an event waits for a job that the backend does not know."""

_UNKNOWN_JOB: Final = 404
_OVERSIZED: Final = {"status": 413, "detail": "no request carries more than 1 MiB"}

CreationFinder = Callable[[str], Creation | None]


class Carrier:
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
        self._sender, self._find_creation = sender, find_creation
        self._problems, self._counters = problems, counters
        self._most_lines = MAX_BATCH_LINES
        self._journals: weakref.WeakSet[HeldJournal] = weakref.WeakSet()

    def know(self, file: OutboxFile) -> None:
        """Let no record overtake those of its job that wait beside `file`."""
        self._journals.add(file.held)

    def carry(self, file: OutboxFile) -> bool:
        """Deliver the next batch of a file; return whether there was one.

        Raises:
            BackendUnavailable: If no usable answer came.
            AuthenticationError: If the key was refused.
            OSError: If refused records cannot be kept aside.
        """
        chunk = file.peek(MAX_BATCH_BYTES)
        if not chunk:
            return False
        file.held.refresh()
        if chunk.startswith(CREATION_START):
            self._carry_creation(file, chunk[: chunk.index(b"\n") + 1])
            return True
        next_creation = chunk.find(b"\n" + CREATION_START)
        if next_creation >= 0:
            chunk = chunk[: next_creation + 1]
        batch, count = first_lines(chunk, self._most_lines)
        if count == 1 and len(batch) > MAX_BATCH_BYTES:
            self._hold(file, [KeptRecord(record=batch, problem=_OVERSIZED)])
            file.settle(len(batch), 1, delivered=0)
            return True
        aside, rest, rest_count = self._kept_apart(file, batch, count)
        refused: list[KeptRecord] = []
        delivered = 0
        if rest_count:
            receipt = self._attempt(rest, rest_count)
            if receipt is None:
                return True  # the next turn takes fewer lines
            refused = _refused(receipt, rest)
            delivered = receipt.accepted + receipt.duplicates
            self._counters.count_delivered(delivered)
            if aside:
                # `outbox retry` may have fixed their job meanwhile, and be over.
                file.held.refresh()
                aside, freed, freed_count = self._kept_apart(
                    file, b"".join(kept.record for kept in aside), len(aside)
                )
                refused += self.carry_lines(split_lines(freed))
                delivered += freed_count
        file.held.keep(aside)
        self._hold(file, refused)
        file.settle(len(batch), count, delivered=delivered)
        return True

    def carry_lines(self, lines: Sequence[bytes]) -> list[KeptRecord]:
        """Deliver records that lie in no file; return those that were refused.

        Raises:
            BackendUnavailable: If no usable answer came.
            AuthenticationError: If the key was refused.
        """
        refused: list[KeptRecord] = []
        events: list[bytes] = []
        for line in lines:
            creation = parse_creation(line)
            if creation is None:
                events.append(line)
            elif creation.state != "done":
                try:
                    self._create(creation)
                except BackendRejected as error:
                    problem = problem_of(error)
                    refused.append(KeptRecord(record=line, problem=problem))
        delivered = 0
        while events:
            count = count_that_fits(events, self._most_lines)
            batch = b"".join(events[:count])
            receipt = self._attempt(batch, count)
            if receipt is None:
                continue
            refused += _refused(receipt, batch)
            delivered += receipt.accepted + receipt.duplicates
            del events[:count]
        self._counters.count_delivered(delivered)
        return refused

    def carry_waiting(self, file: OutboxFile) -> None:
        """Try again what waits for its job, after creating that once more.

        Raises:
            BackendUnavailable: If no usable answer came.
            AuthenticationError: If the key was refused.
            OSError: If it cannot be written down what became of it.
        """
        file.held.refresh()
        for provider_job_id in sorted(file.held.waiting_jobs()):
            waiting = list(
                file.held.records(waits=True, provider_job_id=provider_job_id)
            )
            creation = self._find_creation(provider_job_id)
            if creation is not None:
                try:
                    self._create(creation)
                except BackendRejected as error:
                    problem = problem_of(error)
                    held = [_held_for(kept, problem) for kept in waiting]
                    held.append(KeptRecord(record=creation.as_line(), problem=problem))
                    file.held.keep(held)
                    self._tell_job(provider_job_id, error.reason, problem)
                    continue
            self._send_waiting(file, waiting)

    def _send_waiting(self, file: OutboxFile, waiting: Sequence[KeptRecord]) -> None:
        refused = self.carry_lines([kept.record for kept in waiting])
        by_id = {kept.record_id: kept for kept in refused}
        for kept in waiting:
            again = by_id.get(kept.record_id)
            if again is not None and (not again.waits or _is_overdue(kept)):
                self._hold(file, [_held_for(kept, again.problem)])
        gone = {kept.record_id for kept in waiting} - by_id.keys()
        file.held.release(sorted(gone), "delivered")

    def _carry_creation(self, file: OutboxFile, line: bytes) -> None:
        creation = parse_creation(line)
        dropped = 0
        if creation is None:
            dropped = 1
            self._counters.count_dropped("damaged")
        elif creation.state == "held":
            self._hold_job(file, creation, dict(creation.problem or {}))
        else:
            try:
                if creation.state != "done":
                    self._create(creation)
            except BackendRejected as error:
                self._hold_job(file, creation, problem_of(error))
            else:
                # A job that was refused before, and is not any more, holds nothing.
                file.held.release_creation(creation.provider_job_id)
        file.settle(len(line), 1, delivered=0, dropped=dropped)

    def _create(self, creation: Creation) -> None:
        """Create a job.

        Raises:
            BackendRejected: If the job was refused for its content.
        """
        try:
            self._sender.create_job(creation.document)
        except AuthenticationError:
            raise
        except BackendError as error:
            size = len(creation.as_line())
            is_final = is_final_for_job(error, size)
            kind = BackendRejected if is_final else BackendUnavailable
            raise kind(error.reason, error.exchange) from error

    def _hold_job(
        self, file: OutboxFile, creation: Creation, problem: Mapping[str, Any]
    ) -> None:
        kept = KeptRecord(record=creation.as_line(), problem=problem)
        file.held.keep([kept])
        self._tell_job(creation.provider_job_id, kept.reason, problem)

    def _tell_job(
        self, provider_job_id: str, reason: str, problem: Mapping[str, Any]
    ) -> None:
        message = refused_job(provider_job_id, reason, problem)
        self._problems.tell(
            "job-refused", message, provider_job_id, level=logging.ERROR
        )

    def _kept_apart(
        self, file: OutboxFile, batch: bytes, count: int
    ) -> tuple[list[KeptRecord], bytes, int]:
        """Part from a batch what has to stay behind earlier records of its job.

        Returns:
            What stays, the rest, and its count of lines.
        """
        self.know(file)
        refused, waiting = file.held.refused_jobs(), self.waiting_jobs()
        aside: list[KeptRecord] = []
        if not refused and not waiting:
            return aside, batch, count
        rest: list[bytes] = []
        for line in split_lines(batch):
            job_id = str(parse_record(line).get("provider_job_id"))
            if job_id in refused:
                problem = {"detail": "the job of this event was refused"}
                aside.append(KeptRecord(record=line, problem=problem))
            elif job_id in waiting:
                problem = {"detail": "earlier events of this job wait"}
                aside.append(KeptRecord(record=line, problem=problem, waits=True))
            else:
                rest.append(line)
        return aside, b"".join(rest), len(rest)

    def waiting_jobs(self) -> set[str]:
        """Return the jobs of which earlier records wait, in whatever file."""
        return set[str]().union(*(held.waiting_jobs() for held in self._journals))

    def _attempt(self, batch: bytes, count: int) -> Receipt | None:
        """Send once; None if it has to be tried again with fewer lines."""
        try:
            receipt = self._sender.send(batch)
            check(receipt, batch, count)
        except AuthenticationError:
            raise
        except BackendError as error:
            is_split = error.status == TOO_LARGE and count > 1
            if is_split or is_final_for_event(error, len(batch)):
                if count == 1:
                    return Receipt.refusing_one(problem_of(error))
                self._most_lines = (count + 1) // 2
                return None
            if error.status is None and error.exchange.was_sent:
                # A line too slow for so much; less may get through in time.
                self._most_lines = max(1, count // 2)
            raise BackendUnavailable(error.reason, error.exchange) from error
        self._most_lines = min(self._most_lines * 2, MAX_BATCH_LINES)
        return receipt

    def _hold(self, file: OutboxFile, records: Sequence[KeptRecord]) -> None:
        file.held.keep(records)
        held = [kept for kept in records if not kept.waits]
        if held:
            self._problems.tell(
                "event-refused",
                f"the backend refused an event of job {held[0].provider_job_id!r}: "
                f"{held[0].reason}; `trackerapi outbox list` shows what is held",
                level=logging.ERROR,
            )
        if len(held) < len(records):
            job_id = next(kept.provider_job_id for kept in records if kept.waits)
            self._problems.tell(
                "job-unknown",
                f"the backend does not know job {job_id!r} yet; its events wait",
            )


def _refused(receipt: Receipt, batch: bytes) -> list[KeptRecord]:
    if not receipt.rejections:
        return []
    lines = split_lines(batch)
    return [
        KeptRecord(
            record=lines[rejection.index],
            problem=rejection.problem,
            waits=rejection.problem.get("status") == _UNKNOWN_JOB,
        )
        for rejection in receipt.rejections
    ]


def _held_for(kept: KeptRecord, problem: Mapping[str, Any]) -> KeptRecord:
    return KeptRecord(record=kept.record, problem=problem, since=kept.since)


def _is_overdue(kept: KeptRecord) -> bool:
    try:
        since = datetime.fromisoformat(kept.since)
    except ValueError:
        return False
    return utc_now() - since > HOLD_AFTER
