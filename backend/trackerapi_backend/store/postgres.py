"""Store in a PostgreSQL database: any number of server processes on one database.

A writing transaction begins with an advisory lock, so the writing transactions of all
processes run one after another: a command may read a row and then write depending on
the row, as on SQLite. Shared transactions, which record events, are an exception: they
lock the rows of their jobs instead, and run beside all other transactions. A migration
runs alone. Readers need no lock; each read has one snapshot.

A transaction counts as committed only if the driver reported an open transaction right
before COMMIT, and COMMIT raised no error. `synchronous_commit` is never off: a commit
returns once its data is on the disk of the server.
"""

from __future__ import annotations

import os
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import NullPool

from trackerapi_backend.instants import utc_now
from trackerapi_backend.store import PoolUse, StoreError
from trackerapi_backend.store.migrations import (
    current_revision,
    needs_upgrade,
    upgrade_to_head,
)
from trackerapi_backend.store.partitions import add_partitions
from trackerapi_backend.store.postgres_sql import (
    LOCK_SCHEMA,
    SCHEMA_KEY,
    driver_connection,
    queue,
    send_queued,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection, Engine, QueuePool, RootTransaction

    from trackerapi_backend.store import Change, Channel

T = TypeVar("T")

READERS = 4
RETRY_SECONDS = 20.0
"""Time for repeating a read after a transient failure, in seconds."""
CONNECT_SECONDS = 5
"""Time limit for opening one connection, in seconds."""
STATEMENT_SECONDS = 30
"""Time limit for one statement, including the wait for the lock, in seconds."""
IDLE_SECONDS = 60
"""Time after which PostgreSQL ends a transaction without statements, in seconds.

A process that hangs in a transaction would otherwise stop all other processes."""

RETRY_PAUSE_SECONDS = 0.25
VACUUM_SECONDS = 60
"""Time limit for VACUUM after an erasure, in seconds."""

# Keys of advisory locks: "tracker1" and "tracker3" in ASCII.
_WRITERS, _MAINTENANCE = 0x747261636B657231, 0x747261636B657233
# A database may have another default isolation level. At READ COMMITTED, a transaction
# sees the changes that other transactions committed during its wait for a lock.
_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
_LOCK_SHARED = f"SELECT pg_advisory_xact_lock_shared({SCHEMA_KEY})"
# Acquire the lock of the writers first: a second migration then waits for this lock
# without the lock of the schema, which the first migration needs exclusively.
_LOCK = (
    f"SELECT pg_advisory_xact_lock({_WRITERS}),"
    f" pg_advisory_xact_lock_shared({SCHEMA_KEY})"
)
_TRY_MAINTENANCE = f"SELECT pg_try_advisory_lock({_MAINTENANCE})"

LOCK_SECONDS = 20
"""Time limit for the wait for a lock, in seconds."""

_ERASED_TABLES = (
    "jobs, events, customer_values, customer_messages, share_links, api_keys,"
    " customers, audit_log"
)

_SESSION_OPTIONS = (
    f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={LOCK_SECONDS}s"
    f" -c idle_in_transaction_session_timeout={IDLE_SECONDS}s"
)

# The address may override each of these parameters. A dead host never answers:
# keepalives and `tcp_user_timeout` end the connection to a dead host.
_DEFAULTS = {
    "application_name": "trackerapi-backend",
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}

_UNREADABLE = (
    "TRACKERAPI_BACKEND_DATABASE_URL cannot be read: write it as in"
    " postgresql://user:password@host:5432/name, with special characters as %XX"
)

# Without the extra `postgres` the driver is missing.
_NO_DRIVER = (
    "the driver of PostgreSQL is missing: install it with"
    " `pip install 'trackerapi-backend[postgres]'`"
)

# Errors of the server, not of a statement: PostgreSQL reports a damaged page or index
# as an internal error.
_SERVER_ERRORS = (OperationalError, InternalError)

# SQLSTATEs after which the same transaction may succeed: serialization failure,
# deadlock, lock or statement timeout, idle transaction, too many connections, unknown
# plan (DISCARD ALL of a pooler drops the plans).
_TRANSIENT_STATES = frozenset(
    {"40001", "40P01", "55P03", "57014", "25P03", "53300", "26000"}
)
# After a failover, the address may lead to the old server, which is read-only now.
_READ_ONLY = "25006"
_NO_RIGHT = "42501"
# Classes of SQLSTATEs: broken connection, end or start of the server.
_TRANSIENT_CLASSES = ("08", "57P")


class PostgresStore:
    """Store in one PostgreSQL database.

    Args:
        url: Address as libpq reads it, such as `postgresql://user@host/name`. May
            contain a password, so no message repeats the address.
        migrate: Whether to upgrade the schema.
        accept_any: Whether to accept any encoding and schema, for `doctor`.

    Raises:
        StoreError: If the database cannot be used, or its schema is not the schema of
            this release.
    """

    is_shared: ClassVar[bool] = True

    def __init__(
        self, url: str, *, migrate: bool = False, accept_any: bool = False
    ) -> None:
        self._connect = connect = _connector(url, limit_silence=not migrate)
        # A pool would check the connection before each transaction, by another round
        # trip.
        self._writers = _engine(connect, poolclass=NullPool)
        self._idle_writer: Connection | None = None
        self._readers = _engine(
            connect,
            pool_size=READERS,
            max_overflow=0,
            # A restart of the server breaks the pooled connections.
            pool_pre_ping=True,
        ).execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        if accept_any:
            return
        try:
            self._check_encoding()
            self._check_schema(migrate=migrate)
        except BaseException:
            self.close()
            raise

    def _check_encoding(self) -> None:
        encoding = self.read_once(
            lambda db: db.exec_driver_sql("SHOW server_encoding").scalar()
        )
        if encoding != "UTF8":
            raise StoreError(
                f"the database has the encoding {encoding}, which cannot store all"
                " texts: create it again with `createdb --encoding UTF8 --template"
                " template0`"
            )

    def _check_schema(self, *, migrate: bool) -> None:
        revision = self.read_once(current_revision)
        if not needs_upgrade(revision, "the database", may_upgrade=migrate):
            return
        with self.transaction() as db:
            # Building an index of a large table takes longer than any other statement.
            db.exec_driver_sql("SET LOCAL statement_timeout = 0")
            db.exec_driver_sql(LOCK_SCHEMA)
            upgrade_to_head(db)
            add_partitions(db, utc_now())

    def read(self, query: Callable[[Connection], T]) -> T:
        """Return the result of a query on one consistent snapshot.

        Repeats the query for `RETRY_SECONDS` while the server restarts.

        Raises:
            StoreError: If PostgreSQL fails or cannot be reached.
        """
        until = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                return self.read_once(query)
            except StoreError as error:
                if not error.is_transient or time.monotonic() >= until:
                    raise
            time.sleep(RETRY_PAUSE_SECONDS)

    def read_once(self, query: Callable[[Connection], T]) -> T:
        """Return the result of a query, like `read()`, but without retries."""
        with _engine_errors(), self._readers.begin() as db:
            return query(db)

    @contextmanager
    def transaction(self, *, shared: bool = False) -> Iterator[Connection]:
        """Begin a transaction that commits at the end of the block.

        Waits for the transactions of other processes, unless both are shared.

        Raises:
            StoreError: If PostgreSQL fails or cannot be reached, or has rolled the
                transaction back. Nothing is stored, with one exception: a connection
                that broke during COMMIT may have stored the changes. That error is not
                transient.
        """
        with _engine_errors():
            db, self._idle_writer = self._idle_writer or self._writers.connect(), None
            try:
                with db.begin() as transaction:
                    queue(db, _BEGIN)
                    queue(db, _LOCK_SHARED if shared else _LOCK)
                    yield db
                    self._commit(transaction)
            except BaseException:
                # The next transaction connects again: after a failover, the address may
                # lead to another server.
                _disconnect(db)
                raise
            self._idle_writer = db

    def _commit(self, transaction: RootTransaction) -> None:
        # PostgreSQL answers COMMIT in a failed transaction with a rollback, and the
        # driver raises nothing.
        if not self.is_in_transaction(transaction.connection):
            raise StoreError("PostgreSQL has rolled the transaction back")
        with _commit_errors():
            transaction.commit()

    def is_in_transaction(self, db: Connection) -> bool:
        """Return whether the driver reports an open transaction without a failure."""
        from psycopg.pq import TransactionStatus

        send_queued(db)
        status = driver_connection(db).pgconn.transaction_status
        return status == TransactionStatus.INTRANS

    def touch(self, db: Connection) -> None:
        """Write the only row of `alembic_version` again, unchanged."""
        db.execute(text("UPDATE alembic_version SET version_num = version_num"))

    def purge(self, *, whole: bool = False) -> str | None:
        """Run VACUUM, so that new rows may replace the bytes of deleted rows.

        With `whole`, run VACUUM FULL, which writes new files without these bytes.

        Returns:
            Reason why VACUUM has failed, with the fix; None after success.
        """
        import psycopg

        full, seconds = ("FULL, ", 0) if whole else ("", VACUUM_SECONDS)
        try:
            with closing(self._connect()) as db:
                db.autocommit = True
                db.execute(f"SET statement_timeout = '{seconds}s'")
                db.limit_silence()
                db.execute(f"VACUUM ({full}ANALYZE) {_ERASED_TABLES}")
                # ANALYZE has replaced values of erased rows in this table: the old
                # versions of its rows still have these values.
                db.execute(f"VACUUM ({full}ANALYZE) pg_statistic")
        except psycopg.Error as error:
            state = error.sqlstate or "no answer"
            return (
                f"VACUUM has not ended ({state}): run `trackerapi-backend compact`"
                " at a quiet time"
            )
        return None

    def backups(self) -> Sequence[Path]:
        """Return no paths: the tools of PostgreSQL make backups, at unknown paths."""
        return ()

    def shortage(self) -> str | None:
        """Return None: only the server of the database can measure its disk."""
        return None

    def size_bytes(self) -> int:
        """Return the size of the database on the disk of its server, in bytes.

        Raises:
            StoreError: If PostgreSQL fails or cannot be reached.
        """
        query = "SELECT pg_database_size(current_database())"
        return self.read_once(lambda db: int(db.exec_driver_sql(query).scalar_one()))

    def pool_use(self) -> PoolUse:
        """Return the number of reading connections in use, and their maximum."""
        pool = cast("QueuePool", self._readers.pool)
        return PoolUse(pool.checkedout(), READERS)

    def open_channel(
        self, on_changes: Callable[[Collection[Change] | None], None]
    ) -> Channel:
        """Return a channel to the other processes on this database."""
        from trackerapi_backend.store.postgres_channel import PostgresChannel

        return PostgresChannel(self._connect, on_changes)

    def lock_maintenance(self) -> Callable[[], None] | None:
        """Acquire the lock for tasks that only one process may run at a time.

        The lock belongs to a connection of its own, so a crash releases the lock too.

        Returns:
            Function that releases the lock; None if another process has the lock.

        Raises:
            StoreError: If PostgreSQL fails or cannot be reached.
        """
        with _engine_errors():
            db = self._writers.connect().execution_options(isolation_level="AUTOCOMMIT")
            if db.exec_driver_sql(_TRY_MAINTENANCE).scalar():
                return lambda: _disconnect(db)
            db.close()
        return None

    def close(self) -> None:
        """Close all connections that no thread uses."""
        self._readers.dispose()
        if self._idle_writer is not None:
            _disconnect(self._idle_writer)


def read_address(url: str) -> dict[str, Any]:
    """Return the parameters of an address by their names in libpq.

    Raises:
        StoreError: If the address cannot be read, or the driver is missing.
    """
    try:
        import psycopg
    except ImportError:
        raise StoreError(_NO_DRIVER) from None
    try:
        given = psycopg.conninfo.conninfo_to_dict(url)
    except (psycopg.ProgrammingError, UnicodeError):
        # The error of the driver may contain a part of the password.
        raise StoreError(_UNREADABLE) from None
    if url.partition("?")[0].count("@") > 1:
        # libpq would take the end of the password for the host, and print it.
        raise StoreError(_UNREADABLE)
    return dict(given)


def _connector(url: str, *, limit_silence: bool) -> Callable[[], Any]:
    """Return a function that opens a connection.

    Args:
        url: Address as libpq reads it.
        limit_silence: Whether a connection closes itself when an answer is overdue. A
            migration needs a connection without this limit.
    """
    given = read_address(url)
    from trackerapi_backend.store.postgres_connection import LimitedConnection

    options = given.get("options") or os.environ.get("PGOPTIONS", "")
    arguments: dict[str, Any] = {
        **{name: value for name, value in _DEFAULTS.items() if name not in given},
        "client_encoding": "UTF8",
        # PostgreSQL applies the last value of an option: the operator's value.
        "options": f"{_SESSION_OPTIONS} {options}",
    }

    def connect() -> Any:
        connection = LimitedConnection.connect(url, **arguments)
        # A role or database with `synchronous_commit = off` would make the server
        # acknowledge events that a crash loses.
        connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') = 'off'"
        )
        connection.limit_silence(is_limited=limit_silence)
        connection.commit()
        return connection

    return connect


