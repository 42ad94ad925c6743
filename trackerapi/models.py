"""Answers of the backend as plain data.

Statuses, kinds and scopes are texts: a newer backend may send further values. Times are
aware and in UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from trackerapi.errors import BackendUnavailable


class _Counted:
    """Answer with counts, which are floats even if JSON writes them without a point."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for name in ("completed", "total", "fraction", "failed"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, float(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStep(_Counted):
    """A step of a job, with its progress.

    Attributes:
        tag: Tag in the job's configuration.
        name: Display name, which the customer reads.
        points: Weight of the step against the other steps, 0 or more.
        status: pending, running, done, failed, skipped, not_run or cancelled.
        fraction: Largest reported share of the step, 0.0 to 1.0.
        completed: Latest reported number of finished units; None without a report.
        total: Latest reported total number of units; None if unknown.
        attempts: Number of attempts that have begun.
        started_at: Begin of the first attempt; None before the first attempt.
        finished_at: Time when the step was done, skipped or failed; None before that
            time.
        units: Name of the counted units, such as images; None without a name.
        failed: Number of units that failed, among the completed units; None without a
            report.
        max_attempts: Maximum number of attempts; None without a report.

    Example:
        for step in tracker.get_job("import-42").steps:
            print(step.name, step.status, step.completed, "of", step.total)
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
    units: str | None = None
    failed: float | None = None
    max_attempts: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A tracked job, as the backend answers it.

    Attributes:
        id: The backend's id; later jobs have larger ids.
        provider_job_id: The provider's id of the job.
        customer_id: The customer of the job.
        tag: Tag of the job's configuration.
        name: Display name, which the customer reads.
        configuration_id: Revision of the configuration, fixed at creation; None
            without a configuration.
        finish: auto (the job succeeds when all steps are done or skipped) or explicit
            (the job succeeds with a `complete` event).
        status: pending, running, succeeded, failed, cancelled or interrupted.
        percent: 0.0 to 100.0, never falls, and is 100.0 only after success; None
            without a configuration.
        steps: Steps in the order of the configuration.
        metadata: Values from the creation of the job.
        event_count: Number of stored events.
        created_at: Time of the creation.
        started_at: Time of the first report of work; None before this report.
        finished_at: Time of the end of the job; None before the end.
        last_event_at: Arrival of the newest event; None without events.
        last_occurred_at: Latest `occurred_at` of an event; None without events.
        version: Number that grows with each change.
        title: Name of this job for the customer; None without a title.
        reference: Text that the customer quotes in questions; None without a
            reference.

    Example:
        job = tracker.get_job("import-42")
        print(job.name, job.status, job.percent)
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
    title: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent(_Counted):
    """An event in the store of the backend; `trackerapi.Event` has the other fields.

    Attributes:
        sequence: Number of the event in the order of arrival; 1 for the first event of
            the job.
        received_at: Time of arrival, on the backend's clock.
        part: Name under which a thread, process or host counted; None without a name.
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
    failed: float | None = None
    max_attempts: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareLink:
    """A link with which a customer watches one job.

    Attributes:
        revoked_at: Time when the link was revoked; None while the link works.
        label: Purpose of the link, in the provider's words; None without a label.
        language: Language of the page until its reader chooses another; None for the
            language of the browser.
        last_opened_at: Time of the latest view of the page, to five minutes; None
            before the first view.
    """

    id: int
    job_id: int
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    label: str | None = None
    language: str | None = None
    last_opened_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyOwner:
    """Owner and scopes of the key of a request.

    Attributes:
        scopes: Some of `ingest` (reports), `read` (read calls) and `admin` (keys and
            customers).
        expires_at: Time when the key expires; None if the key does not expire.
        job_id: The job of a job token; None for other keys.
        provider_job_id: The provider's id of that job; None for other keys.
    """

    provider_id: int
    provider_name: str
    key_id: str
    scopes: tuple[str, ...]
    expires_at: datetime | None
    job_id: int | None
    provider_job_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedCredentials:
    """Numbers of credentials that ended together with an expired key.

    Attributes:
        expired_keys: Keys that the key had made, directly or through another key.
        expired_tokens: Job tokens that the key or these keys had made.
        revoked_share_links: Share links that the key or these keys had made.
    """

    expired_keys: int
    expired_tokens: int
    revoked_share_links: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key without its secret.

    Attributes:
        key_id: Public part of the key.
        label: Purpose of the key, in the provider's words.
        scopes: Some of `ingest`, `read` and `admin`.
        expires_at: Time of the end, in the past for an expired key; None if the key
            does not expire.
        last_used_at: Time of the latest use, to the minute; None before the first use.
        job_id: The job of a job token; None for other keys.
        created_by: Public part of the key that created this key; None if the command
            line of the backend created this key.
        revoked: Numbers of credentials that `expire_api_key(revoke_created=True)` has
            ended together with the key; None in the results of other calls.
    """

    key_id: str
    label: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    job_id: int | None
    created_by: str | None
    revoked: RevokedCredentials | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApiKey:
    """A new key with its secret, which no later call returns.

    Attributes:
        key: The key without its secret.
        api_key: The whole key; hidden in the repr.
    """

    key: ApiKey
    api_key: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJobToken:
    """A new credential for one job, with its secret, which no later call returns.

    Attributes:
        token: The whole token, sent like any key; hidden in the repr.
        key_id: Public part of the token, for `admin.expire_api_key()`.
        provider_job_id: The provider's id of the job.
        expires_at: Time when the token expires.
        scopes: `ingest` and `read`, without scopes that the creating key lacked; empty
            if the backend does not list scopes.
    """

    token: str = field(repr=False)
    key_id: str
    provider_job_id: str
    expires_at: datetime
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A customer: the person or organisation for which jobs run.

    Attributes:
        reference: The provider's own id of the customer; None without an id.
    """

    id: int
    reference: str | None
    name: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """An administrative change, without secrets and without texts that people wrote.

    Attributes:
        at: Time on the clock of the backend.
        key_id: Public part of the key that made the change; None for a command, and
            for a change by the backend itself.
        action: Name of the change, such as `create_api_key`.
        job_id: Job of the change; None for a change without a job.
        customer_id: Customer of the change; None for a change without a customer.
        details: Details of the change, such as `scopes` and `expires_at`; None for a
            change without details, and after an erasure of the job or customer.
    """

    at: datetime
    key_id: str | None
    action: str
    job_id: int | None
    customer_id: int | None
    details: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """Result of the erasure of a job or customer.

    Attributes:
        erased_at: Time on the clock of the backend.
        erased_jobs: Number of erased jobs.
        backups: Names of backups that may still contain the erased data.
        residue: Reason why bytes of the erased data may still be in the files of the
            database, with the fix; None if they were removed.
    """

    erased_at: datetime
    erased_jobs: int
    backups: tuple[str, ...]
    residue: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderProfile:
    """Profile of the provider for its customers; None for a value that is not set.

    Attributes:
        name: Name of the provider in the backend; the page shows it without a
            `display_name`.
        display_name: Name of the provider for customers.
        contact_text: Whom customers ask, and when.
        contact_phone: Telephone number.
        contact_mail: Mail address.
        time_zone: Time zone of times on the page, such as `Europe/Berlin`; None for
            UTC.
        language: Language of the page for a browser without a known language; None for
            English.
        accent: Colour of bars and links on a light page, such as `#0c6a60`.
        accent_dark: Colour of bars and links on a dark page, which the backend derives
            from `accent`.
        has_mark: Whether the page shows an image beside the name.
    """

    name: str
    display_name: str | None
    contact_text: str | None
    contact_phone: str | None
    contact_mail: str | None
    time_zone: str | None
    language: str | None
    accent: str | None
    accent_dark: str | None
    has_mark: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredJobConfig:
    """A job configuration in the store of the backend.

    Only its `texts` and `silent_after` can change.

    Attributes:
        revision: Number of this content among all contents of the same tag; 1 for the
            first.
        document: The configuration in the form of a configuration file.
    """

    id: int
    tag: str
    name: str
    version: str | None
    revision: int
    document: Mapping[str, Any]
    created_at: datetime


def check_subject(answered: object, asked: object) -> None:
    """Raise for an answer to another request, such as one from a faulty cache.

    Args:
        answered: Id of the object in the answer.
        asked: Id of the object in the request.

    Raises:
        BackendUnavailable: If both ids differ.
    """
    if answered != asked:
        raise BackendUnavailable(
            "the answer is about another object than the request; check the address "
            "and the proxies on the way"
        )
