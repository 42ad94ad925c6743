"""`trackerapi-backend restore`: new database and pepper files from a backup."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from trackerapi_backend.cli.arguments import add_database_options, file_name
from trackerapi_backend.cli.erasing import erase_again
from trackerapi_backend.cli.main import failure_of
from trackerapi_backend.diagnosis.finding import options_of
from trackerapi_backend.problems import Problem
from trackerapi_backend.settings import SettingsError, other_file_path, storage_from
from trackerapi_backend.store import StoreError
from trackerapi_backend.store.backup_file import open_backup
from trackerapi_backend.store.erasures_file import read_erasures
from trackerapi_backend.store.known_backups import record_backup
from trackerapi_backend.store.migrations import HEAD
from trackerapi_backend.store.postgres_commands import restore_commands
from trackerapi_backend.store.restored_files import Target, restore_files

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence
    from pathlib import Path

    from trackerapi_backend.cli.arguments import PrintLine
    from trackerapi_backend.settings import Storage
    from trackerapi_backend.store.erasures_file import ErasedObject
    from trackerapi_backend.store.sqlite_copy import Contents


def add_arguments(parser: ArgumentParser) -> None:
    """Add the description and the arguments of `restore`."""
    parser.description = (
        "Check a file of `backup` and write its database and pepper to new files. Print"
        " the number of rows of each table. With PostgreSQL, print shell commands for a"
        " restore instead."
    )
    add_database_options(parser)
    parser.add_argument(
        "--move-aside",
        action="store_true",
        help="rename existing files: `NAME` becomes `NAME.before-restore`",
    )
    parser.add_argument(
        "file", type=file_name, metavar="FILE", help="file that `backup` has written"
    )
    parser.set_defaults(run=run)


def run(options: Namespace, print_line: PrintLine) -> None:
    """Restore the files of a backup; print the number of rows of each table.

    Then apply the file of erasures again, or print the command if the schema of the
    backup is older than this release. With PostgreSQL, print shell commands instead.

    Raises:
        StoreError: If the backup or the file of erasures is damaged, a file exists or
            cannot be written, or the erasures cannot be applied again.
    """
    storage = storage_from(vars(options))
    file = other_file_path(options.file, "FILE", storage)
    if storage.database is None:
        _print_commands(storage, file, print_line)
        return
    # Read the erasures first: if their file is damaged, nothing is restored.
    erased = _read_erasures(storage.erasures_file)
    target = Target(
        database=storage.database,
        pepper_file=storage.pepper_file,
        may_move=options.move_aside,
    )
    contents = _restore(file, target)
    # A later erasure in the new database names the backup, which still has all rows.
    record_backup(storage.database, file)
    for name, count in contents.visible_counts.items():
        print_line(f"{name}\t{count}")
    _print_missing(storage, print_line)
    if contents.schema == HEAD:
        if erased:
            _erase_again(storage, erased, print_line)
        return
    print_line(
        f"The schema {contents.schema} is older: run"
        f" `trackerapi-backend migrate{options_of(storage)}` before `serve`."
    )
    if erased:
        command = _erase_again_command(storage)
        print_line(f"Then apply the erasures again: `{command}`.")


def _erase_again(
    storage: Storage, erased: Sequence[ErasedObject], print_line: PrintLine
) -> None:
    """Apply erasures again; after a failure, name the command that continues."""
    try:
        erase_again(storage, erased, print_line)
    except (Problem, SettingsError, StoreError, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt):
            reason: str | None = "interrupted"
        else:
            reason = failure_of(error)
        command = _erase_again_command(storage)
        # The reason comes last: a long error is cut, and the command must be whole.
        raise StoreError(
            f"{storage.database} is restored, but has jobs or customers that were"
            f" erased: run `{command}` before `serve` ({reason})"
        ) from None


def _print_missing(storage: Storage, print_line: PrintLine) -> None:
    """Print a warning if the file of erasures does not exist."""
    erasures_file = storage.erasures_file
    if erasures_file is not None and not erasures_file.exists():
        print_line(
            f"{erasures_file} does not exist, so nothing was erased again. If jobs or"
            " customers were erased since the backup, run `trackerapi-backend doctor"
            f" --erase-again FILE{options_of(storage)}` with their file of erasures."
        )


def _print_commands(storage: Storage, file: Path, print_line: PrintLine) -> None:
    url = storage.database_url or ""
    for line in restore_commands(url, file, storage.pepper_file):
        print_line(line)
    if storage.erasures_file is not None:
        print_line(f"# then, if this file exists: {_erase_again_command(storage)}")


def _restore(file: Path, target: Target) -> Contents:
    try:
        with open_backup(file) as backup:
            return restore_files(backup, target)
    except OSError as error:
        raise StoreError(
            f"{error.filename or target.database} cannot be written"
            f" ({error.strerror or error}): make its folder, make space, or name"
            " another database"
        ) from None
    except KeyboardInterrupt:
        raise StoreError(f"interrupted: {target.database} was not restored") from None


def _read_erasures(file: Path | None) -> Sequence[ErasedObject]:
    return () if file is None or not file.exists() else read_erasures(file)


def _erase_again_command(storage: Storage) -> str:
    file = shlex.quote(f"{storage.erasures_file}")
    return f"trackerapi-backend doctor --erase-again {file}{options_of(storage)}"
