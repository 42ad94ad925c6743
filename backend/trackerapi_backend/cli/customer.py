"""`trackerapi-backend customer`: creation and list of customers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.cli.arguments import (
    add_group,
    add_provider_options,
    check_options,
    whole_number,
)
from trackerapi_backend.cli.database import open_provider
from trackerapi_backend.jobs import providers
from trackerapi_backend.settings import SettingsError
from trackerapi_backend.store import customers as stored_customers
from trackerapi_backend.store.paging import fetch_all
from trackerapi_backend.store.schema import MAX_ID

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trackerapi_backend.cli.arguments import PrintLine


def add_arguments(parser: ArgumentParser) -> None:
    """Add the actions of `customer`."""
    actions = add_group(parser, "ACTION")
    create = actions.add_parser("create", help="create a customer and print its id")
    add_provider_options(create)
    create.add_argument("--id", type=_customer_id, help="default: the next free id")
    create.add_argument("--reference", help="id of the customer at the provider")
    create.add_argument("--name", help="name of the customer")
    create.set_defaults(run=create_customer)
    listing = actions.add_parser("list", help="list the customers")
    add_provider_options(listing)
    listing.set_defaults(run=list_customers)


def _customer_id(text: str) -> int:
    return whole_number(text, 1, MAX_ID)


def create_customer(options: Namespace, print_line: PrintLine) -> None:
    """Create a customer and print its id."""
    values = {"reference": options.reference, "name": options.name}
    given = {member: text for member, text in values.items() if text is not None}
    check_options("CustomerInput", given)
    with open_provider(options, create=True) as access:
        db, provider_id = access.db, access.provider_id
        if options.id is not None and stored_customers.customer_exists(db, options.id):
            raise SettingsError(f"customer {options.id} exists: choose another --id")
        if "reference" in given and stored_customers.find_customer_by_reference(
            db, provider_id, given["reference"]
        ):
            raise SettingsError("another customer has this --reference: choose another")
        print_line(str(providers.create_customer(db, provider_id, options.id, **given)))


def list_customers(options: Namespace, print_line: PrintLine) -> None:
    """Print the customers of a provider: id, reference and name."""
    with open_provider(options) as access:
        db, provider_id = access.db, access.provider_id
        for row in fetch_all(
            lambda span: stored_customers.list_customers(db, provider_id, None, span)
        ):
            print_line(f"{row.id}\t{row.reference or '-'}\t{row.name or '-'}")
