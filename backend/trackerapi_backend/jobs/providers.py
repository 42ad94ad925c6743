"""What an operator makes and looks up by hand: providers, keys and customers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trackerapi_backend.instants import utc_now
from trackerapi_backend.requests.auth import NewKey, key_hmac, make_key
from trackerapi_backend.store import access, customers
from trackerapi_backend.store.paging import LONGEST_PAGE, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row

    from trackerapi_backend.store.paging import Page


DEFAULT_PROVIDER_NAME = "Provider"


def provider_named(db: Connection, name: str | None) -> int:
    """Return the id of a provider, which is made where there is none of the name.

    Args:
        db: Connection in a transaction.
        name: Its name; None for the oldest there is.
    """
    known = access.find_provider(db, name)
    if known is not None:
        return known
    return access.create_provider(db, name or DEFAULT_PROVIDER_NAME, now=utc_now())


def everything(fetch: Callable[[Span], Page]) -> Iterator[Row[Any]]:
    """Return all rows of a list, page by page."""
    span: Span | None = Span(limit=LONGEST_PAGE)
    while span is not None:
        page = fetch(span)
        yield from page.rows
        span = page.next_span


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
