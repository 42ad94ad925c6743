"""The work of each command of the command line.

Commands that look after keys and customers open the database themselves, so they
wait for no server and run beside none.
"""

from __future__ import annotations

import logging
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from trackerapi_backend.cli.dev import run_dev
from trackerapi_backend.instants import format_instant, utc_now
from trackerapi_backend.jobs.administration import (
    everything,
    make_api_key,
    make_customer,
    provider_named,
)
from trackerapi_backend.logs import log_to_stderr
from trackerapi_backend.problems import Problem
from trackerapi_backend.requests.auth import key_id_of
from trackerapi_backend.requests.contract import check, validator
from trackerapi_backend.server import leave_busy_threads, serve_store
from trackerapi_backend.settings import (
    SettingsError,
    absolute_path,
    read_pepper,
    settings_from,
    storage_from,
    user_data_dir,
)
from trackerapi_backend.store import access, customers
from trackerapi_backend.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from trackerapi_backend.settings import Storage

    Tell = Callable[[str], None]

DEFAULT_SCOPES = ("ingest", "read")


def dev(options: Namespace, tell: Tell) -> None:
    """Run a backend of one's own."""
    log_to_stderr(logging.WARNING)
    folder = _data_dir(options.data_dir)
    run_dev(folder, host=options.host, port=options.port, tell=tell)
    leave_busy_threads(0)


def _data_dir(given: str | None) -> Path:
    """Return the folder of `dev`: the one given, else that of this user."""
    if given is not None:
        return absolute_path(given, "--data-dir")
    usual = user_data_dir()
    if usual is None:
        raise SettingsError("this user has no home directory: give --data-dir")
    return usual


def serve(options: Namespace, tell: Tell) -> None:
    """Run a backend for others."""
    settings = settings_from(vars(options))
    log_to_stderr(logging.INFO)
    with closing(SqliteStore(settings.database)) as store:
        serve_store(settings, store, announce=lambda url: tell(f"Serving at {url}"))
    leave_busy_threads(0)


def migrate(options: Namespace, tell: Tell) -> None:
    """Bring a database's schema up to date."""
    database = storage_from(vars(options)).database
    with closing(SqliteStore(database, migrate=True)):
        tell(f"The schema of {database} is up to date.")


def create_key(options: Namespace, tell: Tell) -> None:
    """Make a key and print it; it cannot be printed again.

    A key that cannot be printed is not stored.
    """
    if sys.stdout is None:
        raise SettingsError("stdout is closed, and a new key is shown only there")
    scopes = options.scope or list(DEFAULT_SCOPES)
    _check_options("ApiKeyInput", {"label": options.label, "scopes": scopes})
    if options.expires_at is not None and options.expires_at <= utc_now():
        raise SettingsError(
            f"--expires-at {format_instant(options.expires_at)} lies in the past:"
            " name a later time, or leave it out for a key that does not end"
        )
    with _opened(options, make_provider=True) as (db, storage, provider_id):
        new = make_api_key(
            db,
            read_pepper(storage.pepper_file),
            provider_id,
            options.label,
            scopes,
            expires_at=options.expires_at,
        )
        tell(new.api_key)  # within the transaction: a failure undoes it


def list_keys(options: Namespace, tell: Tell) -> None:
    """List the keys of a provider: id, scopes, end, label, job of a token, maker."""
    with _opened(options) as (db, _storage, provider_id):
        for row in everything(lambda span: access.list_keys(db, provider_id, span)):
            ends = format_instant(row.expires_at) if row.expires_at else "never"
            job = "" if row.job_id is None else f"\tjob {row.job_id}"
            maker = "" if row.created_by is None else f"\tmade by {row.created_by}"
            scopes = ",".join(row.scopes)
            tell(f"{row.key_id}\t{scopes}\texpires {ends}\t{row.label}{job}{maker}")


def expire_key(options: Namespace, tell: Tell) -> None:
    """End a key at once."""
    # A whole key is taken too. The error does not repeat it: it may be a secret.
    key_id = key_id_of(options.key_id) or options.key_id
    with _opened(options) as (db, _storage, provider_id):
        row = access.expire_key(db, provider_id, key_id, now=utc_now())
    if row is None:
        raise SettingsError(
            "no such key of this provider: `trackerapi-backend key list` shows them"
        )
    tell(f"{row.key_id} expired at {format_instant(row.expires_at)}")


def create_customer(options: Namespace, tell: Tell) -> None:
    """Make a customer and tell the id."""
    known = {"reference": options.reference, "name": options.name}
    said = {member: text for member, text in known.items() if text is not None}
    _check_options("CustomerInput", said)
    with _opened(options, make_provider=True) as (db, _storage, provider_id):
        if options.id is not None and customers.customer_exists(db, options.id):
            raise SettingsError(f"customer {options.id} exists: choose another --id")
        if "reference" in said and customers.find_customer_by_reference(
            db, provider_id, said["reference"]
        ):
            raise SettingsError("another customer has this --reference")
        tell(str(make_customer(db, provider_id, options.id, **said)))


def list_customers(options: Namespace, tell: Tell) -> None:
    """List the customers of a provider: id, reference and name."""
    with _opened(options) as (db, _settings, provider_id):
        for row in everything(
            lambda span: customers.list_customers(db, provider_id, None, span)
        ):
            tell(f"{row.id}\t{row.reference or '-'}\t{row.name or '-'}")


def _check_options(schema_name: str, values: dict[str, object]) -> None:
    """Check options against the schema with members of the same names.

    Raises:
        SettingsError: If one is not valid; the message names the option.
    """
    try:
        check(validator(schema_name), values)
    except Problem as problem:
        first = next(iter(problem.errors), None)
        if first is None:  # a text that is not UTF-8
            raise
        option = first["pointer"].replace("/", "--", 1)
        raise SettingsError(f"{option} {first['detail']}") from None


@contextmanager
def _opened(
    options: Namespace, *, make_provider: bool = False
) -> Iterator[tuple[Connection, Storage, int]]:
    """Hold a transaction, where it goes, and the id of the provider that is meant."""
    storage = storage_from(vars(options))
    with (
        closing(SqliteStore(storage.database)) as store,
        store.transaction() as db,
    ):
        if make_provider:
            provider_id = provider_named(db, options.provider)
        else:
            provider_id = _known_provider(db, options.provider)
        yield db, storage, provider_id


def _known_provider(db: Connection, name: str | None) -> int:
    known = access.find_provider(db, name)
    if known is None:
        raise SettingsError(
            "no such provider: `key create` and `customer create` make one"
        )
    return known
