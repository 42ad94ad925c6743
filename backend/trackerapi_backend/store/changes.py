"""Changes of a transaction that concern caches and viewers of a server.

A command notes its change in `changes_of(db)`. After the commit, the writer passes the
changes to the server, which forgets changed keys and sends the news to viewers. Without
a server the changes are ignored. A change that was rolled back may stay noted: then the
server reads the same state again.
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
        rows: Changed rows that viewers see.
        permissions: Ids of jobs that fewer viewers may read.
    """

    keys: set[str] = field(default_factory=set)
    rows: set[Change] = field(default_factory=set)
    permissions: set[int] = field(default_factory=set)


def changes_of(db: Connection) -> Changes:
    """Return the changes of the transaction of a connection."""
    noted: Changes = db.info.setdefault(_MEMBER, Changes())
    return noted


def take_changes(db: Connection) -> Changes | None:
    """Return the changes of the transaction and begin anew; None without a change."""
    taken: Changes | None = db.info.pop(_MEMBER, None)
    return taken


def profile_source(provider_id: int) -> str:
    """Return the source of topics that show the profile of a provider."""
    return f"p{provider_id}"


def settings_source(configuration_id: int) -> str:
    """Return the source of topics that depend on a configuration's page settings."""
    return f"c{configuration_id}"
