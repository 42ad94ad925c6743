"""`trackerapi-backend provider`: profile of a provider, which customers read."""

from __future__ import annotations

from binascii import b2a_base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trackerapi_backend.cli.arguments import (
    add_group,
    add_provider_options,
    check_options,
    naming_options,
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
    "contact_text": ("TEXT", 'whom customers ask, such as "Front desk, until 18:00"'),
    "contact_phone": ("NUMBER", "telephone number, such as +49 30 1234567"),
    "contact_mail": ("ADDRESS", "mail address"),
    "time_zone": ("ZONE", "zone of times on the page, such as Europe/Berlin"),
    "language": ("LANGUAGE", "en or de, for browsers without a known language"),
    "accent": ("COLOUR", "colour of bars and links, such as #0c6a60"),
    "mark": ("FILE", "small PNG beside the name, of at most 8 KiB"),
}
_OPTIONS = {member.replace("_", "-"): member for member in _MEMBERS}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the actions of `provider`."""
    actions = add_group(parser, "ACTION")
    show = actions.add_parser("show", help="show the profile")
    add_provider_options(show)
    set_command(show, show_profile)
    change = actions.add_parser(
        "set", help="change the profile; a value without an option stays unchanged"
    )
    add_provider_options(change)
    for option, member in _OPTIONS.items():
        metavar, help_text = _MEMBERS[member]
        change.add_argument(f"--{option}", metavar=metavar, help=help_text)
    change.add_argument(
        "--unset",
        action="append",
        default=[],
        choices=list(_OPTIONS),
        metavar="OPTION",
        help="name of an option whose value is removed; may be repeated",
    )
    set_command(change, set_profile, _read_mark)


def show_profile(options: Namespace, database: Database) -> None:
    """Print the profile of a provider: one line for each value."""
    row = database.read(
        lambda db: stored.get_profile(db, find_known_provider(db, options.provider))
    )
    for line in _lines(row):
        database.print_line(line)


def set_profile(options: Namespace, database: Database) -> None:
    """Change the profile of a provider; print the whole profile."""
    changes = _changes(options)
    check_options("ProviderProfileChange", changes)
    with naming_options():
        changes = checked_profile(changes)

    def change(db: Connection) -> list[str]:
        provider_id = find_known_provider(db, options.provider)
        row = stored.update_profile(db, provider_id, changes, caller_key_id=None)
        return list(_lines(row))

    database.change(change)


def _changes(options: Namespace) -> dict[str, Any]:
    given = vars(options)
    changes = {name: given[name] for name in _MEMBERS if given[name] is not None}
    for option in options.unset:
        if _OPTIONS[option] in changes:
            raise SettingsError(f"--{option} and --unset {option} exclude each other")
    changes |= {_OPTIONS[option]: None for option in options.unset}
    if not changes:
        raise SettingsError("name at least one value, such as --display-name")
    return changes


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
        raise SettingsError(f"--mark: cannot read {path}: {error.strerror}") from None
    if len(content) > MAX_MARK_BYTES:
        raise SettingsError(f"--mark: {path} has more than {MAX_MARK_BYTES:,} bytes")
    options.mark = b2a_base64(content, newline=False).decode()


def _lines(row: Row[Any]) -> Iterator[str]:
    yield f"name\t{row.name}"
    shown = {**row._mapping, "mark": row.mark_hash and "set"}  # noqa: SLF001
    for option, member in _OPTIONS.items():
        yield f"{option}\t{shown[member] or '-'}"
