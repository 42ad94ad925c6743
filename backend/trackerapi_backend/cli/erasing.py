"""Erasures by a command: options, confirmation and output."""

from __future__ import annotations

import sys
from contextlib import closing
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from trackerapi_backend.cli.database import OwnDatabase, open_store
from trackerapi_backend.cli.output import ask, printable_line
from trackerapi_backend.instants import format_instant
from trackerapi_backend.problems import Problem
from trackerapi_backend.settings import SettingsError
from trackerapi_backend.store.erasure import has_hidden_rows

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Awaitable, Callable, Sequence

    from sqlalchemy import Connection

    from trackerapi_backend.cli.arguments import PrintLine
    from trackerapi_backend.cli.database import Database
    from trackerapi_backend.generated import models
    from trackerapi_backend.pepper import PepperFile
    from trackerapi_backend.requests.call import Services
    from trackerapi_backend.settings import Storage
    from trackerapi_backend.store.erasures_file import ErasedObject

_UNFINISHED = (
    "rows of an erasure that has not ended: a server deletes them within minutes of"
    " its start"
)


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


def erase_once(
    database: Database,
    erase: Callable[[Services], Awaitable[models.Erasure]],
    find_erasure: Callable[[PepperFile, Connection], datetime | None],
) -> None:
    """Erase an object, or print the time of its earlier erasure.

    The output also names the known backups, and the reason why rows or bytes of erased
    jobs may be left in the database.

    Args:
        database: Database of the command.
        erase: Function that erases the object.
        find_erasure: Function that returns the time at which the object was erased;
            None if no erasure is known.

    Raises:
        SettingsError: If the object is unknown.
        Problem: If the erasure cannot be recorded or stored.
        StoreError: If the file of erasures cannot be written.
    """
    erased = database.run(partial(_erase_or_find, erase, find_erasure))
    if isinstance(erased, datetime):
        database.print_line(f"already erased\t{format_instant(erased)}")
        is_unfinished = database.read(has_hidden_rows)
        left = _UNFINISHED if is_unfinished else None
    else:
        database.print_line(f"jobs\t{erased['erased_jobs']}")
        left = erased["residue"]
    for path in database.store.backups():
        name = f"{path}"
        database.print_line(f"backup\t{printable_line(name, len(name))}")
    if left is not None:
        database.print_line(f"left\t{left}")


async def _erase_or_find(
    erase: Callable[[Services], Awaitable[models.Erasure]],
    find_erasure: Callable[[PepperFile, Connection], datetime | None],
    services: Services,
) -> models.Erasure | datetime:
    # A command that erases nothing loads no part of a server.
    from starlette.concurrency import run_in_threadpool

    try:
        # First: a server returns the result of an erasure that it is running.
        return await erase(services)
    except Problem as problem:
        if problem.name != "not-found":
            raise
        find = partial(find_erasure, services.pepper)
        erased_at = await run_in_threadpool(services.store.read, find)
        if erased_at is None:
            raise SettingsError(
                f"{problem.detail} Nothing was erased: check the id, and name another"
                " provider with --provider"
            ) from None
        return erased_at


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
    if again.skipped:
        print_line(
            f"skipped\t{again.skipped} erasures of another installation, or of a pepper"
            " that was lost: erase by id what they erased in this database"
        )
    if again.residue is not None:
        print_line(f"left\t{again.residue}")
