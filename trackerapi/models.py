"""Answers of the backend as plain data.

Statuses, kinds and scopes are open texts: a newer backend may know more of them.
Times are aware and in UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from trackerapi.errors import BackendUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStep:
    """A step of a job and how far it is.

    Attributes:
        tag: Tag in the job's configuration.
        name: What the customer reads.
        points: Share of the work, 0 or more.
        status: pending, running, done, failed, skipped, not_run or cancelled.
        fraction: Largest share of the step ever reported, 0.0 to 1.0.
        completed: Units done, as last reported; None when not counted.
        total: Units in all, as last reported; None when not known.
        attempts: Attempts begun.
        started_at: Begin of the first attempt; None before it.
        finished_at: When it was done, skipped or failed; None before that.
    """

    tag: str
    name: str
    points: int
    status: str
    fraction: float
    completed: float | None
    total: float | None
    attempts: int
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A tracked job as the backend sees it.

    Attributes:
        id: The backend's id; larger for later jobs.
        provider_job_id: The provider's id of the job.
        customer_id: The customer for whom it is run.
        tag: Tag of its configuration.
        name: What the customer reads.
        configuration_id: Revision that the job keeps; None without a configuration.
        finish: auto (done when all steps are) or explicit (a `complete` is needed).
        status: pending, running, succeeded, failed, cancelled or interrupted.
        percent: 0.0 to 100.0, never falls, 100.0 only once the job has succeeded;
            None without a configuration.
        steps: Steps in the order of the configuration.
        metadata: Values given when the job was created.
        event_count: Events stored.
        created_at: When the job was created.
        started_at: When it began; None before that.
        finished_at: When it ended; None before that.
        last_event_at: When the newest event arrived; None without events.
        last_occurred_at: Latest time an event gave; None without events.
        version: Grows with each change.
    """

    id: int
    provider_job_id: str
    customer_id: int
    tag: str
    name: str
    configuration_id: int | None
    finish: str
    status: str
    percent: float | None
    steps: tuple[JobStep, ...]
    metadata: Mapping[str, Any]
    event_count: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    last_event_at: datetime | None
    last_occurred_at: datetime | None
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """An event as the backend stored it; see `trackerapi.Event`.

    Attributes:
        sequence: Place in the job's order of arrival; the first is 1.
        received_at: When it arrived, on the backend's clock.
        part: Name of the part that counted; None without one.
    """

    event_id: str
    sequence: int
    provider_job_id: str
    kind: str
    tag: str | None
    event_metadata: Mapping[str, Any]
    occurred_at: datetime
    received_at: datetime
    completed: float | None
    total: float | None
    fraction: float | None
    part: str | None
    retrying: bool
    message: str | None
    detail: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareLink:
    """A link by which a customer watches one job.

    Attributes:
        revoked_at: When it was revoked; None while it works.
    """

    id: int
    job_id: int
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyOwner:
    """Owner and scopes of the key that a request was made with.

    Attributes:
        scopes: Of `ingest` (report), `read` (ask) and `admin` (keys, customers).
        expires_at: None when the key does not expire.
        job_id: The one job that a job token is for; None for other keys.
        provider_job_id: The provider's id of that job.
    """

    provider_id: int
    provider_name: str
    key_id: str
    scopes: tuple[str, ...]
    expires_at: datetime | None
    job_id: int | None
    provider_job_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key without its secret.

    Attributes:
        key_id: Public part of the key.
        label: What the key is for, in the provider's words.
        scopes: Of `ingest`, `read` and `admin`.
        expires_at: In the past for a key that was ended; None for never.
        last_used_at: To the minute; None when never used.
        job_id: The one job that a job token is for; None for other keys.
        created_by: Public part of the key that made this one; None for a key made on
            the command line of the backend.
    """

    key_id: str
    label: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    job_id: int | None
    created_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApiKey:
    """A key that was just made; the only time its secret can be read.

    Attributes:
        key: The key without its secret.
        api_key: The whole key; hidden in the repr.
    """

    key: ApiKey
    api_key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJobToken:
    """A credential for one job that was just made; the only time it can be read.

    Attributes:
        token: The whole token, sent like any key; hidden in the repr.
        key_id: Public part, by which `admin.expire_api_key()` ends it.
        provider_job_id: The provider's id of the job.
        expires_at: When it ends by itself.
        scopes: Those of `ingest` and `read` that the key had which made it; empty
            where the backend does not name them.
    """

    token: str = field(repr=False)
    key_id: str
    provider_job_id: str
    expires_at: datetime
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A customer: the person or organisation that jobs are run for.

    Attributes:
        reference: The provider's own id of the customer; None without one.
    """

    id: int
    reference: str | None
    name: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredJobConfig:
    """A job configuration as the backend stored it; it never changes.

    Attributes:
        revision: Counts the contents that the tag has had; the first is 1.
        document: The configuration in the shape of a configuration file.
    """

    id: int
    tag: str
    name: str
    version: str | None
    revision: int
    document: Mapping[str, Any]
    created_at: datetime


def check_subject(answered: object, asked: object) -> None:
    """Refuse the answer to another request, as from a confused cache on the way.

    Args:
        answered: Id of the object that the answer is about.
        asked: Id of the object that the request is about.

    Raises:
        BackendUnavailable: If the two differ.
    """
    if answered != asked:
        raise BackendUnavailable(
            "the answer is about something else than was asked for; check the address "
            "and proxies between"
        )
