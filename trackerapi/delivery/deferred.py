"""Records that were set aside and are sent again: of unknown jobs, and failing ones."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trackerapi.delivery.failing_records import (
    FAILURES_TO_SEARCH,
    AllRecordsFail,
    Parted,
    may_concern_records,
    samples_of,
)
from trackerapi.delivery.rejections import problem_of
from trackerapi.delivery.requests import LineCarrier
from trackerapi.delivery.sender import Sender
from trackerapi.errors import BackendRejected, BackendUnavailable
from trackerapi.outbox.counters import Counters
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.held import JournalEntry
from trackerapi.outbox.records import Creation
from trackerapi.problems import (
    EVENT_REFUSED,
    JOB_REFUSED,
    JOB_UNKNOWN,
    NOT_TAKEN,
    Problems,
    event_refused,
    job_refused,
    job_unknown,
    not_taken,
)

CreationFinder = Callable[[str], Creation | None]


class WaitingCarrier(LineCarrier):
    """Carries records from the journals beside outbox files; for one thread.

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
        super().__init__(sender, counters)
        self._find_creation, self._problems = find_creation, problems
        self._failures: dict[Path, int] = {}
        self._is_there = False
        self._answers_before = 0

    def retry_deferred(self, file: OutboxFile) -> None:
        """Try again what waits, job by job; a job that fails holds up no other.

        Raises:
            NotTaken: If events fail that waited for their job alone so far.
            BackendUnavailable: If no usable answer came.
            AuthenticationError: If the key was refused.
            OSError: If it cannot be written down what became of it.
        """
        file.held.refresh()
        self._is_there, self._answers_before = False, self._answers
        failures = self._failures.pop(file.path, 0)
        try:
            # Not each time: a backend that is down is asked once.
            self._carry_jobs(file, is_search=failures % FAILURES_TO_SEARCH == 2)
        except BackendUnavailable:
            self._failures[file.path] = failures + 1
            raise

    def _carry_jobs(self, file: OutboxFile, *, is_search: bool) -> None:
        unknown = file.held.unknown_jobs()
        failed: AllRecordsFail | None = None
        known = file.held.deferred_jobs() - unknown
        # Failing jobs last: their failures are expected.
        for provider_job_id in [*sorted(unknown), *sorted(known)]:
            is_strict = provider_job_id in unknown and not is_search
            try:
                self._carry_job(file, provider_job_id, is_strict=is_strict)
            except BackendUnavailable as error:
                if is_strict or not may_concern_records(error):
                    raise
                self._make_sure()
                if provider_job_id in unknown:
                    failed = AllRecordsFail(error.reason, error.exchange)
        if failed is not None:
            raise failed

    def _make_sure(self) -> None:
        """Raise if the backend is down, rather than its answers to some records."""
        if not self._is_there:
            self._sender.identify()
        self._is_there = True

    def _carry_job(
        self, file: OutboxFile, provider_job_id: str, *, is_strict: bool
    ) -> None:
        waiting = list(
            file.held.entries(is_deferred=True, provider_job_id=provider_job_id)
        )
        creation = None
        if not all(kept.is_failing and kept.creation is None for kept in waiting):
            creation = self._find_creation(provider_job_id)
        if creation is not None:
            try:
                self._create(creation)
            except BackendRejected as error:
                problem = problem_of(error)
                held = [kept.held_for(problem) for kept in waiting]
                held.append(JournalEntry(record=creation.as_line(), problem=problem))
                file.held.add(held)
                self._tell_job(provider_job_id, error.reason, problem)
                return
            file.held.remove_creation(provider_job_id)
        events = [kept for kept in waiting if kept.creation is None]
        lines = [kept.record for kept in events]
        refused, failing = (
            (self.deliver_lines(lines), []) if is_strict else self._sent_waiting(lines)
        )
        self._settle_waiting(file, events, [*refused, *failing])

    def _sent_waiting(self, lines: Sequence[bytes]) -> Parted:
        try:
            return self.deliver_lines(lines), []
        except BackendUnavailable as error:
            if not may_concern_records(error):
                raise
        self._make_sure()

        def takes_others() -> bool:
            has_answered = self._answers != self._answers_before
            return has_answered or any(map(self._is_answered, samples_of(lines)))

        return self._part(lines, takes_others)

    def _settle_waiting(
        self,
        file: OutboxFile,
        waiting: Sequence[JournalEntry],
        stay: Sequence[JournalEntry],
    ) -> None:
        by_id = {kept.record_id: kept for kept in stay}
        changed: list[JournalEntry] = []
        for kept in waiting:
            again = by_id.get(kept.record_id, kept)
            if again.is_deferred and again.is_failing != kept.is_failing:
                changed.append(again)  # from now on it waits for another reason
            elif again is kept or again.is_failing:
                continue
            elif not again.is_deferred or kept.is_overdue:
                changed.append(kept.held_for(again.problem))
        self._hold(file, changed)
        gone = {kept.record_id for kept in waiting} - by_id.keys()
        file.held.remove(sorted(gone), "delivered")

    def _tell_job(
        self, provider_job_id: str, reason: str, problem: Mapping[str, Any]
    ) -> None:
        message = job_refused(provider_job_id, reason, problem)
        self._problems.report(JOB_REFUSED, message, provider_job_id)

    def _hold(self, file: OutboxFile, records: Sequence[JournalEntry]) -> None:
        file.held.add(records)
        held = [kept for kept in records if not kept.is_deferred]
        if held:
            message = event_refused(held[0].provider_job_id, held[0].reason)
            self._problems.report(EVENT_REFUSED, message)
        for kept in records:
            if kept.is_failing:
                job_id = kept.provider_job_id
                self._problems.report(NOT_TAKEN, not_taken(job_id, kept.reason), job_id)
        unknown = [kept for kept in records if kept.is_deferred and not kept.is_failing]
        if unknown:
            message = job_unknown(unknown[0].provider_job_id)
            self._problems.report(JOB_UNKNOWN, message)
