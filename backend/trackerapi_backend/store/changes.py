"""Changes of a transaction that a server applies to its caches and viewers.

A function that changes such rows adds the change to `changes_of(db)`. After the commit,
the writer passes all changes to the server. The server removes changed keys from its
caches, and sends the new state to viewers. Without a server, the changes are ignored. A
rolled-back change may stay noted: the server then only reads unchanged rows again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from trackerapi_backend.store.driver_sql import is_postgres

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

    from trackerapi_backend.store import Change

SHARED_CACHE_SECONDS = 1.0
"""Time for which a caller is cached while other processes may change keys, in seconds.

A request to expire a key waits for this time before its response. After the response,
no process accepts the key.
"""
NOTIFICATIONS = "trackerapi_jobs"
"""Name of the notifications of changes between processes on PostgreSQL."""
MAX_CHANGES_PER_MESSAGE = 400
"""Maximum number of changes in a notification, which may have up to 8,000 bytes."""

_MEMBER = "trackerapi-changes"


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes of a transaction.

    Attributes:
        keys: Public parts of changed API keys.
        rows: Changed rows that viewers see: ids of jobs, and names of other rows, such
            as `profile_source(7)`.
        permissions: Permissions that some viewers may have lost, such as
            `keys_of_provider(7)`.
    """

    keys: set[str] = field(default_factory=set)
    rows: set[Change] = field(default_factory=set)
    permissions: set[str] = field(default_factory=set)


def changes_of(db: Connection) -> Changes:
    """Return the changes of the current transaction; the caller may add changes."""
    noted: Changes = db.info.setdefault(_MEMBER, Changes())
    return noted


def take_changes(db: Connection) -> Changes | None:
    """Return and remove the current transaction's changes; None without changes."""
    taken: Changes | None = db.info.pop(_MEMBER, None)
    return taken


def profile_source(provider_id: int) -> str:
    """Return the name of a provider's profile among the changed rows."""
    return f"p{provider_id}"


def settings_source(configuration_id: int) -> str:
    """Return the name of a configuration's page settings among the changed rows."""
    return f"c{configuration_id}"


def keys_of_provider(provider_id: int) -> str:
    """Return the name of a provider's keys, without job tokens, among permissions."""
    return f"k{provider_id}"


def tokens_and_links_of_job(job_id: int) -> str:
    """Return the name of a job's tokens and share links among permissions."""
    return f"t{job_id}"


def note_permissions(db: Connection, permissions: Collection[str]) -> None:
    """Note permissions that some viewers lose in the current transaction."""
    changes_of(db).permissions.update(permissions)
    _notify_servers(db, permissions)


def note_job(db: Connection, job_id: int) -> None:
    """Note a change of a job in the current transaction, for all servers."""
    changes_of(db).rows.add(job_id)
    _notify_servers(db, [job_id])


def note_profile(db: Connection, provider_id: int) -> None:
    """Note a change of a provider's profile in the current transaction."""
    source = profile_source(provider_id)
    changes_of(db).rows.add(source)
    _notify_servers(db, [source])


def _notify_servers(db: Connection, changes: Collection[Change]) -> None:
    """Have the commit notify all servers on PostgreSQL; do nothing on SQLite.

    A command may make the change too, and has no channel to the servers.
    """
    if is_postgres(db):
        for message in encode_changes(changes):
            db.execute(select(func.pg_notify(NOTIFICATIONS, message)))


def encode_changes(changes: Collection[Change]) -> list[str]:
    """Return the notifications that name changes to other processes."""
    names = [str(change) for change in changes]
    return [
        ",".join(names[first : first + MAX_CHANGES_PER_MESSAGE])
        for first in range(0, len(names), MAX_CHANGES_PER_MESSAGE)
    ]
