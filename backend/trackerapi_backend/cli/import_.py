"""`trackerapi-backend import`: all data of an export into an empty database."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import TYPE_CHECKING

from trackerapi_backend.cli.arguments import add_database_options, file_name
from trackerapi_backend.cli.database import open_pepper, open_store
from trackerapi_backend.pepper import open_pepper_file
from trackerapi_backend.settings import (
    SettingsError,
    other_file_path,
    storage_from,
)
from trackerapi_backend.store import StoreError
from trackerapi_backend.store.transfer import finish_import, import_batches
from trackerapi_backend.store.transfer_file import open_export

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trackerapi_backend.cli.arguments import PrintLine
    from trackerapi_backend.settings import Storage
    from trackerapi_backend.store import Store
    from trackerapi_backend.store.transfer_file import ExportFile


def add_arguments(parser: ArgumentParser) -> None:
    """Add the description and the arguments of `import`."""
    parser.description = (
        "Read all data from a file of `export` into a database that"
        " `migrate` has made and that has no data. A second run with the same file"
        " continues an interrupted import. Print the number of rows of each table."
    )
    add_database_options(parser)
    parser.add_argument(
        "file", type=file_name, metavar="FILE", help="file that `export` has written"
    )
    parser.set_defaults(run=run)


def run(options: Namespace, print_line: PrintLine) -> None:
    """Read all data from a file into a database; print the counts of rows."""
    # The driver of PostgreSQL may log a failed statement too, but the error of the
    # command is one line.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    storage = storage_from(vars(options))
    file = other_file_path(options.file, "FILE", storage)
    try:
        with closing(open_store(storage)) as store, open_export(file) as export:
            _check_pepper(store, storage, export)
            import_batches(store, export.batches())
            counts = finish_import(store, export.counts)
    except KeyboardInterrupt:
        raise StoreError("interrupted: run the same import again to continue") from None
    for name, count in counts.items():
        print_line(f"{name}\t{count}")


def _check_pepper(store: Store, storage: Storage, export: ExportFile) -> None:
    """Check that the pepper file belongs to the exported and to this database."""
    # A database that had no keys may have had no pepper.
    if not export.peppers:
        return
    pepper = open_pepper_file(storage.pepper_file, create=False).read()
    if not export.peppers <= set(pepper.fingerprints):
        raise SettingsError(
            f"{storage.pepper_file} is not the pepper of the database in {export.name}:"
            " copy the pepper file of that database, or no key works"
        )
    open_pepper(store, storage)
