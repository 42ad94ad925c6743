"""Queries about the state of a whole database, for `doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, inspect, select

from trackerapi_backend.store.peppers import find_peppers
from trackerapi_backend.store.schema import MAX_ID, api_keys, jobs, metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """Rights of a role of PostgreSQL.

    Attributes:
        missing: Tables on which the role lacks SELECT, INSERT, UPDATE or DELETE.
        role: Name of the role.
        owner: Role that owns the tables.
        schema: Schema of the tables.
    """

    missing: Sequence[str]
    role: str
    owner: str
    schema: str


def has_schema(db: Connection) -> bool:
    """Return whether the database has the tables of any release."""
    return inspect(db).has_table("alembic_version")


def is_foreign(db: Connection) -> bool:
    """Return whether the database has tables or views, but not those of any release."""
    found = inspect(db)
    names = [*found.get_table_names(), *found.get_view_names()]
    return not has_schema(db) and bool(names)


def find_damage(db: Connection, *, is_thorough: bool) -> str | None:
    """Return the first damage that SQLite finds in the file; None without damage.

    Args:
        db: Connection to SQLite.
        is_thorough: Whether to compare each index with its table too.
    """
    pragma = "integrity_check" if is_thorough else "quick_check"
    found = str(db.exec_driver_sql(f"PRAGMA {pragma}(1)").scalar_one())
    # A line with the name of the schema may come first.
    return None if found == "ok" else found.splitlines()[-1]


def find_dangling_row(db: Connection) -> str | None:
    """Return a sentence about one reference to a missing row, or None.

    Args:
        db: Connection to SQLite.
    """
    row = db.exec_driver_sql("PRAGMA foreign_key_check").first()
    return (
        None
        if row is None
        else f"a row of {row[0]} refers to a missing row of {row[2]}"
    )


def find_newest_id(db: Connection) -> int | None:
    """Return the largest job id up to `MAX_ID`; None without a job."""
    return db.execute(select(func.max(jobs.c.id)).where(jobs.c.id <= MAX_ID)).scalar()


def find_recorded_peppers(db: Connection) -> frozenset[str]:
    """Return the fingerprints of the accepted peppers.

    A schema before 0006 has no table of peppers: the result is empty.
    """
    return find_peppers(db) if inspect(db).has_table("peppers") else frozenset()


def count_keys(db: Connection) -> int:
    """Return the number of API keys."""
    return db.execute(select(func.count(api_keys.c.id))).scalar_one()


def postgres_setting(db: Connection, name: str) -> str:
    """Return the value of a setting of PostgreSQL, such as `max_connections`."""
    return str(db.exec_driver_sql(f"SHOW {name}").scalar_one())


def find_rights(db: Connection) -> Rights:
    """Return the rights of the role that a connection to PostgreSQL uses."""
    missing = [
        name
        for name in inspect(db).get_table_names()
        if name in metadata.tables
        and not all(
            db.exec_driver_sql(
                "SELECT has_table_privilege(%s, %s)", (f'"{name}"', right)
            ).scalar_one()
            for right in _RIGHTS
        )
    ]
    role = str(db.exec_driver_sql("SELECT current_user").scalar_one())
    table_row = db.exec_driver_sql(
        "SELECT tableowner, schemaname FROM pg_tables"
        " WHERE tablename = 'alembic_version' AND schemaname = current_schema()"
    ).first()
    owner, schema = table_row or (role, "public")
    return Rights(missing=missing, role=role, owner=str(owner), schema=str(schema))
