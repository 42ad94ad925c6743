"""Statuses of jobs and steps."""

from __future__ import annotations

from enum import StrEnum


class JobStatus(StrEnum):
    """Status of a job."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class StepStatus(StrEnum):
    """Status of a step.

    Events of the step set the first six statuses. `NOT_RUN` and `CANCELLED` follow
    from the end of the job: see `shown_status()`, which also shows a `WAITING` step as
    pending or failed.
    """

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_RUN = "not_run"
    CANCELLED = "cancelled"


ENDED = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})
"""Statuses of a job that has ended; an interrupted job is expected to continue."""

SETTLED = frozenset({StepStatus.DONE, StepStatus.SKIPPED})
"""Final statuses of a step: no later event changes a settled step."""
