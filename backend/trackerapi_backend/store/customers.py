"""Queries about customers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select

from trackerapi_backend.store.paging import Page, Span, fetch_page
from trackerapi_backend.store.schema import customers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Row


def create_customer(db: Connection, values: Mapping[str, Any]) -> Row[Any]:
    """Store a customer, under the next free id unless one is given; return its row."""
    return db.execute(insert(customers).values(values).returning(customers)).one()


def customer_exists(db: Connection, customer_id: int) -> bool:
    """Return whether any provider has a customer with this id."""
    query = select(customers.c.id).where(customers.c.id == customer_id)
    return db.execute(query).first() is not None


def find_customer(
    db: Connection, provider_id: int, customer_id: int
) -> Row[Any] | None:
    """Return the provider's customer."""
    return db.execute(
        select(customers).where(
            customers.c.provider_id == provider_id, customers.c.id == customer_id
        )
    ).first()


def find_customer_by_reference(
    db: Connection, provider_id: int, reference: str
) -> Row[Any] | None:
    """Return the customer that the provider knows under this id of its own."""
    return db.execute(
        select(customers).where(
            customers.c.provider_id == provider_id,
            customers.c.reference == reference,
        )
    ).first()


def list_customers(
    db: Connection, provider_id: int, reference: str | None, span: Span
) -> Page:
    """Return a page of the provider's customers, newest first."""
    query = select(customers).where(customers.c.provider_id == provider_id)
    if reference is not None:
        query = query.where(customers.c.reference == reference)
    return fetch_page(db, query, customers.c.id, span)
