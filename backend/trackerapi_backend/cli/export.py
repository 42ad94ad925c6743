"""`trackerapi-backend export`: copy of a whole database in one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from trackerapi_backend.cli.arguments import add_database_options, file_name
from trackerapi_backend.cli.database import open_pepper, set_command
from trackerapi_backend.settings import absolute_path
from trackerapi_backend.store import StoreError
from trackerapi_backend.store.api_keys import has_keys
from trackerapi_backend.store.transfer_file import write_export

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trackerapi_backend.cli.database import Database


def add_arguments(parser: ArgumentParser) -> None:
    """Add the description and the arguments of `export`."""
    parser.description = (
        "Write all data of a database to a new file, which `import` reads"
        " on the same or another database engine. The file does not contain the"
        " pepper. Print the number of rows of each table."
    )
    add_database_options(parser)
    parser.add_argument("file", type=file_name, metavar="FILE", help="new file")
    set_command(parser, run, _make_absolute)


def _make_absolute(options: Namespace) -> None:
    options.file = str(absolute_path(options.file, "FILE"))


def run(options: Namespace, database: Database) -> None:
    """Write all data of a database to a new file; print the counts of rows."""
    file, store = Path(options.file), database.store
    try:
        # A database without keys may have no pepper yet.
        if store.read(has_keys):
            open_pepper(store, database.storage)
        counts = write_export(file, store)
    except KeyboardInterrupt:
        raise StoreError(f"interrupted: {file} was not written") from None
    for name, count in counts.items():
        database.print_line(f"{name}\t{count}")
