"""`trackerapi-backend customer`: creation, list and erasure of customers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.cli.arguments import (
    add_group,
    add_provider_options,
    check_options,
    plain_text,
    whole_number,
)
from trackerapi_backend.cli.database import find_known_provider, set_command
from trackerapi_backend.cli.erasing import add_yes_option, confirm, erase_once
from trackerapi_backend.instants import format_instant
from trackerapi_backend.jobs import providers
from trackerapi_backend.settings import SettingsError
from trackerapi_backend.store import customers as stored_customers
from trackerapi_backend.store.erasure import find_erasure
from trackerapi_backend.store.paging import fetch_all
from trackerapi_backend.store.schema import MAX_ID

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from datetime import datetime

    from sqlalchemy import Connection

    from trackerapi_backend.cli.database import Database
    from trackerapi_backend.generated import models
    from trackerapi_backend.pepper import PepperFile
    from trackerapi_backend.requests.call import Services


def add_arguments(parser: ArgumentParser) -> None:
    """Add the actions of `customer`."""
    actions = add_group(parser, "ACTION")
    create = actions.add_parser("create", help="create a customer and print its id")
    add_provider_options(create)
    create.add_argument("--id", type=_customer_id, help="default: a new id")
    create.add_argument(
        "--reference", type=plain_text, help="id of the customer at the provider"
    )
    create.add_argument("--name", type=plain_text, help="name of the customer")
    set_command(create, create_customer)
    listing = actions.add_parser("list", help="list the customers")
    listing.description = (
        "Print the customers, newest customer first: id, reference and name, with - for"
        " a missing value. Tabs separate these values."
    )
    add_provider_options(listing)
    set_command(listing, list_customers)
    erase = actions.add_parser(
        "erase", help="erase a customer and all jobs of the customer for good"
    )
    add_provider_options(erase)
    erase.add_argument("customer_id", type=_customer_id, metavar="ID")
    add_yes_option(erase)
    set_command(erase, erase_customer, confirm)


def _customer_id(text: str) -> int:
    return whole_number(text, 1, MAX_ID)


def create_customer(options: Namespace, database: Database) -> None:
    """Create a customer and print its id."""
    values = {"reference": options.reference, "name": options.name}
    given = {member: text for member, text in values.items() if text is not None}
    check_options("CustomerInput", given)

    def create(db: Connection) -> list[str]:
        provider_id = providers.find_or_create_provider(db, options.provider)
        if options.id is not None:
            _require_free(db, options.id)
        if "reference" in given and stored_customers.find_customer_by_reference(
            db, provider_id, given["reference"]
        ):
            raise SettingsError("another customer has this --reference: choose another")
        return [str(providers.create_customer(db, provider_id, options.id, **given))]

    database.change(create)


def _require_free(db: Connection, customer_id: int) -> None:
    """Raise SettingsError if a customer has the id, or an erased customer had it.

    The id of an erased customer may be in backups, and in scripts that still report.
    """
    erased_at = find_erasure(db, None, customer_id=customer_id)
    if erased_at is not None:
        raise SettingsError(
            f"customer {customer_id} was erased at {format_instant(erased_at)}, and no"
            " other customer gets the id: choose another --id"
        )
    if stored_customers.customer_exists(db, customer_id):
        raise SettingsError(f"customer {customer_id} exists: choose another --id")


def list_customers(options: Namespace, database: Database) -> None:
    """Print the customers of a provider: id, reference and name."""
    provider_id = database.read(lambda db: find_known_provider(db, options.provider))
    for row in fetch_all(
        lambda span: database.read(
            lambda db: stored_customers.list_customers(db, provider_id, None, span)
        )
    ):
        database.print_line(f"{row.id}\t{row.reference or '-'}\t{row.name or '-'}")


def erase_customer(options: Namespace, database: Database) -> None:
    """Erase a customer; print the backups and files that may still have its data."""
    provider_id = database.read(lambda db: find_known_provider(db, options.provider))

    async def erase(services: Services) -> models.Erasure:
        from trackerapi_backend.jobs.erasure import Eraser

        eraser = Eraser(services=services, provider_id=provider_id, key_id=None)
        return await eraser.erase_customer(options.customer_id)

    def find(_pepper: PepperFile, db: Connection) -> datetime | None:
        return find_erasure(db, provider_id, customer_id=options.customer_id)

    erase_once(database, erase, find)
