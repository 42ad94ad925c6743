"""Python code that makes a server fail: it runs in the process before the server.

See `prelude` of `start_command()`. A server reads the numbers of faults from files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SHORT_RETRIES = """
from trackerapi_backend.store import postgres, writer

postgres.RETRY_SECONDS = writer.RETRY_SECONDS = 1.0
"""
"""Makes requests fail soon while PostgreSQL does not work."""

SLOW_COMMITS = """
import time
from sqlalchemy import event
from sqlalchemy.engine import Engine

event.listen(Engine, "commit", lambda _db: time.sleep(0.02))
"""
"""Makes most kills hit a transaction before its COMMIT: an event that the server has
acknowledged too early is lost then."""

CLOCK = """
from datetime import timedelta
from pathlib import Path
from trackerapi_backend import instants

now, days = instants.utc_now, Path({path!r})
instants.utc_now = lambda: now() + timedelta(days=float(days.read_text()))
"""
"""Moves the clock of a server by the number of days in a file."""

FAULTY_DRIVER = """
import random
import sqlite3
from pathlib import Path
import psycopg
from psycopg.errors import IoError
from psycopg.pq import TransactionStatus
from trackerapi_backend.store.postgres_connection import LimitedConnection

chance = Path({path!r})


def is_due():
    return random.random() < float(chance.read_text())


def fail_at_random():
    if is_due():
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error


class Cursor(sqlite3.Cursor):
    def execute(self, *arguments):
        fail_at_random()
        return super().execute(*arguments)

    def executemany(self, *arguments):
        fail_at_random()
        return super().executemany(*arguments)


class Connection(sqlite3.Connection):
    def cursor(self):
        return super().cursor(Cursor)

    def commit(self):
        fail_at_random()
        super().commit()


connect = sqlite3.connect
sqlite3.connect = lambda *a, **options: connect(*a, factory=Connection, **options)

execute, commit = psycopg.Cursor.execute, LimitedConnection.commit
send_queued = LimitedConnection.send_queued
RAISE = "DO 'BEGIN RAISE ''damage'' USING ERRCODE = ''%s''; END'"
STATES = ("53100", "58030", "XX001")  # full disk, I/O error, damaged page


def execute_or_fail(cursor, *arguments, **options):
    # The server itself fails, so that it aborts the transaction.
    is_usable = cursor.connection.info.transaction_status != TransactionStatus.INERROR
    if is_usable and is_due():
        execute(cursor, RAISE % random.choice(STATES))
    return execute(cursor, *arguments, **options)


def send_or_fail(connection):
    if connection._queued and is_due():
        connection._queued.insert(0, (RAISE % random.choice(STATES), []))
    return send_queued(connection)


def commit_or_fail(connection):
    if is_due():
        connection.rollback()
        raise IoError("could not fsync file")
    commit(connection)


psycopg.Cursor.execute = execute_or_fail
LimitedConnection.commit = commit_or_fail
LimitedConnection.send_queued = send_or_fail
"""
"""Makes statements and commits fail with a chance, which is the number in a file."""


class Number:
    """Number in a file, which a server reads again and again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set(0)

    def set(self, value: float) -> None:
        """Replace the number."""
        fresh = self.path.with_suffix(".new")
        fresh.write_text(str(value))
        fresh.replace(self.path)
