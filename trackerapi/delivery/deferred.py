"""Deferred records, which delivery sends again later.

A deferred record is an event of a job that the backend does not know yet, or a failing
record: see `failing_records`, which also defines the search for failing records.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from trackerapi.delivery.failing_records import (
    FAILURES_TO_SEARCH,
    SearchResult,
    all_records_fail,
    may_concern_records,
    sample_lines,
)
from trackerapi.delivery.journaling import JournalWriter
from trackerapi.delivery.rejections import problem_of
from trackerapi.delivery.requests import RecordRequests
from trackerapi.errors import BackendRejected, BackendUnavailable
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.held import JournalEntry
from trackerapi.outbox.records import Creation

CreationFinder = Callable[[str], Creation | None]
"""Function of the provider's job id that returns the recorded creation, or None."""


class DeferredRecords:
    """Deferred records in the journals of outbox files; for one thread.

    Args:
        requests: Sends the records.
        find_creation: Finds the creation of an unknown job, to send it first.
        journals: Holds or defers the records that fail again.
    """

    def __init__(
        self,
        requests: RecordRequests,
        find_creation: CreationFinder,
        journals: JournalWriter,
    ) -> None:
        self._requests, self._find_creation = requests, find_creation
        self._journals = journals
        self._failures: dict[Path, int] = {}
        self._is_up = False
        self._answer_count_before = 0

    def retry(self, file: OutboxFile) -> None:
        """Send the deferred records of a file again, job by job.

        Raises:
            BackendUnavailable: If no usable answer came. The error has
                `is_backend_up` if the backend is up, but accepts no record of a job
                that it did not know before.
            AuthenticationError: If the key was rejected.
            OSError: If the journal cannot be written.
        """
        file.held.refresh()
        self._is_up, self._answer_count_before = False, self._requests.answer_count
        failures = self._failures.pop(file.path, 0)
        try:
            # Events of unknown jobs are searched only in each third attempt: a search
            # needs many requests and would flood a backend that is down.
            is_search = failures % FAILURES_TO_SEARCH == FAILURES_TO_SEARCH - 1
            self._retry_jobs(file, is_search=is_search)
        except BackendUnavailable:
            self._failures[file.path] = failures + 1
            raise

    def _retry_jobs(self, file: OutboxFile, *, is_search: bool) -> None:
        unknown = file.held.unknown_jobs()
        failing = file.held.deferred_jobs() - unknown
        all_fail: BackendUnavailable | None = None
        # Unknown jobs first: the backend may know them since the last attempt. Jobs
        # with only failing records come last: they will probably fail again.
        for provider_job_id in [*sorted(unknown), *sorted(failing)]:
            is_plain = provider_job_id in unknown and not is_search
            try:
                self._retry_job(file, provider_job_id, is_plain=is_plain)
            except BackendUnavailable as error:
                if is_plain or not may_concern_records(error):
                    raise
                self._check_backend()
                if provider_job_id in unknown:
                    all_fail = all_records_fail(error)
        if all_fail is not None:
            raise all_fail

    def _check_backend(self) -> None:
        """Check that the backend is up, at most once during a `retry()`.

        Raises:
            BackendError: If the backend gives no usable answer.
        """
        if not self._is_up:
            self._requests.check_backend()
        self._is_up = True

    def _retry_job(
        self, file: OutboxFile, provider_job_id: str, *, is_plain: bool
    ) -> None:
        """Send the deferred records of one job again.

        Args:
            file: The outbox file.
            provider_job_id: The job, by the provider's id.
            is_plain: Whether to raise at the first failure, without a search.
        """
        entries = list(
            file.held.entries(is_deferred=True, provider_job_id=provider_job_id)
        )
        events = [each for each in entries if each.creation is None]
        creation = None
        if not all(each.is_failing and each.creation is None for each in entries):
            creation = self._find_creation(provider_job_id)
        if creation is not None:
            try:
                self._requests.create_job(creation)
            except BackendRejected as error:
                self._journals.hold_job(
                    file,
                    creation,
                    problem_of(error),
                    reason=error.reason,
                    deferred=entries,
                )
                return
            file.held.remove_creation(provider_job_id)
        lines = [each.record for each in events]
        if is_plain:
            undelivered = self._requests.deliver_lines(lines)
        else:
            rejected, failing = self._deliver_all_but_failing(lines)
            undelivered = [*rejected, *failing]
        self._update_journal(file, events, undelivered)

    def _deliver_all_but_failing(self, lines: Sequence[bytes]) -> SearchResult:
        try:
            return SearchResult(self._requests.deliver_lines(lines), [])
        except BackendUnavailable as error:
            if not may_concern_records(error):
                raise
        self._check_backend()

        def can_deliver_others() -> bool:
            if self._requests.answer_count != self._answer_count_before:
                return True
            return any(map(self._requests.is_answered, sample_lines(lines)))

        return self._requests.deliver_all_but_failing(lines, can_deliver_others)

    def _update_journal(
        self,
        file: OutboxFile,
        events: Sequence[JournalEntry],
        undelivered: Sequence[JournalEntry],
    ) -> None:
        """Write the outcome of a retry to the journal.

        The entry of an event stays unchanged if the event fails for the same reason as
        before. The event is held if it was rejected, or if its job has been unknown for
        longer than `HOLD_AFTER`.

        Args:
            file: The outbox file.
            events: Entries of the events that were sent.
            undelivered: New entries of the events that were not delivered.
        """
        by_id = {each.record_id: each for each in undelivered}
        changed: list[JournalEntry] = []
        for before in events:
            after = by_id.get(before.record_id, before)
            if after.is_deferred and after.is_failing != before.is_failing:
                changed.append(after)  # the reason of the deferral has changed
            elif after is before or after.is_failing:
                continue
            elif not after.is_deferred or before.is_overdue:
                changed.append(before.held_for(after.problem))
        self._journals.add(file, changed)
        delivered = {each.record_id for each in events} - by_id.keys()
        file.held.remove(sorted(delivered), "delivered")
