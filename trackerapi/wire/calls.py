"""Operations of the backend; answers are the dataclasses of `trackerapi.models`.

Long: one class has a method for each operation.
"""

from binascii import b2a_base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from trackerapi_client import models
from trackerapi_client.api.api_keys import (
    create_api_key,
    expire_api_key,
    list_api_keys,
    verify_api_key,
)
from trackerapi_client.api.audit_log import list_audit_entries
from trackerapi_client.api.customers import (
    create_customer,
    erase_customer,
    get_customer,
    list_customers,
)
from trackerapi_client.api.events import list_events
from trackerapi_client.api.job_configurations import (
    get_job_configuration,
    list_job_configurations,
    register_job_configuration,
)
from trackerapi_client.api.jobs import (
    create_job,
    create_job_token,
    erase_job,
    get_job,
    list_jobs,
)
from trackerapi_client.api.provider import (
    get_provider_profile,
    update_provider_profile,
)
from trackerapi_client.api.share_links import (
    create_share_link,
    list_share_links,
    revoke_share_link,
)
from trackerapi_client.types import UNSET, Response, Unset

from trackerapi import models as answers
from trackerapi.arguments import (
    MAX_JOB_ID_LENGTH,
    MAX_NAME_LENGTH,
    check_id,
    check_name,
    check_words,
)
from trackerapi.errors import BackendUnavailable
from trackerapi.models import check_subject
from trackerapi.settings.api_key import key_id_of
from trackerapi.wire.client import BackendClient

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Plain = TypeVar("Plain", bound=DataclassInstance)

PAGE_SIZE: Final = 200
"""Number of items on one page of a list; the maximum that the backend allows."""

MAX_MARK_BYTES: Final = 8 * 1024
"""Maximum size of the mark of a provider, in bytes."""

_PROFILE_LENGTHS: Final = {"contact_text": 300, "contact_mail": 254}
"""Maximum lengths of the members that may be longer than a name."""

T = TypeVar("T")


