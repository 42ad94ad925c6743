"""Checks of an open database: schema, integrity, clock, pepper, rights."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from trackerapi_backend.diagnosis.finding import (
    Fault,
    chown_command,
    options_of,
    quote,
)
from trackerapi_backend.instants import format_instant, from_micros, utc_now
from trackerapi_backend.pepper import LOST_PEPPER, open_pepper_file
from trackerapi_backend.settings import Settings, SettingsError
from trackerapi_backend.store import health
from trackerapi_backend.store.ids import LAST_CLOCK_ID, created_by_id
from trackerapi_backend.store.migrations import HEAD, current_revision, is_newer
from trackerapi_backend.store.postgres_commands import psql_command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trackerapi_backend.store import Reader

MAX_CLOCK_LAG = timedelta(seconds=5)
"""Accepted time by which the clock may be behind the newest job."""
MAX_IDLE = timedelta(days=365)
"""Age of the newest job above which `check_clock()` suspects that the clock is ahead.
"""
MIN_POSTGRES = 13
"""Oldest supported major version of PostgreSQL."""

_SET_CLOCK = "timedatectl set-ntp true"


@dataclass(frozen=True, slots=True)
class Subject:
    """Installation to check, with its open database.

    Attributes:
        settings: Settings of a server.
        reader: Read access to the open database.
        is_thorough: Whether `check_integrity()` compares each index with its table.
    """

    settings: Settings
    reader: Reader
    is_thorough: bool = False

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a SQLite file."""
        return self.settings.database is not None

    @property
    def restore(self) -> str:
        """Command that replaces a damaged database."""
        return (
            f"trackerapi-backend restore FILE{options_of(self.settings)} --move-aside"
        )


def check_schema(subject: Subject) -> Iterator[Fault]:
    """Find a schema that is older or newer than the schema of this release."""
    revision = subject.reader.read(current_revision)
    if revision is not None and is_newer(revision):
        yield Fault(
            f"the database has schema {revision}, made by a newer release: install"
            " that release",
            "pip install --upgrade trackerapi-backend",
        )
    elif subject.is_sqlite and subject.reader.read(health.is_foreign):
        yield Fault(
            f"{subject.settings.database} is a database of another program: name"
            " another file",
            "export TRACKERAPI_BACKEND_DATABASE=FILE",
        )
    elif revision != HEAD:
        yield Fault(
            f"the database has schema {revision or 'none'}, this release needs {HEAD}:"
            " stop the servers of the earlier release first",
            f"trackerapi-backend migrate{options_of(subject.settings)}",
        )


def check_integrity(subject: Subject) -> Iterator[Fault]:
    """Find damage in a SQLite file, and rows that refer to missing rows."""
    if not subject.is_sqlite:
        return
    find = partial(health.find_damage, is_thorough=subject.is_thorough)
    found = subject.reader.read(find) or subject.reader.read(health.find_dangling_row)
    if found is not None:
        yield Fault(
            f"the database is damaged ({found}): stop the server and restore a backup",
            subject.restore,
        )


def check_clock(subject: Subject) -> Iterator[Fault]:
    """Compare the clock of this machine with the time in the newest job id."""
    newest = subject.reader.read(health.find_newest_id)
    if newest is None:
        return
    made_at, now = from_micros(created_by_id(newest)), utc_now()
    if made_at > now + MAX_CLOCK_LAG or newest >= LAST_CLOCK_ID:
        yield Fault(
            f"the clock ({format_instant(now)}) is behind the newest job"
            f" ({format_instant(made_at)}): new jobs get ids of a later"
            " time than the clock shows",
            _SET_CLOCK,
        )
    elif now > made_at + MAX_IDLE:
        yield Fault(
            f"the newest job was created at {format_instant(made_at)}: if jobs were"
            f" created since, the clock ({format_instant(now)}) is ahead",
            _SET_CLOCK,
            "warning",
        )


def check_pepper(subject: Subject) -> Iterator[Fault]:
    """Compare the pepper file with the fingerprints of the database."""
    path = subject.settings.pepper_file
    recorded = subject.reader.read(health.find_recorded_peppers)
    has_keys = bool(subject.reader.read(health.count_keys))
    if not has_keys and not path.exists():
        return
    try:
        pepper = open_pepper_file(path, create=False, has_keys=has_keys).read()
    except SettingsError as error:
        yield Fault(f"{error}", _replacement(path))
        return
    missing = recorded.difference(pepper.fingerprints)
    if missing == recorded and recorded:
        yield Fault(
            f"{path} is not the pepper of the database: name the right file, such as"
            f" the pepper of a backup; {LOST_PEPPER}",
            "export TRACKERAPI_BACKEND_PEPPER_FILE=FILE",
        )
    elif missing:
        yield Fault(
            f"{path} lacks one of the two peppers of a running rotation: copy the file"
            " from the host on which `pepper rotate` was run",
            f"scp OTHER-HOST:{quote(path)} {quote(path)}",
        )


def _replacement(path: Path) -> str:
    """Return the command for a pepper file that is missing or cannot be used.

    FILE is a copy of the pepper. The command keeps all keys valid, unlike
    `migrate --accept-pepper`, which is for a pepper without a copy.
    """
    copy = f"cp -p FILE {quote(path)}"
    if not path.exists():
        return copy
    if not os.access(path, os.R_OK, effective_ids=True):
        return chown_command(path)
    unusable = quote(path.with_name(f"{path.name}.unusable"))
    return f"mv {quote(path)} {unusable} && {copy}"


def check_engine(subject: Subject) -> Iterator[Fault]:
    """Find a PostgreSQL that is too old, or that lacks UTF-8 or rights."""
    url = subject.settings.database_url
    if url is None:
        return
    read = subject.reader.read
    version = read(lambda db: health.postgres_setting(db, "server_version_num"))
    if int(version) < MIN_POSTGRES * 10_000:
        yield Fault(
            f"PostgreSQL has version {int(version) // 10_000}, and {MIN_POSTGRES} is"
            " the oldest supported version",
            "pg_upgrade --help",
        )
    encoding = read(lambda db: health.postgres_setting(db, "server_encoding"))
    if encoding != "UTF8":
        yield Fault(
            f"the database has the encoding {encoding}, which cannot store all texts:"
            " create a database with UTF-8, and name it in the variable"
            " TRACKERAPI_BACKEND_DATABASE_URL",
            "createdb --encoding UTF8 --template template0 tracker_utf8",
        )
    rights = read(health.find_rights)
    if rights.missing:
        grants = "; ".join(
            f'GRANT ALL ON ALL {kind} IN SCHEMA "{rights.schema}" TO "{rights.role}"'
            for kind in ("TABLES", "SEQUENCES")
        )
        yield Fault(
            f"the role {rights.role} may not read and change"
            f" {', '.join(rights.missing)}",
            psql_command(url, rights.owner, grants),
        )