def _engine(connect: Callable[[], Any], **options: Any) -> Engine:
    return create_engine(
        "postgresql+psycopg://",
        creator=connect,
        hide_parameters=True,  # a logged error must not contain the data of a job
        **options,
    )


def _disconnect(db: Connection) -> None:
    # A pool would send ROLLBACK, which a broken connection does not answer.
    db.invalidate()
    db.close()


@contextmanager
def _engine_errors() -> Iterator[None]:
    """Raise StoreError for a failure of PostgreSQL; let other errors through."""
    try:
        yield
    except PoolTimeoutError as error:
        raise StoreError(
            "all connections to PostgreSQL are in use",
            cause="all connections to the database are in use",
            is_transient=True,
        ) from error
    except DBAPIError as error:
        is_failure = isinstance(error, _SERVER_ERRORS) or _state(error) in (
            _READ_ONLY,
            _NO_RIGHT,
        )
        is_transient = _is_transient(_state(error), is_failure=is_failure)
        if not is_failure and not is_transient:
            raise
        raise _store_error(error, is_transient=is_transient) from error


@contextmanager
def _commit_errors() -> Iterator[None]:
    """Raise StoreError for a failure of COMMIT: transient only if nothing is stored."""
    try:
        yield
    except _SERVER_ERRORS as error:
        # A connection that breaks during COMMIT leaves open whether the server has
        # committed. A repeated command could then make a second customer or key.
        is_transient = _state(error) in _TRANSIENT_STATES
        raise _store_error(
            error, is_transient=is_transient, may_be_stored=not is_transient
        ) from error