class Calls:
    """Operations of the backend, one method each; safe to share between threads.

    Each method blocks no longer than the time limits of the client, and raises a
    `BackendError` without a usable answer. Lists are lazy: each page is requested when
    the iterator reaches it.

    Args:
        client: The generated client.
    """

    def __init__(self, client: BackendClient) -> None:
        self._client = client

    def verify_api_key(self) -> answers.ApiKeyOwner:
        """Return the owner, scopes and expiry of the key."""
        answer = verify_api_key.sync_detailed(client=self._client)
        owner = _parsed(answer, models.ApiKeyOwner)
        check_subject(owner.key_id, key_id_of(self._client.token) or owner.key_id)
        return _plain(answers.ApiKeyOwner, owner, scopes=_texts(owner.scopes))

    def create_api_key(
        self, label: str, scopes: Sequence[str], expires_at: datetime | None
    ) -> answers.NewApiKey:
        """Create a key.

        Args:
            label: Label that people read.
            scopes: Scopes of the contract.
            expires_at: End of the key; None for a key without end.

        Raises:
            ValueError: If a scope is unknown.
        """
        body = models.ApiKeyInput(
            label=check_name("label", label),
            scopes=[
                models.ApiKeyScope(scope)
                for scope in check_words(
                    "scopes", scopes, [each.value for each in models.ApiKeyScope]
                )
            ],
            expires_at=_or_unset(expires_at),
        )
        answer = create_api_key.sync_detailed(client=self._client, body=body)
        created = _parsed(answer, models.ApiKeyCreated)
        return answers.NewApiKey(key=_api_key(created.key), api_key=created.api_key)

    def list_api_keys(self) -> Iterator[answers.ApiKey]:
        """Iterate over the keys of the provider, newest first."""
        return map(
            _api_key, self._items(list_api_keys.sync_detailed, models.ApiKeyPage)
        )

    def expire_api_key(self, key_id: str, *, revoke_created: bool) -> answers.ApiKey:
        """Expire a key now; return the key.

        With `revoke_created`, the keys, tokens and links that the key has made end too.
        """
        answer = expire_api_key.sync_detailed(
            key_id, client=self._client, revoke_created=revoke_created or UNSET
        )
        return _api_key(_parsed_of(key_id, answer, models.ApiKey, "key_id"))

    def list_audit_entries(self) -> Iterator[answers.AuditEntry]:
        """Iterate over the administrative changes of the provider, newest first."""
        return map(
            _audit_entry,
            self._items(list_audit_entries.sync_detailed, models.AuditEntryPage),
        )

    def register_job_configuration(
        self, document: Mapping[str, Any]
    ) -> answers.RegisteredJobConfig:
        """Store a configuration, unless its content is already stored; return it."""
        body = models.JobConfigurationInput.from_dict(document)
        answer = register_job_configuration.sync_detailed(
            client=self._client, body=body
        )
        return _job_config(_parsed(answer, models.JobConfiguration))

    def list_job_configurations(
        self, tag: str | None, version: str | None
    ) -> Iterator[answers.RegisteredJobConfig]:
        """Iterate over configurations, newest first; None does not filter."""
        filters = {"tag": _name("tag", tag), "version": _name("version", version)}
        pages = self._items(
            list_job_configurations.sync_detailed,
            models.JobConfigurationPage,
            **filters,
        )
        return map(_job_config, pages)

    def get_job_configuration(self, config_id: int) -> answers.RegisteredJobConfig:
        """Return a configuration by the backend's id."""
        config_id = check_id("config_id", config_id)
        answer = get_job_configuration.sync_detailed(config_id, client=self._client)
        return _job_config(_parsed_of(config_id, answer, models.JobConfiguration))

    def create_job(self, document: Mapping[str, Any]) -> answers.Job:
        """Create a job, or attach to the existing job; return it.

        Args:
            document: Members of the contract's `JobInput`.
        """
        body = models.JobInput.from_dict(document)
        answer = create_job.sync_detailed(client=self._client, body=body)
        job = _parsed(answer, models.Job)
        for name in ("provider_job_id", "customer_id"):
            check_subject(getattr(job, name), document[name])
        return job_answer(job)

    def list_jobs(
        self,
        *,
        provider_job_id: str | None = None,
        customer_id: int | None = None,
        tag: str | None = None,
        status: Sequence[str] | None = None,
        created_since: datetime | None = None,
    ) -> Iterator[answers.Job]:
        """Iterate over jobs, newest first; None does not filter.

        Args:
            provider_job_id: The job with this id of the provider.
            customer_id: Jobs of this customer.
            tag: Jobs of the configuration with this tag.
            status: Jobs with one of these statuses.
            created_since: Jobs created at this time or later; aware.

        Raises:
            ValueError: If a status is unknown.
        """
        known = [each.value for each in models.JobStatus]
        words = check_words("status", status or (), known)
        statuses = [models.JobStatus(word) for word in words]
        jobs = self._items(
            list_jobs.sync_detailed,
            models.JobPage,
            provider_job_id=_name(
                "provider_job_id", provider_job_id, MAX_JOB_ID_LENGTH
            ),
            customer_id=UNSET
            if customer_id is None
            else check_id("customer_id", customer_id),
            tag=_name("tag", tag),
            status=_or_unset(statuses or None),
            created_since=_or_unset(created_since),
        )
        return map(job_answer, jobs)

    def get_job(self, job_id: int) -> answers.Job:
        """Return a job by the backend's id."""
        answer = get_job.sync_detailed(job_id, client=self._client)
        return job_answer(_parsed_of(job_id, answer, models.Job))

    def erase_job(self, job_id: int) -> answers.Erasure:
        """Erase a job by the backend's id."""
        job_id = check_id("job_id", job_id)
        return _erasure(erase_job.sync_detailed(job_id, client=self._client))

    def list_events(self, job_id: int) -> Iterator[answers.JobEvent]:
        """Iterate over the events of a job, in the order of arrival."""
        events = self._items(
            partial(list_events.sync_detailed, job_id), models.EventPage
        )
        return map(_event, events)

    def create_share_link(
        self,
        job_id: int,
        expires_at: datetime | None,
        *,
        label: str | None = None,
        language: str | None = None,
    ) -> tuple[answers.ShareLink, str]:
        """Create a link to a job; return the link and its address.

        Args:
            job_id: The job, by the backend's id.
            expires_at: End of the link; None for the default of the backend.
            label: Label that the provider reads; None for a link without a label.
            language: Language of the page; None for the language of the browser.

        Raises:
            ValueError: If the language is unknown.
        """
        body = models.ShareLinkInput(
            expires_at=_or_unset(expires_at),
            label=_name("label", label),
            language=UNSET if language is None else _language(language),
        )
        answer = create_share_link.sync_detailed(job_id, client=self._client, body=body)
        created = _parsed(answer, models.ShareLinkCreated)
        check_subject(created.share_link.job_id, job_id)
        return _plain(answers.ShareLink, created.share_link), created.url

    def list_share_links(self, job_id: int) -> Iterator[answers.ShareLink]:
        """Iterate over the links to a job, newest first."""
        links = self._items(
            partial(list_share_links.sync_detailed, job_id), models.ShareLinkPage
        )
        return (_plain(answers.ShareLink, link) for link in links)

    def revoke_share_link(self, share_link_id: int) -> answers.ShareLink:
        """Revoke a link; return it."""
        share_link_id = check_id("share_link_id", share_link_id)
        answer = revoke_share_link.sync_detailed(share_link_id, client=self._client)
        link = _parsed_of(share_link_id, answer, models.ShareLink)
        return _plain(answers.ShareLink, link)

    def create_job_token(
        self, job_id: int, expires_at: datetime | None, label: str | None = None
    ) -> answers.NewJobToken:
        """Create a job token: a credential for one job.

        Args:
            job_id: The job, by the backend's id.
            expires_at: End of the token; None for the default of the backend.
            label: Label that people read; None for the default of the backend.
        """
        body = models.JobTokenInput(
            expires_at=_or_unset(expires_at), label=_name("label", label)
        )
        answer = create_job_token.sync_detailed(job_id, client=self._client, body=body)
        made = _parsed(answer, models.JobTokenCreated)
        return _plain(answers.NewJobToken, made, scopes=_texts(made.scopes or ()))

    def create_customer(
        self, reference: str | None, name: str | None
    ) -> answers.Customer:
        """Create a customer."""
        body = models.CustomerInput(
            reference=_name("reference", reference, MAX_JOB_ID_LENGTH),
            name=_name("name", name),
        )
        answer = create_customer.sync_detailed(client=self._client, body=body)
        return _plain(answers.Customer, _parsed(answer, models.Customer))

    def list_customers(self, reference: str | None) -> Iterator[answers.Customer]:
        """Iterate over customers, newest first; None does not filter."""
        customers = self._items(
            list_customers.sync_detailed,
            models.CustomerPage,
            reference=_name("reference", reference, MAX_JOB_ID_LENGTH),
        )
        return (_plain(answers.Customer, customer) for customer in customers)

    def get_customer(self, customer_id: int) -> answers.Customer:
        """Return a customer by the backend's id."""
        customer_id = check_id("customer_id", customer_id)
        answer = get_customer.sync_detailed(customer_id, client=self._client)
        customer = _parsed_of(customer_id, answer, models.Customer)
        return _plain(answers.Customer, customer)

    def erase_customer(self, customer_id: int) -> answers.Erasure:
        """Erase a customer and all its jobs."""
        customer_id = check_id("customer_id", customer_id)
        return _erasure(erase_customer.sync_detailed(customer_id, client=self._client))

    def get_provider_profile(self) -> answers.ProviderProfile:
        """Return the profile of the provider."""
        answer = get_provider_profile.sync_detailed(client=self._client)
        return _plain(answers.ProviderProfile, _parsed(answer, models.ProviderProfile))

    def update_provider_profile(
        self, changes: Mapping[str, str | bytes | None]
    ) -> answers.ProviderProfile:
        """Change the profile of the provider; return the whole profile.

        Args:
            changes: New value by member of `ProviderProfileChange`, the mark as bytes;
                None removes a value.

        Raises:
            TypeError: If a value is not text, or the mark is not bytes.
            ValueError: If a value is blank or too long, or the language is unknown.
        """
        checked = {
            name: None if value is None else _profile_value(name, value)
            for name, value in changes.items()
        }
        language = checked.get("language")
        if language is not None:
            _language(language)
        body = models.ProviderProfileChange.from_dict(checked)
        answer = update_provider_profile.sync_detailed(client=self._client, body=body)
        return _plain(answers.ProviderProfile, _parsed(answer, models.ProviderProfile))

    def _items(
        self, call: Callable[..., Response[Any]], page_type: type[Any], **filters: Any
    ) -> Iterator[Any]:
        """Iterate over the items of all pages of a list.

        Args:
            call: The generated call that requests a page.
            page_type: Generated model of a page.
            filters: Arguments of the call.

        Raises:
            BackendUnavailable: If a page repeats a cursor, or an empty page names a
                next page: such a list would never end.
        """
        # Keep all cursors: a faulty proxy may repeat an earlier page.
        cursors: list[str | Unset] = [UNSET]
        filters |= {"client": self._client, "limit": PAGE_SIZE}
        while True:
            page = _parsed(call(cursor=cursors[-1], **filters), page_type)
            yield from page.items
            if page.next_cursor is None:
                return
            if page.next_cursor in cursors or not page.items:
                raise BackendUnavailable("the pages of the list never end")
            cursors.append(page.next_cursor)


