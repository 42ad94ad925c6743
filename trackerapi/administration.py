"""Administration of a provider: keys, audit log, customers, configurations, profile."""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from trackerapi.times import as_rfc3339

if TYPE_CHECKING:
    from types import EllipsisType

    from trackerapi.models import (
        ApiKey,
        AuditEntry,
        Customer,
        Erasure,
        NewApiKey,
        ProviderProfile,
        RegisteredJobConfig,
    )
    from trackerapi.wire.calls import Calls

_KEY_ID = re.compile(r"[0-9A-Za-z]{1,32}")


class Administration:
    """Keys, customers, configurations and profile of a provider: `TrackerApi.admin`.

    Each method blocks until the backend answers, with repeated attempts for at most
    three times `timeout_seconds`. Iterators make a request for each page of a list.
    Creating keys and customers, changing the profile, and erasures need the scope
    `admin`. Every method raises a `BackendError` if the backend refuses the request or
    gives no usable answer.
    """

    def __init__(self, calls: "Callable[[], Calls]") -> None:
        self._calls = calls

    def create_api_key(
        self,
        label: str,
        scopes: Sequence[str] = ("ingest",),
        *,
        expires_at: datetime | None = None,
    ) -> "NewApiKey":
        """Create a key; no later call returns its secret.

        Args:
            label: Purpose of the key; 1 to 100 characters.
            scopes: Some of `ingest`, `read` and `admin`.
            expires_at: Time when the key expires; aware. None for never.

        Raises:
            ValueError: If a scope is unknown or `expires_at` has no offset.
        """
        if expires_at is not None:
            as_rfc3339(expires_at)
        return self._calls().create_api_key(label, scopes, expires_at)

    def list_api_keys(self) -> "Iterator[ApiKey]":
        """Iterate over the provider's keys without their secrets, newest first."""
        return self._calls().list_api_keys()

    def expire_api_key(self, key_id: str, *, revoke_created: bool = False) -> "ApiKey":
        """Let a key expire now; a key cannot expire itself.

        Args:
            key_id: Public part of the key, as in `list_api_keys()`.
            revoke_created: Whether to also end the keys, job tokens and share links
                that the key has made, directly or through keys that it has made. The
                key of this tracker stays valid, with everything that it has made.

        Returns:
            The expired key; with `revoke_created`, its `revoked` counts the ended keys,
            tokens and links.

        Raises:
            ValueError: If `key_id` is not the public part of a key.
        """
        if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
            # The message never repeats `key_id`: a whole key may have been passed.
            raise ValueError("key_id must be the public part of a key")
        return self._calls().expire_api_key(key_id, revoke_created=revoke_created)

    def list_audit_entries(self) -> "Iterator[AuditEntry]":
        """Iterate over the administrative changes of the provider, newest first.

        Needs the scope `admin`.

        Example:
            for entry in tracker.admin.list_audit_entries():
                print(entry.at, entry.key_id or "command", entry.action)
        """
        return self._calls().list_audit_entries()

    def create_customer(
        self, *, reference: str | None = None, name: str | None = None
    ) -> "Customer":
        """Create a customer.

        Args:
            reference: Your own id of the customer, unique among your customers; 1 to
                200 characters.
            name: Your name of the customer; 1 to 100 characters.
        """
        return self._calls().create_customer(reference, name)

    def list_customers(self, *, reference: str | None = None) -> "Iterator[Customer]":
        """Iterate over the customers, newest first.

        Args:
            reference: Return only the customer with this reference; None for all.
        """
        return self._calls().list_customers(reference)

    def get_customer(self, customer_id: int) -> "Customer":
        """Return one customer."""
        return self._calls().get_customer(customer_id)

    def erase_customer(self, customer_id: int) -> "Erasure":
        """Erase a customer with all its jobs, for good; see `erase_job()`.

        Args:
            customer_id: Id of the customer.
        """
        return self._calls().erase_customer(customer_id)

    def erase_job(self, job_id: int) -> "Erasure":
        """Erase a job with its events, share links and job tokens, for good.

        Returns once the backend has deleted everything. The backend rejects later
        reports on the job, and the scripts hold these reports in their outbox.

        Args:
            job_id: Id of the job at the backend, such as `Job.id`.

        Raises:
            BackendUnavailable: If the backend needs longer than this call. A repeated
                call waits for the same erasure.
            BackendRejected: If the provider has no such job; also for an erased job.

        Example:
            [job] = tracker.list_jobs(provider_job_id="import-42")
            for backup in tracker.admin.erase_job(job.id).backups:
                print("delete too:", backup)
        """
        return self._calls().erase_job(job_id)

    def list_job_configs(
        self, *, tag: str | None = None, version: str | None = None
    ) -> "Iterator[RegisteredJobConfig]":
        """Iterate over the stored configurations, newest first.

        Args:
            tag: Return only configurations with this tag; None for all.
            version: Return only configurations with this version; `latest` for the
                highest version of each tag.
        """
        return self._calls().list_job_configurations(tag, version)

    def get_job_config(self, config_id: int) -> "RegisteredJobConfig":
        """Return one stored configuration.

        Args:
            config_id: Id of the configuration, such as `Job.configuration_id`.
        """
        return self._calls().get_job_configuration(config_id)

    def get_provider_profile(self) -> "ProviderProfile":
        """Return the profile of the provider, which customers read on their pages."""
        return self._calls().get_provider_profile()

    def update_provider_profile(
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
        """Change the profile of the provider; return the whole profile.

        A value that is left out stays unchanged, and None removes a value.

        Args:
            display_name: Name of the provider for customers; 1 to 100 characters.
            contact_text: Whom customers ask, and when; 1 to 300 characters.
            contact_phone: Telephone number, such as `+49 30 1234567`.
            contact_mail: Mail address without a name.
            time_zone: Time zone of times on the page, such as `Europe/Berlin`.
            language: `en` or `de`, for a browser without a known language.
            accent: Colour of bars and links, such as `#0c6a60`, with a contrast of at
                least 4.5 to 1 on white.
            mark: Content of a PNG file without interlacing, of at most 8,192 bytes and
                512 x 512 pixels; an image beside the name of the provider.

        Raises:
            TypeError: If a value is not text, or `mark` is not bytes.
            ValueError: If `language` is unknown, `display_name` or `contact_text` is
                too long or not printable, or `mark` is empty or too large.
            BackendRejected: If the backend rejects another value; the message names it.

        Example:
            admin = tracker.admin
            admin.update_provider_profile(time_zone="Europe/Berlin", accent=None)
        """
        values = {
            "display_name": display_name,
            "contact_text": contact_text,
            "contact_phone": contact_phone,
            "contact_mail": contact_mail,
            "time_zone": time_zone,
            "language": language,
            "accent": accent,
            "mark": mark,
        }
        return self._calls().update_provider_profile(
            {name: value for name, value in values.items() if value is not ...}
        )