def _store_error(
    error: DBAPIError, *, is_transient: bool, may_be_stored: bool = False
) -> StoreError:
    state, reason = _state(error), " ".join(str(error.orig).split())
    return StoreError(
        f"PostgreSQL cannot be used ({reason}): {_advice(state)}",
        # The reason may name host and user of the database.
        cause=f"the database failed with SQLSTATE {state}"
        if state
        else "the database cannot be reached",
        is_transient=is_transient,
        may_be_stored=may_be_stored,
    )


def _state(error: DBAPIError) -> str:
    """Return the SQLSTATE of an error; empty for a broken connection."""
    return str(getattr(error.orig, "sqlstate", None) or "")


def _is_transient(state: str, *, is_failure: bool) -> bool:
    if not state:
        return is_failure  # a broken or refused connection
    return (
        state == _READ_ONLY
        or state in _TRANSIENT_STATES
        or state.startswith(_TRANSIENT_CLASSES)
    )


def _advice(state: str) -> str:
    if state.startswith("53"):
        return "give the server more disk, memory or connections"
    if state in {"55P03", "57014", "25P03"}:
        return "another session holds a lock, or a statement took too long"
    if state.startswith("XX"):
        return "see the log of the server; restore a backup if its data is damaged"
    if state == _NO_RIGHT:
        return "give the role of the address all rights on the database"
    if state == _READ_ONLY:
        return "the server is read-only: name the primary server in the address"
    # libpq reports no SQLSTATE for a failed connection, so the advice names all parts.
    return (
        "check that the server runs, and check host, port, database, user and password"
        " in TRACKERAPI_BACKEND_DATABASE_URL"
    )
