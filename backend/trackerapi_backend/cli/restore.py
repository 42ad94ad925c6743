"""`trackerapi-backend restore`: database and pepper of a backup in their places."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.cli.arguments import add_database_options, file_name
from trackerapi_backend.settings import absolute_path, storage_from
from trackerapi_backend.store import StoreError
from trackerapi_backend.store.backup_file import open_backup
from trackerapi_backend.store.migrations import HEAD
from trackerapi_backend.store.postgres_commands import restore_commands
from trackerapi_backend.store.restored_files import Target, restore_files

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from trackerapi_backend.cli.arguments import PrintLine


def add_arguments(parser: ArgumentParser) -> None:
    """Add the description and the arguments of `restore`."""
    parser.description = (
        "Check a file of `backup` and write its database and pepper to new files. Print"
        " the number of rows of each table. With PostgreSQL, print the commands of a"
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
    """Place the files of a backup; print the counts of rows."""
    storage = storage_from(vars(options))
    file = absolute_path(options.file, "FILE")
    if storage.database is None:
        url = storage.database_url or ""
        for line in restore_commands(url, file, storage.pepper_file):
            print_line(line)
        return
    target = Target(
        database=storage.database,
        pepper_file=storage.pepper_file,
        may_move=options.move_aside,
    )
    try:
        with open_backup(file) as backup:
            contents = restore_files(backup, target)
    except OSError as error:
        raise StoreError(
            f"{error.filename or storage.database} cannot be written"
            f" ({error.strerror or error}): make space, or name another database"
        ) from None
    except KeyboardInterrupt:
        raise StoreError(f"interrupted: {storage.database} was not restored") from None
    for name, count in contents.counts.items():
        print_line(f"{name}\t{count}")
    if contents.schema != HEAD:
        print_line(
            f"The schema {contents.schema} is older: run `trackerapi-backend migrate`"
            " before `serve`."
        )
