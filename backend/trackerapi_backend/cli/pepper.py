"""`trackerapi-backend pepper`: replacement of the secret of all API keys."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from trackerapi_backend.cli.arguments import add_database_options, add_group
from trackerapi_backend.cli.database import open_pepper, open_store
from trackerapi_backend.instants import utc_now
from trackerapi_backend.settings import SettingsError, storage_from
from trackerapi_backend.store import api_keys as stored_keys
from trackerapi_backend.store.audit_log import record_change
from trackerapi_backend.store.peppers import record_peppers

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from sqlalchemy import Connection

    from trackerapi_backend.cli.arguments import PrintLine


def add_arguments(parser: ArgumentParser) -> None:
    """Add the actions of `pepper`."""
    actions = add_group(parser, "ACTION")
    rotation = actions.add_parser(
        "rotate",
        help="begin to use a new pepper; the keys of the old pepper stay valid",
    )
    add_database_options(rotation)
    rotation.set_defaults(run=rotate)
    status = actions.add_parser("status", help="count the keys of the old pepper")
    add_database_options(status)
    status.set_defaults(run=print_status)
    end = actions.add_parser("finish", help="remove the old pepper from the file")
    add_database_options(end)
    end.add_argument(
        "--expire-keys",
        action="store_true",
        help="expire the keys that have not been used since the rotation",
    )
    end.set_defaults(run=finish)


def rotate(options: Namespace, print_line: PrintLine) -> None:
    """Add a new pepper to the file; each key moves to it when it is used."""
    storage = storage_from(vars(options))
    with closing(open_store(storage)) as store:
        file = open_pepper(store, storage)
        file.begin_rotation()
        # The file has both peppers now: a crash before the commit loses no key.
        with store.transaction() as db:
            record_peppers(db, file.read().fingerprints)
            _record(db, rotate.__name__)
    print_line(
        f"{file.path} has a new pepper and the old one. Running servers read it."
    )
    if storage.database_url is not None:
        print_line("Copy the file to the other hosts of this database now.")
    print_line(
        "Each key moves to the new pepper when it is used. `trackerapi-backend pepper"
        " status` counts the others, and `pepper finish` removes the old pepper."
    )


def print_status(options: Namespace, print_line: PrintLine) -> None:
    """Print whether a rotation runs, and how many valid keys have the old pepper."""
    storage = storage_from(vars(options))
    with closing(open_store(storage)) as store:
        pepper = open_pepper(store, storage).read()
        newest = pepper.fingerprints[0]
        waiting = store.read(
            lambda db: stored_keys.count_keys_of_others(db, newest, now=utc_now())
        )
    if pepper.previous is None:
        print_line("no rotation runs")
    else:
        print_line(f"a rotation runs: {waiting} valid keys have the old pepper")


def finish(options: Namespace, print_line: PrintLine) -> None:
    """End a rotation: the old pepper is removed, and its keys become invalid.

    Raises:
        SettingsError: If no rotation runs, or valid keys have the old pepper and the
            options do not expire them.
    """
    storage, now = storage_from(vars(options)), utc_now()
    with closing(open_store(storage)) as store:
        file = open_pepper(store, storage)
        if file.read().previous is None:
            raise SettingsError(
                f"no rotation of {file.path} runs: `trackerapi-backend pepper rotate`"
                " begins one"
            )
        newest = file.read().fingerprints[0]
        with store.transaction() as db:
            waiting = stored_keys.count_keys_of_others(db, newest, now=now)
            if waiting and not options.expire_keys:
                raise SettingsError(
                    f"{waiting} valid keys have not been used since the rotation of"
                    f" {file.path}: wait until they are used, or expire them with"
                    " --expire-keys"
                )
            stored_keys.expire_keys_of_others(db, newest, now=now)
            record_peppers(db, [newest])
            _record(db, finish.__name__)
        # After the commit: without the old pepper, valid keys of it would be lost.
        file.end_rotation()
    print_line(f"{file.path} has only the new pepper; {waiting} keys were expired.")


def _record(db: Connection, action: str) -> None:
    record_change(db, provider_id=None, key_id=None, action=f"pepper_{action}")
