"""Creating a job so that nothing remote can stop the script."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trackerapi.arguments import check_whole
from trackerapi.delivery.refusals import is_final_for_job, problem_of
from trackerapi.errors import (
    AuthenticationError,
    BackendError,
    BackendRejected,
    BackendUnavailable,
)
from trackerapi.problems import (
    INTERNAL,
    JOB_REFUSED,
    KEY_REFUSED,
    METADATA,
    SUCCEEDED,
    UNREACHABLE,
    already_succeeded,
    creation_failed,
    job_metadata_undeclared,
    job_refused,
    key_refused,
    unreachable,
)
from trackerapi.process.clock import utc_now
from trackerapi.times import as_rfc3339

if TYPE_CHECKING:
    from trackerapi.config.job_config import JobConfig
    from trackerapi.delivery.delivery import Delivery
    from trackerapi.jobs.reporter import Reporter
    from trackerapi.models import Job

LARGEST_ID: Final = 2**53 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """What a job is created with; the members are those of the contract.

    Attributes:
        provider_job_id: The provider's id of the job, unique for the provider.
        customer_id: The customer for whom it is run.
        tag: Tag or display name of the configuration.
        configuration: The document to register along; None sends none.
        finish: `auto` or `explicit`.
        metadata: Values for the provider.
    """

    provider_job_id: str
    customer_id: int
    tag: str
    configuration: Mapping[str, Any] | None = None
    finish: str = "auto"
    metadata: Mapping[str, Any] | None = None

    def as_document(self) -> dict[str, Any]:
        """Return the members as the wire and the outbox have them, created now."""
        members = {
            "provider_job_id": self.provider_job_id,
            "customer_id": self.customer_id,
            "tag": self.tag,
            "configuration": self.configuration,
            "finish": self.finish,
            "created_at": as_rfc3339(utc_now()),
            "metadata": self.metadata,
        }
        return {name: value for name, value in members.items() if value is not None}


def create(
    new: NewJob,
    attempt: "Callable[[Mapping[str, Any]], Job] | None",
    delivery: "Delivery",
    reporter: "Reporter",
) -> "Job | None":
    """Create a job by one attempt, and write down what became of it.

    Args:
        new: The job.
        attempt: Asks the backend; None does not, and leaves it to delivery.
        delivery: Where the creation waits, or is remembered.
        reporter: Says whether to raise, and tells problems.

    Returns:
        The job as the backend knows it; None if it did not say.

    Raises:
        AuthenticationError: With `strict`, if the key was refused.
        BackendRejected: With `strict`, if the job was refused.
        OutboxError: With `strict`, if the outbox cannot be written.
    """
    document = new.as_document()
    known: Job | None = None
    refusal: BackendRejected | None = None
    try:
        if attempt is not None:
            known = attempt(document)
    except AuthenticationError as error:
        if reporter.strict:
            raise
        reporter.problems.report(KEY_REFUSED, key_refused(error))
    except BackendError as error:
        refusal = _refusal(error, new, delivery, reporter)
    except Exception as error:  # noqa: BLE001 - what a test replaces breaks the client
        reporter.problems.report(INTERNAL, creation_failed(error))
    state = "done" if known else "held" if refusal else "waiting"
    problem = problem_of(refusal) if refusal else None
    delivery.record_creation(document, state, problem)
    if known is not None and known.status == "succeeded":
        message = already_succeeded(new.provider_job_id)
        reporter.problems.report(SUCCEEDED, message, new.provider_job_id)
    return known


def _refusal(
    error: BackendError, new: NewJob, delivery: "Delivery", reporter: "Reporter"
) -> BackendRejected | None:
    """Return the error if it is about the content of the job, and warn of it.

    Raises:
        BackendRejected: With `strict`, in that case.
    """
    if not is_final_for_job(error, len(json.dumps(new.as_document()))):
        if isinstance(error, BackendUnavailable):
            delivery.note_failure(error)
        reporter.problems.report(UNREACHABLE, unreachable(error))
        return None
    refusal = error
    if not isinstance(refusal, BackendRejected):
        # A proxy's 413 is no problem of a backend, and final all the same.
        refusal = BackendRejected(error.reason, error.exchange)
    if reporter.strict:
        raise refusal
    problem = problem_of(error)
    message = job_refused(new.provider_job_id, error.reason, problem)
    reporter.problems.report(JOB_REFUSED, message, new.provider_job_id)
    return refusal


def job_metadata(
    metadata: Mapping[str, Any] | None,
    config: "JobConfig | None",
    provider_job_id: str,
    reporter: "Reporter",
) -> dict[str, Any] | None:
    """Return metadata of a job as it may be recorded.

    Raises:
        TypeError: If it is no mapping.
        ValueError: With `strict`, if JSON or the limits cannot hold it.
    """
    fitting = reporter.fitting(metadata, provider_job_id)
    if not fitting or config is None or config.metadata != "declared":
        return fitting
    # Declarations belong to steps, so that nothing of a job is declared.
    message = job_metadata_undeclared(provider_job_id, config.tag)
    reporter.problems.report(METADATA, message, "job")
    return None


def checked_id(argument: str, value: int) -> int:
    """Return `value` as a plain number if it can be an id of the backend.

    Raises:
        TypeError: If it is no whole number.
        ValueError: If it is out of range.
    """
    checked = check_whole(argument, value)
    if checked < 1:
        raise ValueError(f"{argument} must be a positive whole number, got {value}")
    if checked > LARGEST_ID:
        raise ValueError(f"{argument} must be at most {LARGEST_ID:,}, got {value}")
    return checked


def checked_finish(value: str) -> str:
    """Return `value` if it says how a job finishes.

    Raises:
        ValueError: If it does not.
    """
    if value not in {"auto", "explicit"}:
        raise ValueError(f"finish must be 'auto' or 'explicit', got {value!r}")
    return value
