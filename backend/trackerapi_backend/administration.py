"""What an operator makes by hand: keys and customers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.auth import NewKey, key_hmac, make_key
from trackerapi_backend.instants import utc_now
from trackerapi_backend.store import access, customers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection


def make_api_key(
    db: Connection,
    pepper: bytes,
    provider_id: int,
    label: str,
    scopes: Sequence[str],
    *,
    expires_at: datetime | None = None,
) -> NewKey:
    """Store a new key of a provider; return it whole, for the only time."""
    new = make_key()
    access.create_key(
        db,
        {
            "key_id": new.key_id,
            "provider_id": provider_id,
            "label": label,
            "key_hmac": key_hmac(pepper, new.api_key),
            "scopes": list(dict.fromkeys(scopes)),
            "created_at": utc_now(),
            "expires_at": expires_at,
        },
    )
    return new


def make_customer(
    db: Connection,
    provider_id: int,
    customer_id: int | None = None,
    *,
    reference: str | None = None,
    name: str | None = None,
) -> int:
    """Store a customer, under the next free id unless one is given; return the id."""
    values = {
        "provider_id": provider_id,
        "reference": reference,
        "name": name,
        "created_at": utc_now(),
    }
    if customer_id is not None:
        values["id"] = customer_id
    return int(customers.create_customer(db, values).id)
