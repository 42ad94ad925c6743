"""Read-only access to a SQLite file, also while a server writes to the file.

A reader cannot write or checkpoint (`mode=ro`, `query_only`). So a reader cannot cause
the damage that `sqlite.py` describes. During a long read, the server cannot reuse the
write-ahead log, so the log grows.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from sqlalchemy import create_engine, event
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool

from trackerapi_backend.store import StoreError, sqlite_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection, Engine

T = TypeVar("T")

# Errors of a single statement; the store stays usable after such an error.
_STATEMENT_ERRORS = (
    IntegrityError,
    DataError,
    ProgrammingError,
    NotSupportedError,
)
_ADVICE = {
    sqlite3.SQLITE_NOTADB: "choose another file",
    sqlite3.SQLITE_CORRUPT: "put a backup in its place",
    sqlite3.SQLITE_FULL: "make space on the disk",
    sqlite3.SQLITE_IOERR: "check the disk, its free space and limits of file sizes",
    sqlite3.SQLITE_READONLY: "make the file and its folder writable",
    sqlite3.SQLITE_CANTOPEN: "make the file and its folder writable",
    sqlite3.SQLITE_PERM: "make the file and its folder writable",
    sqlite3.SQLITE_BUSY: "end the other program that uses the file",
    sqlite3.SQLITE_LOCKED: "end the other program that uses the file",
}
_DAMAGES = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})


class SqliteReader:
    """Reader of an existing SQLite file with any schema.

    Args:
        path: Path of the file.
        name: Name of the file for messages; None for the path.
        is_fixed: Whether no process writes to the file. SQLite then creates no files
            beside the database.
        damage_advice: Fix of a damaged file, for messages; None for the usual fix.

    Attributes:
        path: Path of the file, without symbolic links.

    Raises:
        StoreError: If the file is missing, or is not a regular file.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str | None = None,
        is_fixed: bool = False,
        damage_advice: str | None = None,
    ) -> None:
        self.path = _existing_file(path)
        self._name, self._damage_advice = name or f"{path}", damage_advice
        self._engine = reading_engine(self.path, is_fixed=is_fixed)

    def read(self, query: Callable[[Connection], T]) -> T:
        """Return the result of a query on one consistent snapshot.

        Raises:
            StoreError: If SQLite fails, for example on a damaged file.
        """
        errors = sqlite_errors(self._name, self._damage_advice)
        with errors, self._engine.begin() as db:
            return query(db)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _existing_file(path: Path) -> Path:
    try:
        found = path.resolve()
        mode = found.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise StoreError(
            f"there is no database {path}: name an existing file, or create a"
            " database with `trackerapi-backend migrate`"
        ) from None
    # `resolve()` raises RuntimeError for a cycle of symbolic links.
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", error)
        raise StoreError(
            f"{path} cannot be read ({reason}): name another file, or let this user"
            " read it"
        ) from None
    if not stat.S_ISREG(mode):
        raise StoreError(f"{path} is not a regular file: name another file")
    return found


def reading_engine(path: Path, *, pool_size: int = 1, is_fixed: bool = False) -> Engine:
    """Return an engine for reading; each transaction reads one consistent snapshot.

    Args:
        path: Path of the file.
        pool_size: Maximum number of connections.
        is_fixed: Whether no process writes to the file; see `SqliteReader`.
    """
    options = "mode=ro&immutable=1" if is_fixed else "mode=ro"
    address = f"file:{quote(os.fsencode(path))}?{options}"

    def connect() -> sqlite3.Connection:
        db = sqlite3.connect(
            address, uri=True, isolation_level=None, check_same_thread=False
        )
        db.execute("PRAGMA query_only=ON")
        return db

    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=QueuePool,
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=0,
    )
    event.listen(engine, "begin", _begin)
    return engine


def _begin(db: Connection) -> None:
    sqlite_sql.fetch(db, "BEGIN")


@contextmanager
def sqlite_errors(name: object, damage_advice: str | None = None) -> Iterator[None]:
    """Convert a failure of SQLite to StoreError; reraise an error of one statement.

    Args:
        name: Name of the database for the message.
        damage_advice: Fix of a damaged file; None for the usual fix.
    """
    try:
        yield
    except PoolTimeoutError as error:
        busy = "all connections to the database are in use"
        raise StoreError(busy, cause=busy) from error
    except DBAPIError as error:
        if isinstance(error, _STATEMENT_ERRORS):
            raise
        code = getattr(error.orig, "sqlite_errorcode", None)
        reason = str(error.orig)
        if code is None:
            # The driver, not SQLite, has failed: a text cannot be decoded. The message
            # of the driver quotes the text, so use another message.
            code, reason = sqlite3.SQLITE_CORRUPT, "a text is not valid UTF-8"
        advice = _ADVICE.get(code & 0xFF, "fix the cause in parentheses")
        if code & 0xFF in _DAMAGES:
            advice = damage_advice or advice
        raise StoreError(
            f"{name} cannot be used ({reason}): {advice}", cause=reason
        ) from error
