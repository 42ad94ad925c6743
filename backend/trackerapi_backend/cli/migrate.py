"""`trackerapi-backend migrate`: upgrade of a database's schema."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from trackerapi_backend.cli.arguments import add_database_options
from trackerapi_backend.cli.database import name_of, open_pepper, open_store
from trackerapi_backend.settings import storage_from
from trackerapi_backend.store.api_keys import has_keys
from trackerapi_backend.store.migrations import HEAD

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trackerapi_backend.cli.arguments import PrintLine


def add_arguments(parser: ArgumentParser) -> None:
    """Add the description and the arguments of `migrate`."""
    parser.description = (
        "Upgrade the schema of a database to this release, or create the"
        " tables. An existing SQLite file is first copied into the same folder."
    )
    add_database_options(parser)
    parser.add_argument(
        "--accept-pepper",
        action="store_true",
        help="use the pepper file even if the keys of the database have another pepper,"
        " and create a missing file: keys of the other pepper become invalid",
    )
    parser.set_defaults(run=run)


def run(options: Namespace, print_line: PrintLine) -> None:
    """Upgrade the schema of a database; create the database if it does not exist."""
    storage = storage_from(vars(options))
    with closing(open_store(storage, migrate=True)) as store:
        # The keys of an older release have no recorded pepper yet.
        if options.accept_pepper or store.read(has_keys):
            open_pepper(store, storage, accept=options.accept_pepper)
        print_line(f"The schema of {name_of(storage)} is up to date.")
        for copy in store.backups():
            if copy.name.endswith(f".before-{HEAD}"):
                print_line(
                    f"{copy} is the database before the upgrade: delete this copy once"
                    " the new release works."
                )
