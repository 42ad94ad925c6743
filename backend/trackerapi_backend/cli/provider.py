"""`trackerapi-backend provider`: list, profile for customers, retention of jobs."""

from __future__ import annotations

from binascii import b2a_base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trackerapi_backend.cli.arguments import (
    add_database_options,
    add_group,
    add_provider_options,
    check_options,
    file_name,
    naming_options,
    plain_text,
    whole_number,
)
from trackerapi_backend.cli.database import find_known_provider, set_command
from trackerapi_backend.files import open_regular_file
from trackerapi_backend.jobs.mark import MAX_MARK_BYTES
from trackerapi_backend.jobs.profile import checked_profile
from trackerapi_backend.settings import SettingsError
from trackerapi_backend.store import providers as stored

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from sqlalchemy import Connection, Row

    from trackerapi_backend.cli.database import Database

_MEMBERS = {
    "display_name": ("NAME", "name of the provider for customers"),
    "contact_text": ("TEXT", 'contact for customers, as in "Front desk, until 18:00"'),
    "contact_phone": ("NUMBER", "telephone number, such as +49 30 1234567"),
    "contact_mail": ("ADDRESS", "mail address"),
    "time_zone": ("ZONE", "time zone of the page, such as Europe/Berlin"),
    "language": ("LANGUAGE", "en or de, for browsers without a known language"),
    "accent": ("COLOUR", "colour of bars and links, such as #0c6a60"),
    "mark": ("FILE", "small PNG beside the name, of at most 8 KiB"),
}
_RETENTION = "retention-days"
MAX_RETENTION_DAYS = 36_500
_OPTIONS = {member.replace("_", "-"): member for member in _MEMBERS}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the actions of `provider`."""
    actions = add_group(parser, "ACTION")
    listing = actions.add_parser("list", help="list the providers")
    listing.description = (
        "Print the providers, oldest provider first: id and name. Tabs separate these"
        " values."
    )
    add_database_options(listing)
    set_command(listing, list_providers)
    show = actions.add_parser("show", help="show profile and retention")
    add_provider_options(show)
    set_command(show, show_profile)
    change = actions.add_parser(
        "set", help="change values; a value without an option stays unchanged"
    )
    add_provider_options(change)
    for option, member in _OPTIONS.items():
        metavar, help_text = _MEMBERS[member]
        # The name of a file may have any bytes.
        kind = file_name if option == "mark" else plain_text
        change.add_argument(f"--{option}", type=kind, metavar=metavar, help=help_text)
    change.add_argument(
        "--retention-days",
        type=_retention_days,
        metavar="N",
        help="age in days at which ended jobs are deleted; default: no deletion",
    )
    change.add_argument(
        "--unset",
        action="append",
        default=[],
        choices=[*_OPTIONS, _RETENTION],
        metavar="OPTION",
        help="name of an option whose value is removed; may be repeated",
    )
    set_command(change, set_profile, _read_mark)


def _retention_days(text: str) -> int:
    return whole_number(text, 1, MAX_RETENTION_DAYS)


def list_providers(_options: Namespace, database: Database) -> None:
    """Print the id and the name of each provider."""
    for row in database.read(stored.list_providers):
        database.print_line(f"{row.id}\t{row.name}")


def show_profile(options: Namespace, database: Database) -> None:
    """Print profile and retention of a provider: one line for each value."""
    row = database.read(
        lambda db: stored.get_profile(db, find_known_provider(db, options.provider))
    )
    for line in _lines(row):
        database.print_line(line)


def set_profile(options: Namespace, database: Database) -> None:
    """Change profile and retention of a provider; print all values."""
    changes = _changes(options)
    days = options.retention_days
    changes_retention = days is not None or _RETENTION in options.unset
    if not changes and not changes_retention:
        raise SettingsError("name at least one value, such as --display-name")
    check_options("ProviderProfileChange", changes)
    with naming_options():
        changes = checked_profile(changes)

    def change(db: Connection) -> list[str]:
        provider_id = find_known_provider(db, options.provider)
        if changes_retention:
            stored.set_retention(db, provider_id, days, caller_key_id=None)
        row = stored.update_profile(db, provider_id, changes, caller_key_id=None)
        return list(_lines(row))

    database.change(change)


def _changes(options: Namespace) -> dict[str, Any]:
    given = vars(options)
    changes = {name: given[name] for name in _MEMBERS if given[name] is not None}
    for option in options.unset:
        if given[option.replace("-", "_")] is not None:
            raise SettingsError(f"--{option} and --unset {option} exclude each other")
    unset = {_OPTIONS[option]: None for option in options.unset if option in _OPTIONS}
    return changes | unset


def _read_mark(options: Namespace) -> None:
    """Replace the name of the file by its content in base64.

    Raises:
        SettingsError: If the file cannot be read, or is too large.
    """
    if options.mark is None:
        return
    path = Path(options.mark)
    try:
        with open_regular_file(path) as file:
            content = file.read(MAX_MARK_BYTES + 1)
    except OSError as error:
        raise SettingsError(
            f"--mark: {path} cannot be read ({error.strerror}): name a PNG file"
        ) from None
    if len(content) > MAX_MARK_BYTES:
        raise SettingsError(f"--mark: {path} has more than {MAX_MARK_BYTES:,} bytes")
    options.mark = b2a_base64(content, newline=False).decode()


def _lines(row: Row[Any]) -> Iterator[str]:
    yield f"name\t{row.name}"
    shown = {**row._mapping, "mark": row.mark_hash and "set"}  # noqa: SLF001
    for option, member in _OPTIONS.items():
        yield f"{option}\t{shown[member] or '-'}"
    yield f"{_RETENTION}\t{row.retention_days or '-'}"