def _parsed(answer: Response[Any], expected: type[T]) -> T:
    """Return the generated model of an answer that the client has checked."""
    if isinstance(answer.parsed, expected):
        return answer.parsed
    raise BackendUnavailable(f"the answer is not of the type {expected.__name__}")


def _parsed_of(
    subject: object, answer: Response[Any], expected: type[T], name: str = "id"
) -> T:
    """Return the model of an answer about `subject`.

    Args:
        subject: Id in the request.
        answer: The answer.
        expected: Type of the model.
        name: Name of the model's attribute that contains the id.

    Raises:
        BackendUnavailable: If the answer is about another subject.
    """
    model = _parsed(answer, expected)
    check_subject(getattr(model, name), subject)
    return model


def _name(
    argument: str, value: str | None, longest: int = MAX_NAME_LENGTH
) -> str | Unset:
    return UNSET if value is None else check_name(argument, value, longest)


def _language(value: str) -> models.Language:
    known = [each.value for each in models.Language]
    if check_name("language", value) not in known:
        listed = " or ".join(map(repr, known))
        raise ValueError(f"language must be {listed}, got {value!r}")
    return models.Language(value)


def _or_unset(value: T | None) -> T | Unset:
    return UNSET if value is None else value


def _plain(cls: "type[Plain]", model: object, **members: Any) -> "Plain":
    """Return an instance of `cls` with the attributes of a generated model.

    An older backend may leave out a member: the attribute is None then.

    Args:
        cls: Dataclass of `trackerapi.models`.
        model: Generated model.
        members: Attributes with other values than in the model.
    """
    for name in {field.name for field in fields(cls)} - members.keys():
        value = getattr(model, name)
        if isinstance(value, Unset):
            value = None
        if isinstance(value, datetime):
            value = value.astimezone(UTC)
        members[name] = str(value) if isinstance(value, Enum) else value
    return cls(**members)


