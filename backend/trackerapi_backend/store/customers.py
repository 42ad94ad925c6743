"""Queries on customers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from trackerapi_backend.store.audit_log import record_change
from trackerapi_backend.store.ids import CUSTOMER_IDS
from trackerapi_backend.store.paging import Page, Span, fetch_page
from trackerapi_backend.store.schema import customers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Row


def create_customer(
    db: Connection, values: Mapping[str, Any], *, caller_key_id: str | None
) -> Row[Any]:
    """Store a customer, and an entry in the audit log; return the customer's row.

    Args:
        db: Connection in a transaction.
        values: Values of the columns; without an `id`, the customer gets a new id.
        caller_key_id: Public part of the key that makes the change; None for a command.
    """
    if "id" not in values:
        new_id = CUSTOMER_IDS.make(db, values["provider_id"], now=values["created_at"])
        values = {**values, "id": new_id}
    row = db.execute(insert(customers).values(values).returning(customers)).one()
    record_change(
        db,
        provider_id=row.provider_id,
        key_id=caller_key_id,
        action="create_customer",
        customer_id=row.id,
    )
    return row


def customer_exists(db: Connection, customer_id: int) -> bool:
    """Return whether a customer with this id exists, of any provider."""
    query = select(customers.c.id).where(customers.c.id == customer_id)
    return db.execute(query).first() is not None


def find_customer(
    db: Connection, provider_id: int, customer_id: int
) -> Row[Any] | None:
    """Return a customer of a provider by its id."""
    return db.execute(
        select(customers).where(
            customers.c.provider_id == provider_id, customers.c.id == customer_id
        )
    ).first()


def find_customer_by_reference(
    db: Connection, provider_id: int, reference: str
) -> Row[Any] | None:
    """Return the customer of a provider with this reference."""
    return db.execute(
        select(customers).where(
            customers.c.provider_id == provider_id,
            customers.c.reference == reference,
        )
    ).first()


def list_customers(
    db: Connection, provider_id: int, reference: str | None, span: Span
) -> Page:
    """Return a page of the customers of a provider, newest first.

    Args:
        db: Connection to read from.
        provider_id: Provider of the customers.
        reference: Reference of the only customer to list; None for all customers.
        span: Part of the list to read.
    """
    query = select(customers).where(customers.c.provider_id == provider_id)
    if reference is not None:
        query = query.where(customers.c.reference == reference)
    return fetch_page(db, query, customers.c.id, span)
