"""`trackerapi-backend backup`: copy of a database and its pepper in one file."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from trackerapi_backend.cli.arguments import add_database_options, file_name
from trackerapi_backend.instants import utc_now
from trackerapi_backend.pepper import Pepper, open_pepper_file
from trackerapi_backend.settings import (
    SettingsError,
    other_file_path,
    read_secret,
    storage_from,
)
from trackerapi_backend.store import StoreError
from trackerapi_backend.store.backup_file import Manifest, write_archive
from trackerapi_backend.store.known_backups import record_backup
from trackerapi_backend.store.new_file import new_private_file
from trackerapi_backend.store.postgres_commands import backup_commands
from trackerapi_backend.store.sqlite_copy import Contents, copy_database, inspect_copy
from trackerapi_backend.store.sqlite_file import create_private_file
from trackerapi_backend.store.sqlite_reading import SqliteReader
from trackerapi_backend.version import __version__

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator
    from pathlib import Path

    from trackerapi_backend.cli.arguments import PrintLine
    from trackerapi_backend.settings import Storage


def add_arguments(parser: ArgumentParser) -> None:
    """Add the description and the arguments of `backup`."""
    parser.description = (
        "Copy a SQLite database and its pepper to a new file, also while a server"
        " runs, and check the copy. `restore` reads the file. Print the number of rows"
        " of each table. With PostgreSQL, print shell commands for a backup instead."
    )
    add_database_options(parser)
    parser.add_argument("file", type=file_name, metavar="FILE", help="new file")
    parser.set_defaults(run=run)


def run(options: Namespace, print_line: PrintLine) -> None:
    """Write a backup to a new file; print the number of rows of each table.

    With PostgreSQL, print the shell commands of a backup instead.

    Raises:
        SettingsError: If the pepper file is missing, or belongs to another database.
        StoreError: If the database cannot be read, or the file exists or cannot be
            written.
    """
    storage = storage_from(vars(options))
    file = other_file_path(options.file, "FILE", storage)
    if storage.database is None:
        _print_commands(file, storage, print_line)
        return
    try:
        contents = _write_backup(file, storage.database, storage.pepper_file)
    except OSError as error:
        raise StoreError(
            f"{file} cannot be written ({error.strerror or error}): name another file"
        ) from None
    except KeyboardInterrupt:
        raise StoreError(f"interrupted: {file} was not written") from None
    for name, count in contents.visible_counts.items():
        print_line(f"{name}\t{count}")


def _print_commands(file: Path, storage: Storage, print_line: PrintLine) -> None:
    pepper = open_pepper_file(storage.pepper_file, create=False)
    for line in backup_commands(storage.database_url or "", file, pepper.path):
        print_line(line)


def _write_backup(file: Path, database: Path, pepper_file: Path) -> Contents:
    created_at = utc_now()
    with (
        closing(SqliteReader(database)) as source,
        new_private_file(file) as archive,
        # Only the process that has locked the new file uses this temporary file.
        _temporary_file(file.with_name(f"{file.name}.database.new")) as copy,
    ):
        # Before the copy: an erasure during the copy names this backup too.
        record_backup(database, file)
        counts = copy_database(source, copy)
        contents = inspect_copy(copy, f"the copy of {database}")
        if contents.counts != counts:
            raise StoreError(f"{copy} differs from {database}: check the disk")
        manifest = Manifest(
            release=__version__,
            schema=contents.schema,
            created_at=created_at,
            peppers=sorted(contents.peppers),
            counts=counts,
        )
        pepper = _read_pepper(pepper_file, contents, database)
        write_archive(archive, manifest, copy, pepper)
    return contents


@contextmanager
def _temporary_file(path: Path) -> Iterator[Path]:
    """Create an empty private file; delete it at the end of the block."""
    # A killed process may have left the file behind.
    path.unlink(missing_ok=True)
    try:
        create_private_file(path)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _read_pepper(path: Path, contents: Contents, database: Path) -> bytes | None:
    """Return the content of the pepper file; None for a database without keys.

    Raises:
        SettingsError: If the file is missing, or belongs to another database.
    """
    if not contents.has_keys and not path.exists():
        return None
    # Read the file after the database: a rotation adds its new pepper to the file
    # before the database records it.
    open_pepper_file(path, create=False)
    content = read_secret(path)
    if not contents.peppers <= set(Pepper.parse(content).fingerprints):
        raise SettingsError(
            f"{path} is not the pepper of {database}: name the right file with"
            f" --pepper-file; if a rotation has just ended, run the command again"
        )
    return content
