"""`trackerapi-backend pepper`: replacement of the secret of all API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.cli.arguments import add_database_options, add_group
from trackerapi_backend.cli.database import set_command
from trackerapi_backend.instants import utc_now
from trackerapi_backend.settings import SettingsError
from trackerapi_backend.store import api_keys as stored_keys
from trackerapi_backend.store.audit_log import record_change
from trackerapi_backend.store.peppers import find_peppers, record_peppers

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from sqlalchemy import Connection

    from trackerapi_backend.cli.database import Database
    from trackerapi_backend.pepper import PepperFile

MAX_LISTED_KEYS = 100
"""Maximum number of keys that `pepper status` prints."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the actions of `pepper`."""
    actions = add_group(parser, "ACTION")
    rotation = actions.add_parser(
        "rotate",
        help="begin to use a new pepper; the keys of the old pepper stay valid",
    )
    add_database_options(rotation)
    set_command(rotation, rotate)
    status = actions.add_parser(
        "status", help="list the valid keys that still have the old pepper"
    )
    add_database_options(status)
    set_command(status, print_status)
    end = actions.add_parser("finish", help="remove the old pepper from the file")
    add_database_options(end)
    end.add_argument(
        "--expire-keys",
        action="store_true",
        help="expire the valid keys that still have the old pepper",
    )
    set_command(end, finish)


def rotate(_options: Namespace, database: Database) -> None:
    """Add a new pepper to the file; each key moves to this pepper at its next use."""
    file = _open(database)
    file.begin_rotation()
    # The file has both peppers now: a crash before the commit loses no key.
    fingerprints = file.read().fingerprints

    def record(db: Connection) -> list[str]:
        record_peppers(db, fingerprints)
        _record_change(db, rotate.__name__)
        return [
            f"{file.path} has a new pepper, and keeps the old pepper until"
            " `pepper finish`."
        ]

    database.change(record)
    if database.store.is_shared:
        database.print_line("Copy the file to the other hosts of this database now.")


def print_status(_options: Namespace, database: Database) -> None:
    """Print whether a rotation runs, and the valid keys with the old pepper.

    A line has provider, id and label of a key, and the job of a job token.
    """
    pepper = _open(database).read()
    if pepper.previous is None:
        database.print_line("no rotation runs")
        return
    newest, now = pepper.fingerprints[0], utc_now()
    count = database.read(
        lambda db: stored_keys.count_keys_of_others(db, newest, now=now)
    )
    database.print_line(f"a rotation runs; valid keys with the old pepper: {count}")
    for row in database.read(
        lambda db: stored_keys.list_keys_of_others(
            db, newest, now=now, limit=MAX_LISTED_KEYS
        )
    ):
        job = "" if row.job_id is None else f"\tjob {row.job_id}"
        database.print_line(f"{row.provider_name}\t{row.key_id}\t{row.label}{job}")
    if count > MAX_LISTED_KEYS:
        database.print_line(f"and {count - MAX_LISTED_KEYS} more")


def finish(options: Namespace, database: Database) -> None:
    """End a rotation: remove the old pepper, so that its keys become invalid.

    With `--expire-keys`, the valid keys of the old pepper are expired first.

    Raises:
        SettingsError: If no rotation runs, or if valid keys have the old pepper and
            `--expire-keys` is not given.
    """
    file, now = _open(database), utc_now()
    if file.read().previous is None:
        raise SettingsError(
            f"no rotation of {file.path} runs: `trackerapi-backend pepper rotate`"
            " begins one"
        )
    newest = file.read().fingerprints[0]

    def record(db: Connection) -> list[str]:
        count = stored_keys.count_keys_of_others(db, newest, now=now)
        if count and not options.expire_keys:
            raise SettingsError(
                f"valid keys with the old pepper of {file.path}: {count}."
                " `trackerapi-backend pepper status` lists them. Each key moves with"
                " its first use 30 seconds after `rotate`: wait, or expire the keys"
                " with --expire-keys"
            )
        stored_keys.expire_keys_of_others(db, newest, now=now)
        record_peppers(db, [newest])
        _record_change(db, finish.__name__)
        return [f"{file.path} has only the new pepper; expired keys: {count}."]

    database.change(record)
    # Remove the old pepper after the commit: until then, valid keys may need it.
    file.end_rotation()


def _open(database: Database) -> PepperFile:
    """Return the pepper file of a database.

    Raises:
        SettingsError: If the database has no pepper yet, or the file cannot be used.
    """
    if not database.read(find_peppers):
        raise SettingsError(
            "the database has no pepper yet: `trackerapi-backend key create` makes it"
        )
    return database.read(database.open_pepper)


def _record_change(db: Connection, action: str) -> None:
    record_change(db, provider_id=None, key_id=None, action=f"pepper_{action}")
