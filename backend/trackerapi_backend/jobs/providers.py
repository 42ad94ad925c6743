"""Creation of providers, their API keys and their customers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.instants import utc_now
from trackerapi_backend.jobs.credential_limits import check_key_count
from trackerapi_backend.requests.credentials import NewKey, generate_key
from trackerapi_backend.store import api_keys as stored_keys
from trackerapi_backend.store import customers as stored_customers
from trackerapi_backend.store import providers as stored_providers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from trackerapi_backend.pepper import PepperFile

DEFAULT_PROVIDER_NAME = "Provider"


def find_or_create_provider(db: Connection, name: str | None) -> int:
    """Return the id of a provider; create the provider if it does not exist.

    Args:
        db: Connection in a transaction: no other command can create the same provider
            between query and insert.
        name: Name of the provider; None for the oldest provider.
    """
    known = stored_providers.find_provider(db, name)
    if known is not None:
        return known
    return stored_providers.create_provider(
        db, name or DEFAULT_PROVIDER_NAME, now=utc_now()
    )


def create_api_key(
    db: Connection,
    pepper: PepperFile,
    provider_id: int,
    label: str,
    scopes: Sequence[str],
    *,
    expires_at: datetime | None = None,
) -> NewKey:
    """Store a new key of a provider; return the key with its secret.

    Args:
        db: Connection in a transaction.
        pepper: Secrets of this installation.
        provider_id: Provider of the key.
        label: Purpose of the key, for people.
        scopes: Scopes of the key; repeated scopes count once.
        expires_at: End of the key; None for a key that does not expire.

    Raises:
        Problem: If the provider has the maximum number of keys.
    """
    now = utc_now()
    check_key_count(db, provider_id, now=now)
    new = generate_key()
    stored_keys.create_key(
        db,
        {
            "key_id": new.key_id,
            "provider_id": provider_id,
            "label": label,
            **pepper.read().seal(new.api_key),
            "scopes": list(dict.fromkeys(scopes)),
            "created_at": now,
            "expires_at": expires_at,
        },
    )
    return new


def create_customer(
    db: Connection,
    provider_id: int,
    customer_id: int | None = None,
    *,
    reference: str | None = None,
    name: str | None = None,
) -> int:
    """Store a customer; return its id.

    Args:
        db: Connection in a transaction.
        provider_id: Provider of the customer.
        customer_id: Id of the customer; None for a new id.
        reference: Id of the customer at the provider.
        name: Name of the customer.
    """
    values = {
        "provider_id": provider_id,
        "reference": reference,
        "name": name,
        "created_at": utc_now(),
    }
    if customer_id is not None:
        values["id"] = customer_id
    return int(stored_customers.create_customer(db, values, caller_key_id=None).id)
