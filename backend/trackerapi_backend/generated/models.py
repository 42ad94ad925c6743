"""Shapes of the contract, compiled by scripts/regenerate.sh; never edited."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypeAlias, TypedDict


class ApiKeyOwner(TypedDict):
    """Owner and permissions of a key."""

    provider_id: int
    provider_name: str
    key_id: str
    scopes: list[str | Literal["ingest", "read", "admin"]]
    expires_at: str | None
    job_id: NotRequired[int | None]
    provider_job_id: NotRequired[str | None]


class ApiKeyInput(TypedDict):
    """Properties of a new key."""

    label: str
    scopes: list[Literal["ingest", "read", "admin"]]
    expires_at: NotRequired[str]


class RevokedCredentials(TypedDict):
    """Numbers of valid keys, job tokens and share links that expire_api_key has ended with `revoke_created`. In other responses, a key has no `revoked`."""

    expired_keys: int
    expired_tokens: int
    revoked_share_links: int


class AuditDetails(TypedDict):
    """Details of a change; later releases may have other members."""


class MetadataConfiguration(TypedDict):
    """A metadata key of a step, with its format and audience."""

    name: str
    kind: NotRequired[Literal["text", "number", "link"]]
    units: NotRequired[str | None]
    audience: NotRequired[Literal["provider", "customer"]]


class MetadataConfigurationSeen(TypedDict):
    """A metadata key of a step, in responses."""

    name: str
    kind: str | Literal["text", "number", "link"]
    units: str | None
    audience: str | Literal["provider", "customer"]


class StepConfigurationInput(TypedDict):
    """One step of a job configuration. The order of the steps is the order on the page."""

    tag: str
    name: str
    points: int
    metadata_configurations: NotRequired[list[MetadataConfiguration]]
    after: NotRequired[list[str]]
    units: NotRequired[str]


class StepConfiguration(TypedDict):
    """A step of a stored job configuration."""

    tag: str
    name: str
    points: int
    metadata_configurations: list[MetadataConfigurationSeen]
    after: NotRequired[list[str]]
    units: NotRequired[str]


class StepTexts(TypedDict):
    """Texts of one step in one language."""

    name: NotRequired[str]
    units: NotRequired[str]


MetadataLevel3: TypeAlias = Any


MetadataLevel4: TypeAlias = Any


MetadataLevel5: TypeAlias = Any


MetadataLeaf: TypeAlias = str | float | bool | None


class JobStep(TypedDict):
    """A step of a job, with status and progress."""

    tag: str
    name: str
    points: int
    status: (
        str
        | Literal[
            "pending", "running", "done", "failed", "skipped", "not_run", "cancelled"
        ]
    )
    fraction: float
    completed: float | None
    total: float | None
    attempts: int
    started_at: str | None
    finished_at: str | None
    units: NotRequired[str | None]
    failed: NotRequired[float | None]
    max_attempts: NotRequired[int | None]


class JobTokenInput(TypedDict):
    """Purpose and lifetime of a new job token."""

    label: NotRequired[str]
    expires_at: NotRequired[str]


class JobTokenCreated(TypedDict):
    """A new job token."""

    token: str
    key_id: str
    provider_job_id: str
    expires_at: str
    scopes: NotRequired[list[str | Literal["ingest", "read", "admin"]]]


class ShareLinkInput(TypedDict):
    """Properties of a new link."""

    expires_at: NotRequired[str]
    label: NotRequired[str]
    language: NotRequired[Literal["en", "de"]]


class ShareLink(TypedDict):
    """A link without its URL."""

    id: int
    job_id: int
    created_at: str
    expires_at: str
    revoked_at: str | None
    label: NotRequired[str | None]
    language: NotRequired[str | Literal["en", "de"] | None]
    last_opened_at: NotRequired[str | None]


class ShareLinkCreated(TypedDict):
    """A new link with its URL."""

    share_link: ShareLink
    url: str


class ShareLinkPage(TypedDict):
    """One page of links."""

    items: list[ShareLink]
    next_cursor: str | None


class ProviderProfileChange(TypedDict):
    """New values of the profile. A missing member leaves its value unchanged, and null removes the value."""

    display_name: NotRequired[str | None]
    contact_text: NotRequired[str | None]
    contact_phone: NotRequired[str | None]
    contact_mail: NotRequired[str | None]
    time_zone: NotRequired[str | None]
    language: NotRequired[Literal["en", "de"] | None]
    accent: NotRequired[str | None]
    mark: NotRequired[str | None]


class ProviderProfile(TypedDict):
    """What customers read about the provider. A value that is not set is null."""

    name: str
    display_name: str | None
    contact_text: str | None
    contact_phone: str | None
    contact_mail: str | None
    time_zone: str | None
    language: str | Literal["en", "de"] | None
    accent: str | None
    accent_dark: str | None
    has_mark: NotRequired[bool]


class CustomerInput(TypedDict):
    """Properties of a new customer."""

    reference: NotRequired[str]
    name: NotRequired[str]


class Customer(TypedDict):
    """A customer of the provider."""

    id: int
    reference: str | None
    name: str | None
    created_at: str


class CustomerPage(TypedDict):
    """One page of customers."""

    items: list[Customer]
    next_cursor: str | None


class Erasure(TypedDict):
    """Result of an erasure."""

    erased_at: str
    erased_jobs: int
    backups: list[str]
    residue: str | None


class Health(TypedDict):
    """Health of the service."""

    status: str
    version: str


class ProblemError(TypedDict):
    """An invalid value of the request."""

    pointer: str
    detail: str


class ApiKey(TypedDict):
    """A key without its secret."""

    key_id: str
    label: str
    scopes: list[str | Literal["ingest", "read", "admin"]]
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    job_id: NotRequired[int | None]
    created_by: NotRequired[str | None]
    revoked: NotRequired[RevokedCredentials]


class ApiKeyCreated(TypedDict):
    """A new key with its secret."""

    key: ApiKey
    api_key: str


class ApiKeyPage(TypedDict):
    """One page of keys."""

    items: list[ApiKey]
    next_cursor: str | None


class AuditEntry(TypedDict):
    """An administrative change."""

    at: str
    key_id: str | None
    action: str
    job_id: int | None
    customer_id: int | None
    details: AuditDetails | None


class AuditEntryPage(TypedDict):
    """One page of the audit log."""

    items: list[AuditEntry]
    next_cursor: str | None


class Job(TypedDict):
    """A tracked job."""

    id: int
    provider_job_id: str
    customer_id: int
    tag: str
    name: str
    configuration_id: int | None
    finish: str | Literal["auto", "explicit"]
    status: (
        str
        | Literal[
            "pending", "running", "succeeded", "failed", "cancelled", "interrupted"
        ]
    )
    percent: float | None
    steps: list[JobStep]
    metadata: dict[str, Any]
    event_count: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    last_event_at: str | None
    last_occurred_at: str | None
    version: int
    title: NotRequired[str | None]
    reference: NotRequired[str | None]


class JobPage(TypedDict):
    """One page of jobs."""

    items: list[Job]
    next_cursor: str | None


class EventInput(TypedDict):
    """One report about a job or a step of the job. Known kinds: start, progress, step, skip, error, complete, cancel, interrupt, info, heartbeat; any other kind is stored and shown like info. A `complete` with a step counts as `step`. A `cancel` or `interrupt` with a step changes nothing."""

    event_id: NotRequired[str]
    provider_job_id: str
    kind: str
    tag: NotRequired[str]
    name: NotRequired[str]
    event_metadata: NotRequired[dict[str, Any] | None]
    occurred_at: NotRequired[str]
    completed: NotRequired[float]
    total: NotRequired[float]
    fraction: NotRequired[float]
    part: NotRequired[str]
    retrying: NotRequired[bool]
    failed: NotRequired[float]
    max_attempts: NotRequired[int]
    message: NotRequired[str]
    detail: NotRequired[str]


class Event(TypedDict):
    """A stored event."""

    id: str
    event_id: str
    sequence: int
    provider_job_id: str
    kind: str
    tag: str | None
    event_metadata: dict[str, Any]
    occurred_at: str
    received_at: str
    completed: float | None
    total: float | None
    fraction: float | None
    part: NotRequired[str | None]
    retrying: bool
    failed: NotRequired[float | None]
    max_attempts: NotRequired[int | None]
    message: str | None
    detail: str | None


class EventPage(TypedDict):
    """One page of events."""

    items: list[Event]
    next_cursor: str | None


class Problem(TypedDict):
    """Problem details (RFC 9457); later releases may add members."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str
    errors: NotRequired[list[ProblemError]]


