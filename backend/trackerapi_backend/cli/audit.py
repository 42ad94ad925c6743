"""`trackerapi-backend audit`: list of the administrative changes."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

from trackerapi_backend.cli.arguments import (
    add_provider_options,
    instant,
    whole_number,
)
from trackerapi_backend.cli.database import find_known_provider, set_command
from trackerapi_backend.instants import format_instant
from trackerapi_backend.settings import SettingsError
from trackerapi_backend.store.audit_log import list_entries
from trackerapi_backend.store.paging import fetch_all

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row

    from trackerapi_backend.cli.database import Database

DEFAULT_LIMIT = 100
MAX_LIMIT = 100_000


def add_arguments(parser: ArgumentParser) -> None:
    """Add the description and the arguments of `audit`."""
    parser.description = (
        "Print the latest administrative changes, oldest change first: time, key id"
        " (or `command`), change, ids and details. Tabs separate these values."
    )
    add_provider_options(parser)
    parser.add_argument(
        "--all",
        action="store_true",
        help="changes of all providers and of the whole installation",
    )
    parser.add_argument(
        "--since",
        type=instant,
        metavar="TIME",
        help="earliest time of a change, as in 2030-01-01T00:00:00Z; default: none",
    )
    parser.add_argument(
        "--limit",
        type=_limit,
        default=DEFAULT_LIMIT,
        metavar="N",
        help="maximum number of changes; default: %(default)s",
    )
    parser.add_argument(
        "--json", action="store_true", help="print each change as a JSON object"
    )
    set_command(parser, run)


def _limit(text: str) -> int:
    return whole_number(text, 1, MAX_LIMIT)


def run(options: Namespace, database: Database) -> None:
    """Print the latest entries of the audit log, one line for each entry.

    Raises:
        SettingsError: If the options give both `--all` and a provider, or the provider
            does not exist.
    """
    if options.all and options.provider is not None:
        raise SettingsError("--all and --provider exclude each other: give one")
    for row in database.read(lambda db: _read_entries(db, options)):
        document = _document(row)
        database.print_line(json.dumps(document) if options.json else _line(document))


def _read_entries(db: Connection, options: Namespace) -> Sequence[Row[Any]]:
    """Return the latest entries, oldest entry first."""
    provider_id = None if options.all else find_known_provider(db, options.provider)
    newest_first = fetch_all(
        lambda span: list_entries(db, provider_id, span, since=options.since)
    )
    return list(islice(newest_first, options.limit))[::-1]


def _document(row: Row[Any]) -> dict[str, Any]:
    return {**row._mapping, "at": format_instant(row.at)}  # noqa: SLF001


def _line(document: dict[str, Any]) -> str:
    """Return time, key id, change, ids and details, separated by tabs."""
    ids = {
        noun: document[f"{noun}_id"]
        for noun in ("provider", "job", "customer")
        if document[f"{noun}_id"] is not None
    }
    named = {**ids, **(document["details"] or {})}
    words = [document["at"], document["key_id"] or "command", document["action"]]
    return "\t".join([*words, *(f"{name} {_text(named[name])}" for name in named)])


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "never" if value is None else str(value)
