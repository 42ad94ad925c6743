"""What the people behind a provider do, for an event loop."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from trackerapi.aio.pages import paged
from trackerapi.process.event_loops import run_in_thread

if TYPE_CHECKING:
    from trackerapi.administration import Administration
    from trackerapi.models import ApiKey, Customer, NewApiKey, RegisteredJobConfig


class AsyncAdministration:
    """Manage what jobs need; made by `AsyncTrackerApi.admin`.

    What each method takes, returns and raises is said by `Administration`.
    """

    def __init__(self, administration: "Administration") -> None:
        self._sync = administration

    async def create_api_key(
        self,
        label: str,
        scopes: Sequence[str] = ("ingest",),
        *,
        expires_at: datetime | None = None,
    ) -> "NewApiKey":
        """Make a key; the answer is the only place where its secret is shown."""
        return await run_in_thread(
            partial(self._sync.create_api_key, label, scopes, expires_at=expires_at)
        )

    def list_api_keys(self) -> "AsyncIterator[ApiKey]":
        """Iterate over the provider's keys, newest first, without secrets."""
        return paged(self._sync.list_api_keys)

    async def expire_api_key(self, key_id: str) -> "ApiKey":
        """End a key at once; a key cannot end itself."""
        return await run_in_thread(partial(self._sync.expire_api_key, key_id))

    async def create_customer(
        self, *, reference: str | None = None, name: str | None = None
    ) -> "Customer":
        """Make a customer."""
        return await run_in_thread(
            partial(self._sync.create_customer, reference=reference, name=name)
        )

    def list_customers(
        self, *, reference: str | None = None
    ) -> "AsyncIterator[Customer]":
        """Iterate over the customers, newest first."""
        return paged(partial(self._sync.list_customers, reference=reference))

    async def get_customer(self, customer_id: int) -> "Customer":
        """Get one customer."""
        return await run_in_thread(partial(self._sync.get_customer, customer_id))

    def list_job_configs(
        self, *, tag: str | None = None, version: str | None = None
    ) -> "AsyncIterator[RegisteredJobConfig]":
        """Iterate over the stored configurations, newest first."""
        return paged(partial(self._sync.list_job_configs, tag=tag, version=version))

    async def get_job_config(self, config_id: int) -> "RegisteredJobConfig":
        """Get one stored configuration, such as a job's `configuration_id`."""
        return await run_in_thread(partial(self._sync.get_job_config, config_id))