class LanguageTexts(TypedDict):
    """Texts in one language. A missing text is replaced by the text in the configuration."""

    name: NotRequired[str]
    steps: NotRequired[dict[str, StepTexts]]
    metadata: NotRequired[dict[str, str]]


class RejectedLine(TypedDict):
    """A rejected line with the reason."""

    line: int
    event_id: str | None
    problem: Problem


class JobConfiguration(TypedDict):
    """A stored job configuration. Only its `texts` and `silent_after` can change."""

    id: int
    tag: str
    name: str
    version: str | None
    revision: int
    metadata: str | Literal["declared"] | None
    step_configurations: list[StepConfiguration]
    created_at: str
    texts: NotRequired[dict[str, LanguageTexts]]
    silent_after: NotRequired[int | None]


class JobConfigurationPage(TypedDict):
    """One page of job configurations."""

    items: list[JobConfiguration]
    next_cursor: str | None


class BatchReport(TypedDict):
    """Counts of stored lines and duplicates, and the rejected lines."""

    accepted: int
    duplicates: int
    rejected: list[RejectedLine]


class JobConfigurationInput(TypedDict):
    """Steps of a job, with display names and weights."""

    tag: str
    name: str
    version: NotRequired[str]
    metadata: NotRequired[Literal["declared"]]
    step_configurations: list[StepConfigurationInput]
    texts: NotRequired[dict[str, LanguageTexts]]
    silent_after: NotRequired[int]


class JobInput(TypedDict):
    """Properties of a new job."""

    provider_job_id: str
    customer_id: int
    tag: str
    configuration: NotRequired[JobConfigurationInput]
    finish: NotRequired[Literal["auto", "explicit"]]
    created_at: NotRequired[str]
    metadata: NotRequired[dict[str, Any]]
    title: NotRequired[str]
    reference: NotRequired[str]