def _texts(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _api_key(model: models.ApiKey) -> answers.ApiKey:
    revoked = (
        _plain(answers.RevokedCredentials, model.revoked) if model.revoked else None
    )
    return _plain(answers.ApiKey, model, scopes=_texts(model.scopes), revoked=revoked)


def _audit_entry(model: models.AuditEntry) -> answers.AuditEntry:
    details = None if model.details is None else model.details.to_dict()
    return _plain(answers.AuditEntry, model, details=details)


def _erasure(answer: Response[Any]) -> answers.Erasure:
    model = _parsed(answer, models.Erasure)
    return _plain(answers.Erasure, model, backups=_texts(model.backups))


def job_answer(model: models.Job) -> answers.Job:
    """Return the plain job of a generated model."""
    return _plain(
        answers.Job,
        model,
        steps=tuple(_plain(answers.JobStep, step) for step in model.steps),
        metadata=model.metadata.to_dict(),
    )


def _event(model: models.Event) -> answers.JobEvent:
    return _plain(
        answers.JobEvent,
        model,
        event_id=str(model.event_id),
        event_metadata=model.event_metadata.to_dict(),
    )


def _job_config(model: models.JobConfiguration) -> answers.RegisteredJobConfig:
    members = (
        *("tag", "name", "version", "metadata", "step_configurations", "texts"),
        "silent_after",
    )
    stored = _without_blanks(model.to_dict())
    document = {name: stored[name] for name in members if name in stored}
    return _plain(answers.RegisteredJobConfig, model, document=document)


def _without_blanks(value: Any) -> Any:
    """Return JSON without nulls and empty values, in the form of a configuration file.

    An empty `after` stays, because it has a meaning: the step waits for no other step.
    """
    if isinstance(value, list):
        return [_without_blanks(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _without_blanks(member)
        for name, member in value.items()
        if member not in (None, [], {}) or (member == [] and name == "after")
    }


def _profile_value(name: str, value: object) -> str:
    """Return a value of the profile as the contract has it: a mark is base64."""
    if name != "mark":
        longest = _PROFILE_LENGTHS.get(name, MAX_NAME_LENGTH)
        return check_name(name, value, longest)
    if not isinstance(value, bytes):
        raise TypeError(f"mark must be bytes, got {type(value).__name__}")
    if not 0 < len(value) <= MAX_MARK_BYTES:
        limit = f"1 to {MAX_MARK_BYTES:,} bytes"
        raise ValueError(f"mark must have {limit}, got {len(value):,}")
    return b2a_base64(value, newline=False).decode()
