"""What the people behind a provider do: keys, customers, stored configurations."""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from trackerapi.times import as_rfc3339

if TYPE_CHECKING:
    from trackerapi.models import ApiKey, Customer, NewApiKey, RegisteredJobConfig
    from trackerapi.wire.calls import Calls

_KEY_ID = re.compile(r"[0-9A-Za-z]{1,32}")


class Administration:
    """Manage what jobs need; made by `TrackerApi.admin`.

    Making keys and customers needs a key with the scope `admin`. Every method
    raises a `BackendError` where the backend refuses or does not answer usably.
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
        """Make a key; the answer is the only place where its secret is shown.

        Args:
            label: What the key is for; 1 to 100 characters.
            scopes: Of `ingest`, `read` and `admin`.
            expires_at: When it ends; aware. None for never.

        Raises:
            ValueError: If a scope is unknown or `expires_at` has no offset.
        """
        if expires_at is not None:
            as_rfc3339(expires_at)
        return self._calls().create_api_key(label, scopes, expires_at)

    def list_api_keys(self) -> "Iterator[ApiKey]":
        """Iterate over the provider's keys, newest first, without secrets."""
        return self._calls().list_api_keys()

    def expire_api_key(self, key_id: str) -> "ApiKey":
        """End a key at once; a key cannot end itself.

        Args:
            key_id: Public part of the key, as `list_api_keys()` gives it.

        Raises:
            ValueError: If `key_id` cannot be one.
        """
        if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
            # Never in the message: a whole key may have been passed by mistake.
            raise ValueError("key_id must be the public part of a key")
        return self._calls().expire_api_key(key_id)

    def create_customer(
        self, *, reference: str | None = None, name: str | None = None
    ) -> "Customer":
        """Make a customer.

        Args:
            reference: Your own id of the customer, unique for you; 1 to 200
                characters.
            name: What you call the customer; 1 to 100 characters.
        """
        return self._calls().create_customer(reference, name)

    def list_customers(self, *, reference: str | None = None) -> "Iterator[Customer]":
        """Iterate over the customers, newest first.

        Args:
            reference: Only the one with this reference; None for all.
        """
        return self._calls().list_customers(reference)

    def get_customer(self, customer_id: int) -> "Customer":
        """Get one customer."""
        return self._calls().get_customer(customer_id)

    def list_job_configs(
        self, *, tag: str | None = None, version: str | None = None
    ) -> "Iterator[RegisteredJobConfig]":
        """Iterate over the stored configurations, newest first.

        Args:
            tag: Only those with this tag; None for all.
            version: Only those with this version; `latest` for the highest.
        """
        return self._calls().list_job_configurations(tag, version)

    def get_job_config(self, config_id: int) -> "RegisteredJobConfig":
        """Get one stored configuration, such as a job's `configuration_id`."""
        return self._calls().get_job_configuration(config_id)
