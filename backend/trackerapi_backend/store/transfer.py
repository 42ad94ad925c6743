"""Transfer of all rows from one database to another, also between two engines.

A row is a list of values in the order of the columns. Values are copied as stored:
instants stay microseconds, and JSON stays text. Tables come in the order of their
foreign keys, and rows in the order of their keys, which is the same on every engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    LargeBinary,
    TableClause,
    TypeDecorator,
    collate,
    column,
    func,
    insert,
    select,
    table,
    text,
    tuple_,
)
from sqlalchemy.exc import OperationalError, StatementError
from sqlalchemy.types import String

from trackerapi_backend.store import StoreError
from trackerapi_backend.store.erasure import visible_counts
from trackerapi_backend.store.schema import metadata, peppers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Select, Table
    from sqlalchemy.types import TypeEngine

    from trackerapi_backend.store import Store

Values = list[Any]
"""Row as stored values, in the order of the columns."""

MAX_ROWS = 1000
"""Maximum number of rows of a batch, which one transaction imports."""
MAX_WIDE_ROWS = 20
"""Maximum number of rows that one query reads from a table with large values."""

_WIDE_TABLES = frozenset({"job_configurations", "jobs"})
_POSTGRES = "postgresql"

# Errors of the values of a row: broken rules of the schema, and values that the driver
# cannot send, such as integers of more than 64 bits.
_REJECTIONS = (StatementError, OverflowError, UnicodeError)


@dataclass(frozen=True, slots=True)
class TransferTable:
    """Table whose columns have the types of the engine, without conversions.

    Attributes:
        name: Name of the table.
        columns: Names of all columns.
        key: Names of the columns of the primary key.
        binary: Positions of the columns with binary values.
    """

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    binary: tuple[int, ...]
    _stored: TableClause

    @classmethod
    def of(cls, schema: Table) -> TransferTable:
        """Return the transfer table of a table of the schema."""
        columns = [column(each.name, _engine_type(each.type)) for each in schema.c]
        # Names of SQLAlchemy are a subclass of str, which JSON encoders may reject.
        return cls(
            str(schema.name),
            tuple(str(each.name) for each in schema.c),
            tuple(str(each.name) for each in schema.primary_key),
            tuple(
                index
                for index, each in enumerate(columns)
                if isinstance(each.type, LargeBinary)
            ),
            table(schema.name, *columns),
        )

    def count(self, db: Connection) -> int:
        """Return the number of rows."""
        query = select(func.count()).select_from(self._stored)
        return int(db.execute(query).scalar_one())

    def read_pages(self, db: Connection) -> Iterator[list[Values]]:
        """Yield all rows in the order of their keys, at most `MAX_ROWS` at a time."""
        limit = MAX_WIDE_ROWS if self.name in _WIDE_TABLES else MAX_ROWS
        # Pages by key instead of a cursor: PostgreSQL limits the time of a statement.
        query = self._in_order(db).limit(limit)
        page = self._fetch(db, query)
        while page:
            yield page
            after = self._condition_after(db, self._key_values(page[-1]))
            page = self._fetch(db, query.where(*after))

    def find_range(self, db: Connection, rows: Sequence[Values]) -> list[Values]:
        """Return the stored rows from the key of the first to the key of the last row.

        The result has at most as many rows as `rows`.
        """
        first, last = self._key_values(rows[0]), self._key_values(rows[-1])
        keys, leading = tuple_(*self._ordered_key(db)), self._stored.c[self.key[0]]
        # The conditions on the first column let PostgreSQL use the index of the key,
        # although the condition on the whole key may have another collation.
        conditions = (leading >= first[0], keys >= first, leading <= last[0])
        query = self._in_order(db).where(*conditions, keys <= last)
        return self._fetch(db, query.limit(len(rows)))

    def insert(self, db: Connection, rows: Sequence[Values]) -> None:
        """Store rows."""
        values = [dict(zip(self.columns, row, strict=True)) for row in rows]
        db.execute(insert(self._stored), values)

    def continue_sequence(self, db: Connection) -> None:
        """Let PostgreSQL assign ids after the largest id; do nothing on SQLite."""
        if self.key != ("id",) or db.dialect.name != _POSTGRES:
            return
        # For a table without a sequence or without rows, `setval` does nothing.
        sequence = func.pg_get_serial_sequence(self.name, "id")
        newest = func.max(self._stored.c.id)
        db.execute(select(func.setval(sequence, newest)).select_from(self._stored))

    def name_row(self, row: Values) -> str:
        """Return table and key of a row for a message."""
        values = (
            value.hex() if isinstance(value, bytes) else value
            for value in self._key_values(row)
        )
        key = ", ".join(map("{} {}".format, self.key, values))
        return f"{self.name} ({key})"

    def _in_order(self, db: Connection) -> Select[Any]:
        return select(self._stored).order_by(*self._ordered_key(db))

    def _ordered_key(self, db: Connection) -> list[ColumnElement[Any]]:
        """Return the columns of the key, with texts in the order of their bytes."""
        columns: list[ColumnElement[Any]] = [self._stored.c[name] for name in self.key]
        if db.dialect.name != _POSTGRES:
            return columns
        return [
            collate(each, "C") if isinstance(each.type, String) else each
            for each in columns
        ]

    def _condition_after(
        self, db: Connection, key: Sequence[Any]
    ) -> tuple[ColumnElement[bool], ...]:
        return (
            self._stored.c[self.key[0]] >= key[0],
            tuple_(*self._ordered_key(db)) > tuple(key),
        )

    def _key_values(self, row: Values) -> tuple[Any, ...]:
        values = dict(zip(self.columns, row, strict=True))
        return tuple(values[name] for name in self.key)

    def _fetch(self, db: Connection, query: Select[Any]) -> list[Values]:
        return [list(row) for row in db.execute(query)]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one table, at least one and at most `MAX_ROWS`, in the order of keys."""

    table: TransferTable
    rows: list[Values]


