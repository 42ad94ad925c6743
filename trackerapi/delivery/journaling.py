"""Journal entries of records that the backend has not stored, with their warnings."""

from collections.abc import Mapping, Sequence
from typing import Any

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


class JournalWriter:
    """Adds entries to the journals of outbox files, and reports them as problems.

    Args:
        problems: Reports each kind of problem once.
    """

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def add(self, file: OutboxFile, entries: Sequence[JournalEntry]) -> None:
        """Hold or defer records of a file.

        Raises:
            OSError: If the journal cannot be written; no entry is added then.
        """
        file.held.add(entries)
        held = [each for each in entries if not each.is_deferred]
        if held:
            first = held[0]
            message = event_refused(first.provider_job_id, first.reason, first.problem)
            self._problems.report(EVENT_REFUSED, message)
        for each in entries:
            if each.is_failing:
                job_id = each.provider_job_id
                self._problems.report(NOT_TAKEN, not_taken(job_id, each.reason), job_id)
        unknown = [each for each in entries if each.is_deferred and not each.is_failing]
        if unknown:
            message = job_unknown(unknown[0].provider_job_id)
            self._problems.report(JOB_UNKNOWN, message)

    def hold_job(
        self,
        file: OutboxFile,
        creation: Creation,
        problem: Mapping[str, Any],
        *,
        reason: str = "",
        deferred: Sequence[JournalEntry] = (),
    ) -> None:
        """Hold the rejected creation of a job, and the deferred records of the job.

        Args:
            file: The outbox file.
            creation: The rejected creation.
            problem: Members of the problem details with the reason.
            reason: The reason in one sentence; by default the reason in `problem`.
            deferred: Entries of the deferred records of the job.

        Raises:
            OSError: If the journal cannot be written; no entry is added then.
        """
        entry = JournalEntry(record=creation.as_line(), problem=problem)
        file.held.add([*(each.held_for(problem) for each in deferred), entry])
        job_id = creation.provider_job_id
        message = job_refused(job_id, reason or entry.reason, problem)
        self._problems.report(JOB_REFUSED, message, job_id)
