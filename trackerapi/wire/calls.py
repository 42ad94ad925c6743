"""Every operation that the layer by hand uses, in types of our own."""

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
from trackerapi_client.api.customers import (
    create_customer,
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
    get_job,
    list_jobs,
)
from trackerapi_client.api.share_links import (
    create_share_link,
    list_share_links,
    revoke_share_link,
)
from trackerapi_client.types import UNSET, Response, Unset

from trackerapi import models as answers
from trackerapi.arguments import check_words
from trackerapi.errors import BackendUnavailable
from trackerapi.models import check_subject
from trackerapi.settings.api_key import key_id_of
from trackerapi.wire.client import BackendClient

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Plain = TypeVar("Plain", bound=DataclassInstance)

PAGE_SIZE: Final = 200
T = TypeVar("T")


class Calls:
    """The operations of the backend, one method each.

    Each method raises a `BackendError` where the backend does not answer usably.
    """

    def __init__(self, client: BackendClient) -> None:
        self._client = client

    def verify_api_key(self) -> answers.ApiKeyOwner:
        """Ask whose key this is."""
        answer = verify_api_key.sync_detailed(client=self._client)
        owner = _parsed(answer, models.ApiKeyOwner)
        check_subject(owner.key_id, key_id_of(self._client.token) or owner.key_id)
        return _plain(answers.ApiKeyOwner, owner, scopes=_texts(owner.scopes))

    def create_api_key(
        self, label: str, scopes: Sequence[str], expires_at: datetime | None
    ) -> answers.NewApiKey:
        """Make a key."""
        body = models.ApiKeyInput(
            label=label,
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
        """List keys, newest first."""
        return map(
            _api_key, self._items(list_api_keys.sync_detailed, models.ApiKeyPage)
        )

    def expire_api_key(self, key_id: str) -> answers.ApiKey:
        """End a key."""
        answer = expire_api_key.sync_detailed(key_id, client=self._client)
        return _api_key(_parsed_of(key_id, answer, models.ApiKey, "key_id"))

    def register_job_configuration(
        self, document: Mapping[str, Any]
    ) -> answers.RegisteredJobConfig:
        """Store a configuration, or find the stored one with the same content."""
        body = models.JobConfigurationInput.from_dict(document)
        answer = register_job_configuration.sync_detailed(
            client=self._client, body=body
        )
        return _job_config(_parsed(answer, models.JobConfiguration))

    def list_job_configurations(
        self, tag: str | None, version: str | None
    ) -> Iterator[answers.RegisteredJobConfig]:
        """List configurations, newest first."""
        filters = {"tag": _or_unset(tag), "version": _or_unset(version)}
        pages = self._items(
            list_job_configurations.sync_detailed,
            models.JobConfigurationPage,
            **filters,
        )
        return map(_job_config, pages)

    def get_job_configuration(self, config_id: int) -> answers.RegisteredJobConfig:
        """Get one configuration."""
        answer = get_job_configuration.sync_detailed(config_id, client=self._client)
        return _job_config(_parsed_of(config_id, answer, models.JobConfiguration))

    def create_job(self, document: Mapping[str, Any]) -> answers.Job:
        """Create a job, or attach to it.

        Args:
            document: Members of the contract's `JobInput`.
        """
        body = models.JobInput.from_dict(document)
        answer = create_job.sync_detailed(client=self._client, body=body)
        job = _parsed(answer, models.Job)
        for name in ("provider_job_id", "customer_id"):
            check_subject(getattr(job, name), document[name])
        return _job(job)

    def list_jobs(
        self,
        *,
        provider_job_id: str | None = None,
        customer_id: int | None = None,
        tag: str | None = None,
        status: Sequence[str] | None = None,
        created_since: datetime | None = None,
    ) -> Iterator[answers.Job]:
        """List jobs, newest first; None does not filter."""
        known = [each.value for each in models.JobStatus]
        words = check_words("status", status or (), known)
        statuses = [models.JobStatus(word) for word in words]
        jobs = self._items(
            list_jobs.sync_detailed,
            models.JobPage,
            provider_job_id=_or_unset(provider_job_id),
            customer_id=_or_unset(customer_id),
            tag=_or_unset(tag),
            status=_or_unset(statuses or None),
            created_since=_or_unset(created_since),
        )
        return map(_job, jobs)

    def get_job(self, job_id: int) -> answers.Job:
        """Get a job by the backend's id."""
        answer = get_job.sync_detailed(job_id, client=self._client)
        return _job(_parsed_of(job_id, answer, models.Job))

    def list_events(self, job_id: int) -> Iterator[answers.JobEvent]:
        """List the events of a job in order of arrival."""
        events = self._items(
            partial(list_events.sync_detailed, job_id), models.EventPage
        )
        return map(_event, events)

    def create_share_link(
        self, job_id: int, expires_at: datetime | None
    ) -> tuple[answers.ShareLink, str]:
        """Make a link; return it with its address."""
        body = models.ShareLinkInput(expires_at=_or_unset(expires_at))
        answer = create_share_link.sync_detailed(job_id, client=self._client, body=body)
        created = _parsed(answer, models.ShareLinkCreated)
        check_subject(created.share_link.job_id, job_id)
        return _plain(answers.ShareLink, created.share_link), created.url

    def list_share_links(self, job_id: int) -> Iterator[answers.ShareLink]:
        """List the links to a job, newest first."""
        links = self._items(
            partial(list_share_links.sync_detailed, job_id), models.ShareLinkPage
        )
        return (_plain(answers.ShareLink, link) for link in links)

    def revoke_share_link(self, share_link_id: int) -> answers.ShareLink:
        """End a link."""
        answer = revoke_share_link.sync_detailed(share_link_id, client=self._client)
        link = _parsed_of(share_link_id, answer, models.ShareLink)
        return _plain(answers.ShareLink, link)

    def create_job_token(
        self, job_id: int, expires_at: datetime | None, label: str | None = None
    ) -> answers.NewJobToken:
        """Make a credential for one job; None leaves end and label to the backend."""
        body = models.JobTokenInput(
            expires_at=_or_unset(expires_at), label=_or_unset(label)
        )
        answer = create_job_token.sync_detailed(job_id, client=self._client, body=body)
        made = _parsed(answer, models.JobTokenCreated)
        return _plain(answers.NewJobToken, made, scopes=_texts(made.scopes or ()))

    def create_customer(
        self, reference: str | None, name: str | None
    ) -> answers.Customer:
        """Make a customer."""
        body = models.CustomerInput(
            reference=_or_unset(reference), name=_or_unset(name)
        )
        answer = create_customer.sync_detailed(client=self._client, body=body)
        return _plain(answers.Customer, _parsed(answer, models.Customer))

    def list_customers(self, reference: str | None) -> Iterator[answers.Customer]:
        """List customers, newest first."""
        customers = self._items(
            list_customers.sync_detailed,
            models.CustomerPage,
            reference=_or_unset(reference),
        )
        return (_plain(answers.Customer, customer) for customer in customers)

    def get_customer(self, customer_id: int) -> answers.Customer:
        """Get one customer."""
        answer = get_customer.sync_detailed(customer_id, client=self._client)
        customer = _parsed_of(customer_id, answer, models.Customer)
        return _plain(answers.Customer, customer)

    def _items(
        self, call: Callable[..., Response[Any]], page_type: type[Any], **filters: Any
    ) -> Iterator[Any]:
        """Walk the pages of a list, asking for the next when it is needed."""
        cursors: list[str | Unset] = [UNSET]
        filters |= {"client": self._client, "limit": PAGE_SIZE}
        while True:
            page = _parsed(call(cursor=cursors[-1], **filters), page_type)
            yield from page.items
            if page.next_cursor is None:
                return
            if page.next_cursor in cursors or not page.items:
                raise BackendUnavailable("the pages of the answer lead on for ever")
            cursors.append(page.next_cursor)


def _parsed(answer: Response[Any], expected: type[T]) -> T:
    """Return what an operation answered; the guard has refused all else before."""
    if isinstance(answer.parsed, expected):
        return answer.parsed
    raise BackendUnavailable(f"the answer is no {expected.__name__}")


def _parsed_of(
    asked: object, answer: Response[Any], expected: type[T], name: str = "id"
) -> T:
    """Return an answer about what was asked for, known by its attribute `name`."""
    model = _parsed(answer, expected)
    check_subject(getattr(model, name), asked)
    return model


def _or_unset(value: T | None) -> T | Unset:
    return UNSET if value is None else value


def _plain(cls: "type[Plain]", model: object, **members: Any) -> "Plain":
    """Copy the attributes of a generated model that `cls` has.

    A member that a backend of an earlier contract leaves out is None.
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
    return _plain(answers.ApiKey, model, scopes=_texts(model.scopes))


def _job(model: models.Job) -> answers.Job:
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
    members = ("tag", "name", "version", "metadata", "step_configurations")
    stored = _given(model.to_dict())
    document = {name: stored[name] for name in members if name in stored}
    return _plain(answers.RegisteredJobConfig, model, document=document)


def _given(value: Any) -> Any:
    """Drop nulls and empty lists, which a configuration file leaves out.

    An empty `after` stays: it says that a step waits for no other.
    """
    if isinstance(value, list):
        return [_given(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _given(v)
        for name, v in value.items()
        if v is not None and (v != [] or name == "after")
    }
