"""Erasures by a command: options, confirmation and output."""

from __future__ import annotations

import sys
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from trackerapi_backend.cli.database import OwnDatabase, open_store
from trackerapi_backend.cli.output import ask
from trackerapi_backend.settings import SettingsError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from trackerapi_backend.cli.arguments import PrintLine
    from trackerapi_backend.cli.database import Database
    from trackerapi_backend.generated import models
    from trackerapi_backend.settings import Storage
    from trackerapi_backend.store.erasures_file import ErasedObject


def add_yes_option(parser: ArgumentParser) -> None:
    """Add the option `--yes`, which erases without a confirmation."""
    parser.add_argument("--yes", action="store_true", help="do not ask first")


def confirm(options: Namespace) -> None:
    """Ask on the terminal whether to erase for good, unless `--yes` is given.

    Raises:
        SettingsError: If the answer is not `yes`, or there is no terminal.
    """
    if options.yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise SettingsError(
            "nothing was erased: give --yes to erase without a terminal"
        )
    if ask("Erase this for good? Type yes:") != "yes":
        raise SettingsError("nothing was erased")
    options.yes = True


def print_erasure(erased: models.Erasure, database: Database) -> None:
    """Print the number of erased jobs, the known backups, and the residue.

    The residue is the reason why bytes of erased jobs may be left in the database.
    """
    database.print_line(f"jobs\t{erased['erased_jobs']}")
    for path in database.store.backups():
        database.print_line(f"backup\t{path}")
    if erased["residue"] is not None:
        database.print_line(f"left\t{erased['residue']}")


def erase_again(
    storage: Storage, erased: Sequence[ErasedObject], print_line: PrintLine
) -> None:
    """Apply erasures again to a PostgreSQL database, or a SQLite file without a server.

    Args:
        storage: Settings of the database.
        erased: Lines of a file of erasures.
        print_line: Function that prints the numbers of erased jobs and customers.

    Raises:
        SettingsError: If the pepper file cannot be used.
        StoreError: If the database cannot be used.
    """
    # Only these commands need the rules of erasures.
    from trackerapi_backend.jobs.erasing_again import erase_again as erase_objects_again

    with closing(open_store(storage)) as store:
        database = OwnDatabase(storage, store, print_line)
        again = database.run(partial(erase_objects_again, erased=erased))
    print_line(f"erased again\t{again.jobs} jobs, {again.customers} customers")
    if again.residue is not None:
        print_line(f"left\t{again.residue}")
