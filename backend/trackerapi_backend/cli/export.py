"""`trackerapi-backend export`: copy of a whole database in one file."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from trackerapi_backend.cli.arguments import add_database_options, file_name
from trackerapi_backend.cli.database import open_to_read
from trackerapi_backend.settings import other_file_path, storage_from
from trackerapi_backend.store import StoreError
from trackerapi_backend.store.transfer_file import write_export

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trackerapi_backend.cli.arguments import PrintLine


def add_arguments(parser: ArgumentParser) -> None:
    """Add the description and the arguments of `export`."""
    parser.description = (
        "Write all data of a database to a new file, which `import` reads"
        " on the same or another database engine. The file does not contain the"
        " pepper. Print the number of rows of each table."
    )
    add_database_options(parser)
    parser.add_argument("file", type=file_name, metavar="FILE", help="new file")
    parser.set_defaults(run=run)


def run(options: Namespace, print_line: PrintLine) -> None:
    """Write all data of a database to a new file; print the counts of rows."""
    storage = storage_from(vars(options))
    file = other_file_path(options.file, "FILE", storage)
    try:
        with closing(open_to_read(storage)) as reader:
            counts = write_export(file, reader)
    except KeyboardInterrupt:
        raise StoreError(f"interrupted: {file} was not written") from None
    for name, count in counts.items():
        print_line(f"{name}\t{count}")