def _engine_type(of_schema: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type that the engine stores, without the conversion of the schema."""
    if isinstance(of_schema, TypeDecorator):
        return of_schema.impl_instance
    return of_schema


TABLES = tuple(
    TransferTable.of(each) for each in metadata.sorted_tables if each is not peppers
)
"""All tables with data; a foreign key names only earlier tables.

The fingerprints of peppers are not in these tables: each database records its own, and
the header of an export contains them.
"""


def count_rows(db: Connection) -> dict[str, int]:
    """Return the number of rows of each table."""
    if db.dialect.name == _POSTGRES:
        # Counting a large table takes longer than any other statement.
        db.execute(text("SET LOCAL statement_timeout = 0"))
    return {each.name: each.count(db) for each in TABLES}


def import_batches(store: Store, batches: Iterable[Batch]) -> None:
    """Store rows, one transaction for each batch; skip rows that are stored already.

    The rows of an interrupted import are the first rows of `batches`. So this function
    compares the stored rows with the first rows. It stores the first new row only after
    all stored rows have been found in `batches`.

    Args:
        store: Store that no other process changes.
        batches: All rows of a database, in the order of `TABLES` and of the keys.

    Raises:
        StoreError: If the store has other rows, or rejects a row. Earlier batches stay
            stored.
    """
    unmatched = store.read(count_rows)
    for batch in batches:
        stored = _match(store, batch) if unmatched[batch.table.name] else 0
        unmatched[batch.table.name] -= stored
        if missing := batch.rows[stored:]:
            _require_all_matched(unmatched)
            _insert(store, batch.table, missing)
    _require_all_matched(unmatched)


def finish_import(store: Store, expected: Mapping[str, int]) -> dict[str, int]:
    """Check the number of rows of each table, and prepare the ids of new rows.

    Args:
        store: Store with all imported rows.
        expected: Number of rows of each table, with hidden rows.

    Returns:
        Number of rows of each table, without the hidden provider of erasures.

    Raises:
        StoreError: If a table does not have the expected number of rows.
    """
    with store.transaction() as db:
        for each in TABLES:
            each.continue_sequence(db)
        if db.dialect.name == "postgresql":
            # Without statistics, PostgreSQL sorts all jobs to list the newest ones. It
            # computes them by itself only minutes later.
            db.exec_driver_sql("ANALYZE")
    stored = store.read(count_rows)
    for name, count in stored.items():
        if count != expected[name]:
            raise StoreError(
                f"the database has {count} rows of {name}, the file {expected[name]}:"
                " stop all other processes, and import into a new database"
            )
    return store.read(partial(visible_counts, counts=stored))


def _match(store: Store, batch: Batch) -> int:
    """Return the number of rows at the start of a batch that are stored already.

    Raises:
        StoreError: If a stored row in the range of the batch is not in the batch.
    """
    stored = store.read(partial(batch.table.find_range, rows=batch.rows))
    for given, found in zip(batch.rows, stored, strict=False):
        if given != found:
            raise StoreError(
                f"{batch.table.name_row(found)} of the database is not in the file, or"
                " has other values there: import into a new database"
            )
    return len(stored)


def _require_all_matched(unmatched: Mapping[str, int]) -> None:
    for name, count in unmatched.items():
        if count:
            raise StoreError(
                f"the database has {count} rows of {name} that are not in the file:"
                " import into a new database"
            )


def _insert(store: Store, into: TransferTable, rows: Sequence[Values]) -> None:
    try:
        with store.transaction() as db:
            into.insert(db, rows)
    except _REJECTIONS:
        # The error of a batch does not name the row, so the rows are stored singly.
        with store.transaction() as db:
            for row in rows:
                _insert_one(db, into, row)


def _insert_one(db: Connection, into: TransferTable, row: Values) -> None:
    try:
        into.insert(db, [row])
    except _REJECTIONS as error:
        if isinstance(error, OperationalError):
            raise
        # The first line names the violated rule. Later lines may have values.
        reason = str(getattr(error, "orig", error)).partition("\n")[0]
        raise StoreError(
            f"{into.name_row(row)} of the file is rejected by the database ({reason}):"
            " import into a new database that no other process uses, or export again"
        ) from error
