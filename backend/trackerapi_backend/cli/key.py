"""`trackerapi-backend key`: creation, list and expiry of API keys."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from trackerapi_backend.cli.arguments import (
    add_group,
    add_provider_options,
    check_options,
    instant,
    plain_text,
)
from trackerapi_backend.cli.database import find_known_provider, set_command
from trackerapi_backend.instants import format_instant, utc_now
from trackerapi_backend.jobs.providers import create_api_key, find_or_create_provider
from trackerapi_backend.requests.credentials import (
    SCOPES,
    parse_key_id,
)
from trackerapi_backend.settings import SettingsError
from trackerapi_backend.store import api_keys as stored_keys
from trackerapi_backend.store.changes import SHARED_CACHE_SECONDS
from trackerapi_backend.store.paging import fetch_all
from trackerapi_backend.store.revocation import revoke_created

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from sqlalchemy import Connection

    from trackerapi_backend.cli.database import Database

DEFAULT_SCOPES = ("ingest", "read")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the actions of `key`."""
    actions = add_group(parser, "ACTION")
    create = actions.add_parser(
        "create", help="create a key and print it; no later command shows the key"
    )
    add_provider_options(create)
    create.add_argument(
        "--label", type=plain_text, required=True, help="purpose of the key"
    )
    create.add_argument(
        "--scope",
        action="append",
        choices=SCOPES,
        help="permission of the key; may be repeated; default: ingest and read",
    )
    create.add_argument(
        "--expires-at",
        type=instant,
        metavar="TIME",
        help="expiry of the key, such as 2030-01-01T00:00:00Z; default: never",
    )
    set_command(create, create_key, _require_stdout)
    listing = actions.add_parser("list", help="list the keys, without their secrets")
    listing.description = (
        "Print the keys, newest key first: id, scopes, expiry, label, the job of a job"
        " token, and the id of the key that created this key. Tabs separate these"
        " values."
    )
    add_provider_options(listing)
    set_command(listing, list_keys)
    expire = actions.add_parser("expire", help="expire a key now")
    add_provider_options(expire)
    expire.add_argument(
        "key_id",
        type=plain_text,
        metavar="KEY_ID",
        help="second part of the key, or the whole key",
    )
    expire.add_argument(
        "--revoke-created",
        action="store_true",
        help="also expire the keys and job tokens, and revoke the share links, that"
        " the key has made, directly or by another key",
    )
    set_command(expire, expire_key)


def _require_stdout(_options: Namespace) -> None:
    if sys.stdout is None:
        raise SettingsError(
            "stdout is closed, but a new key is printed there and nowhere else"
        )


def create_key(options: Namespace, database: Database) -> None:
    """Create a key and print it; no later command can print the key again."""
    scopes = options.scope or list(DEFAULT_SCOPES)
    check_options("ApiKeyInput", {"label": options.label, "scopes": scopes})
    if options.expires_at is not None and options.expires_at <= utc_now():
        raise SettingsError(
            f"--expires-at {format_instant(options.expires_at)} lies in the past:"
            " name a later time, or leave the option out for a key that never expires"
        )

    def create(db: Connection) -> list[str]:
        provider_id = find_or_create_provider(db, options.provider)
        pepper = database.open_pepper(db)
        new = create_api_key(
            db,
            pepper,
            provider_id,
            options.label,
            scopes,
            expires_at=options.expires_at,
        )
        return [new.api_key]

    database.change(create)


def list_keys(options: Namespace, database: Database) -> None:
    """Print the keys of a provider, one line per key.

    A line has id, scopes, expiry and label, the job of a job token, and the id of the
    key that created this key.
    """
    provider_id = database.read(lambda db: find_known_provider(db, options.provider))
    for row in fetch_all(
        lambda span: database.read(
            lambda db: stored_keys.list_keys(db, provider_id, span)
        )
    ):
        ends = format_instant(row.expires_at) if row.expires_at else "never"
        job = "" if row.job_id is None else f"\tjob {row.job_id}"
        maker = "" if row.created_by is None else f"\tmade by {row.created_by}"
        scopes = ",".join(row.scopes)
        database.print_line(
            f"{row.key_id}\t{scopes}\texpires {ends}\t{row.label}{job}{maker}"
        )


def expire_key(options: Namespace, database: Database) -> None:
    """Set the expiry of a key to the current time."""
    # The argument may be a whole key, which is secret, so no message repeats it.
    key_id = parse_key_id(options.key_id) or options.key_id

    def expire(db: Connection) -> list[str]:
        provider_id = find_known_provider(db, options.provider)
        row = stored_keys.expire_key(
            db, provider_id, key_id, now=utc_now(), caller_key_id=None
        )
        if row is None:
            raise SettingsError(
                "the provider has no such key: `trackerapi-backend key list` lists its"
                " keys"
            )
        lines = [f"{row.key_id} expired at {format_instant(row.expires_at)}"]
        if options.revoke_created:
            revoked = revoke_created(
                db, provider_id, key_id, now=utc_now(), caller_key_id=None
            )
            lines.append(
                f"expired keys {revoked.expired_keys}, expired job tokens"
                f" {revoked.expired_tokens}, revoked share links"
                f" {revoked.revoked_share_links}"
            )
        return lines

    database.change(expire)
    if database.store.is_shared:
        # Until then, a server may have the valid key in its cache.
        time.sleep(SHARED_CACHE_SECONDS)
