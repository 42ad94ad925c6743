"""`trackerapi-backend compact`: removal of the bytes of deleted rows."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from trackerapi_backend.cli.arguments import add_database_options
from trackerapi_backend.cli.database import name_of, open_store
from trackerapi_backend.settings import storage_from
from trackerapi_backend.store import StoreError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trackerapi_backend.cli.arguments import PrintLine


def add_arguments(parser: ArgumentParser) -> None:
    """Add the description and the arguments of `compact`."""
    parser.description = (
        "Rewrite the files of a database without the bytes of deleted rows. Other"
        " programs cannot write to the database during the command. The command needs"
        " about as much free disk space as the size of the database."
    )
    add_database_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace, print_line: PrintLine) -> None:
    """Rewrite the files of a database without the bytes of deleted rows.

    Raises:
        StoreError: If the database cannot be opened, or bytes may be left.
    """
    storage = storage_from(vars(options))
    with closing(open_store(storage)) as store:
        residue = store.purge(whole=True)
    if residue is not None:
        raise StoreError(residue)
    print_line(f"{name_of(storage)} has no bytes of deleted rows.")
