"""Changes of a transaction that a server applies to its caches and viewers.

A function that changes such rows adds the change to `changes_of(db)`. After the commit,
the writer passes all changes to the server. The server removes changed keys from its
caches, and sends the new state to viewers. Without a server, the changes are ignored. A
rolled-back change may stay noted: the server then only reads unchanged rows again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from trackerapi_backend.store import Change

_MEMBER = "trackerapi-changes"


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes of a transaction.

    Attributes:
        keys: Public parts of changed API keys.
        rows: Changed rows that viewers see: ids of jobs, and names of other rows, such
            as `profile_source(7)`.
        permissions: Ids of jobs that some viewers may no longer read.
    """

    keys: set[str] = field(default_factory=set)
    rows: set[Change] = field(default_factory=set)
    permissions: set[int] = field(default_factory=set)


def changes_of(db: Connection) -> Changes:
    """Return the changes of the current transaction; the caller may add changes."""
    noted: Changes = db.info.setdefault(_MEMBER, Changes())
    return noted


def take_changes(db: Connection) -> Changes | None:
    """Return and remove the changes of the current transaction; None without one."""
    taken: Changes | None = db.info.pop(_MEMBER, None)
    return taken


def profile_source(provider_id: int) -> str:
    """Return the name of a provider's profile among the changed rows."""
    return f"p{provider_id}"


def settings_source(configuration_id: int) -> str:
    """Return the name of a configuration's page settings among the changed rows."""
    return f"c{configuration_id}"
