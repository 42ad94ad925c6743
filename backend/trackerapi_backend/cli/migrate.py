"""`trackerapi-backend migrate`: upgrade of a database's schema."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from trackerapi_backend.cli.arguments import add_database_options
from trackerapi_backend.cli.database import open_store
from trackerapi_backend.settings import storage_from

if TYPE_CHECKING:
    from argparse import Namespace

    from trackerapi_backend.cli.arguments import Commands, PrintLine


def add_parser(commands: Commands) -> None:
    """Add the parser of `migrate`."""
    parser = commands.add_parser(
        "migrate",
        help="upgrade the schema of a database",
        description="Upgrade the schema of a database to this release, or create the"
        " tables. An existing SQLite file is first copied into the same folder.",
    )
    add_database_options(parser)
    parser.set_defaults(run=run)


def run(options: Namespace, print_line: PrintLine) -> None:
    """Upgrade the schema of a database; create the database if it does not exist."""
    storage = storage_from(vars(options))
    with closing(open_store(storage, migrate=True)):
        name = storage.database or "the PostgreSQL database"
        print_line(f"The schema of {name} is up to date.")
