"""Checks of customers and of the provider's profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.conformance.expectations import expect, expect_all
from trackerapi_backend.conformance.group import Group

if TYPE_CHECKING:
    from trackerapi_backend.conformance.session import Session

group = Group("customers")


@group.check("create")
def _create(session: Session) -> None:
    """A new customer has the sent reference and name, and can be read by its id."""
    made = session.new_customer()
    stored = session.call("get_customer", customer_id=made["id"]).require(200)
    expect("stored customer", made, stored)
    expect("name", f"Conformance kit, run {session.run}", made["name"])


@group.check("unique-reference")
def _unique_reference(session: Session) -> None:
    """A second customer with the same reference is rejected (409)."""
    reference = session.new_customer()["reference"]
    session.call("create_customer", {"reference": reference}).require(409)


@group.check("filter")
def _filter(session: Session) -> None:
    """The filter `reference` lists only the customer with this reference."""
    made = session.new_customer()
    query = {"reference": made["reference"]}
    page = session.call("list_customers", query=query).require(200)
    expect_all("the list", {"items": [made], "next_cursor": None}, page)


@group.check("empty-profile-change")
def _empty_profile_change(session: Session) -> None:
    """A profile change without members changes nothing."""
    before = session.call("get_provider_profile").require(200)
    after = session.call("update_provider_profile", {}).require(200)
    expect("profile", before, after)
