"""Administration of a provider for an event loop."""

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
    """Keys, customers and stored configurations: `AsyncTrackerApi.admin`.

    The members and parameters are those of `Administration`, which documents them. No
    call blocks the event loop.
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
        """Create a key; no later call returns its secret."""
        return await run_in_thread(
            partial(self._sync.create_api_key, label, scopes, expires_at=expires_at)
        )

    def list_api_keys(self) -> "AsyncIterator[ApiKey]":
        """Iterate over the provider's keys without their secrets, newest first."""
        return paged(self._sync.list_api_keys)

    async def expire_api_key(self, key_id: str) -> "ApiKey":
        """Let a key expire now; a key cannot expire itself."""
        return await run_in_thread(partial(self._sync.expire_api_key, key_id))

    async def create_customer(
        self, *, reference: str | None = None, name: str | None = None
    ) -> "Customer":
        """Create a customer."""
        return await run_in_thread(
            partial(self._sync.create_customer, reference=reference, name=name)
        )

    def list_customers(
        self, *, reference: str | None = None
    ) -> "AsyncIterator[Customer]":
        """Iterate over the customers, newest first."""
        return paged(partial(self._sync.list_customers, reference=reference))

    async def get_customer(self, customer_id: int) -> "Customer":
        """Return one customer."""
        return await run_in_thread(partial(self._sync.get_customer, customer_id))

    def list_job_configs(
        self, *, tag: str | None = None, version: str | None = None
    ) -> "AsyncIterator[RegisteredJobConfig]":
        """Iterate over the stored configurations, newest first."""
        return paged(partial(self._sync.list_job_configs, tag=tag, version=version))

    async def get_job_config(self, config_id: int) -> "RegisteredJobConfig":
        """Return one stored configuration."""
        return await run_in_thread(partial(self._sync.get_job_config, config_id))
