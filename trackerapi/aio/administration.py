"""Administration of a provider for an event loop."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from trackerapi.aio.pages import paged
from trackerapi.process.event_loops import run_in_thread

if TYPE_CHECKING:
    from types import EllipsisType

    from trackerapi.administration import Administration
    from trackerapi.models import (
        ApiKey,
        AuditEntry,
        Customer,
        Erasure,
        NewApiKey,
        ProviderProfile,
        RegisteredJobConfig,
    )


class AsyncAdministration:
    """Keys, customers, configurations and profile: `AsyncTrackerApi.admin`.

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

    async def expire_api_key(
        self, key_id: str, *, revoke_created: bool = False
    ) -> "ApiKey":
        """Let a key expire now; a key cannot expire itself."""
        return await run_in_thread(
            partial(self._sync.expire_api_key, key_id, revoke_created=revoke_created)
        )

    def list_audit_entries(self) -> "AsyncIterator[AuditEntry]":
        """Iterate over the administrative changes of the provider, newest first."""
        return paged(self._sync.list_audit_entries)

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

    async def erase_customer(self, customer_id: int) -> "Erasure":
        """Erase a customer with all its jobs, for good."""
        return await run_in_thread(partial(self._sync.erase_customer, customer_id))

    async def erase_job(self, job_id: int) -> "Erasure":
        """Erase a job with its events, share links and job tokens, for good."""
        return await run_in_thread(partial(self._sync.erase_job, job_id))

    def list_job_configs(
        self, *, tag: str | None = None, version: str | None = None
    ) -> "AsyncIterator[RegisteredJobConfig]":
        """Iterate over the stored configurations, newest first."""
        return paged(partial(self._sync.list_job_configs, tag=tag, version=version))

    async def get_job_config(self, config_id: int) -> "RegisteredJobConfig":
        """Return one stored configuration."""
        return await run_in_thread(partial(self._sync.get_job_config, config_id))

    async def get_provider_profile(self) -> "ProviderProfile":
        """Return the profile of the provider, which customers read on their pages."""
        return await run_in_thread(self._sync.get_provider_profile)

    async def update_provider_profile(
        self,
        *,
        display_name: "str | EllipsisType | None" = ...,
        contact_text: "str | EllipsisType | None" = ...,
        contact_phone: "str | EllipsisType | None" = ...,
        contact_mail: "str | EllipsisType | None" = ...,
        time_zone: "str | EllipsisType | None" = ...,
        language: "str | EllipsisType | None" = ...,
        accent: "str | EllipsisType | None" = ...,
        mark: "bytes | EllipsisType | None" = ...,
    ) -> "ProviderProfile":
        """Change the profile of the provider; return the whole profile."""
        return await run_in_thread(
            partial(
                self._sync.update_provider_profile,
                display_name=display_name,
                contact_text=contact_text,
                contact_phone=contact_phone,
                contact_mail=contact_mail,
                time_zone=time_zone,
                language=language,
                accent=accent,
                mark=mark,
            )
        )
