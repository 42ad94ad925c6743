"""Queries about customers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, func, insert, select

from trackerapi_backend.store.paging import Page, Span, fetch_page
from trackerapi_backend.store.schema import MAX_ID, customers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Row


def create_customer(db: Connection, values: Mapping[str, Any]) -> Row[Any]:
    """Store a customer, under the next free id unless one is given; return its row."""
    if "id" not in values and customer_exists(db, MAX_ID):
        # The database would count on, beyond what the contract admits.
        values = {**values, "id": _first_free_id(db)}
    return db.execute(insert(customers).values(values).returning(customers)).one()


def customer_exists(db: Connection, customer_id: int) -> bool:
    """Return whether any provider has a customer with this id."""
    query = select(customers.c.id).where(customers.c.id == customer_id)
    return db.execute(query).first() is not None


def _first_free_id(db: Connection) -> int:
    """Return the lowest id that follows one in use and is free."""
    follower = customers.alias()
    is_followed = exists().where(follower.c.id == customers.c.id + 1)
    query = select(func.min(customers.c.id)).where(~is_followed)
    return int(db.execute(query).scalar_one()) + 1


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
