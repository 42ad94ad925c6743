"""Files of `export`: all rows of a database as gzip-compressed JSON Lines.

The first line is a header. Each table has a line with its name and columns, then one
line for each row: a list of its values, with binary values as hexadecimal text. The
last line has the number of rows of each table: a file without this line is incomplete.
"""

from __future__ import annotations

import gzip
import json
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from trackerapi_backend.files import open_regular_file
from trackerapi_backend.store import StoreError, transfer
from trackerapi_backend.store.erasure import visible_counts
from trackerapi_backend.store.migrations import HEAD, is_newer, newer_release_error
from trackerapi_backend.store.new_file import new_private_file
from trackerapi_backend.store.peppers import find_peppers
from trackerapi_backend.store.schema import compact_json
from trackerapi_backend.store.transfer import TABLES, Batch, TransferTable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from trackerapi_backend.store import Reader

FORMAT = "trackerapi-backend export"
FORMAT_VERSION = 1
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Total size of the lines of a batch at which the batch ends, in bytes."""

_COMPRESSION = 6


def write_export(path: Path, store: Reader) -> dict[str, int]:
    """Write all rows of a store to a new file; return the number of rows by table.

    The file gets its name when it is complete and on the disk. Only its owner may read
    the file. A killed process leaves a file with the suffix `.new`, which the next
    export to the same name replaces.

    Args:
        path: New file.
        store: Store to read from, on one snapshot.

    Returns:
        Number of rows of each table, without the hidden provider of erasures.

    Raises:
        StoreError: If the file exists or cannot be written, or the engine fails.
    """
    try:
        with new_private_file(path) as file:
            return store.read(lambda db: visible_counts(db, _write(db, file)))
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror or error}): name another file"
        ) from None


def _write(db: Connection, file: IO[bytes]) -> dict[str, int]:
    # The store repeats a read after a transient failure: then the file begins anew.
    file.seek(0)
    file.truncate()
    header = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "schema": HEAD,
        "peppers": sorted(find_peppers(db)),
    }
    counts: dict[str, int] = {}
    with gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) as lines:
        lines.write(_line(header))
        for table in TABLES:
            counts[table.name] = 0
            lines.write(_line(_table_header(table)))
            for page in table.read_pages(db):
                lines.write(b"".join(_row_line(table, row) for row in page))
                counts[table.name] += len(page)
        lines.write(_line({"counts": counts}))
    return counts


def _table_header(table: TransferTable) -> dict[str, Any]:
    return {"table": table.name, "columns": list(table.columns)}


def _row_line(table: TransferTable, row: transfer.Values) -> bytes:
    values = list(row)
    for index in table.binary:
        if values[index] is not None:
            values[index] = values[index].hex()
    return _line(values)


def _line(value: object) -> bytes:
    return f"{compact_json(value)}\n".encode()


class ExportFile:
    """Complete file of an export.

    Args:
        file: File at any position, open for reading.
        name: Name of the file for messages.

    Attributes:
        name: Name of the file for messages.
        peppers: Texts that identify the peppers of the API keys; none if the exported
            database had no pepper yet.
        counts: Number of rows of each table.

    Raises:
        StoreError: If the file is damaged, incomplete, longer than one export, not an
            export or from another release.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file, self.name = file, name
        header = self._parse(next(self._lines(), b""))
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise self._damage()
        self._check_release(header)
        peppers = header.get("peppers")
        if not isinstance(peppers, list):
            raise self._damage()
        if not all(isinstance(each, str) for each in peppers):
            raise self._damage()
        self.peppers = frozenset[str](peppers)
        self.counts = {table.name: 0 for table in TABLES}
        # Read the whole file before the first row is stored: gzip detects damage only
        # at the end, and only the last line shows that no row is missing.
        for batch in self.batches():
            self.counts[batch.table.name] += len(batch.rows)

    def batches(self) -> Iterator[Batch]:
        """Yield all rows in batches of at most `MAX_ROWS`.

        Raises:
            StoreError: If the file is damaged.
        """
        lines = self._lines()
        next(lines, None)  # the header
        counts: dict[str, int] = {}
        following = self._parse(next(lines, b""))
        for table in TABLES:
            if following != _table_header(table):
                raise self._damage()
            counts[table.name] = 0
            following = yield from self._batches_of(table, lines, counts)
        if following != {"counts": counts} or next(lines, None) is not None:
            raise self._damage()

    def _batches_of(
        self, table: TransferTable, lines: Iterator[bytes], counts: dict[str, int]
    ) -> Generator[Batch, None, Any]:
        """Yield the rows of a table; count them; return the line after the last row."""
        following: Any = None
        rows: list[transfer.Values] = []
        size_bytes = 0
        for line in lines:
            following = self._parse(line)
            if not isinstance(following, list):
                break
            rows.append(self._stored_row(table, following))
            size_bytes += len(line)
            if len(rows) >= transfer.MAX_ROWS or size_bytes >= MAX_BATCH_BYTES:
                counts[table.name] += len(rows)
                yield Batch(table, rows)
                rows, size_bytes = [], 0
        if rows:
            counts[table.name] += len(rows)
            yield Batch(table, rows)
        return following

    def _lines(self) -> Iterator[bytes]:
        """Yield all lines from the beginning of the file."""
        try:
            self._file.seek(0)
            with gzip.GzipFile("", "rb", fileobj=self._file) as lines:
                yield from lines
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise self._damage() from None
        except OSError as error:
            raise StoreError(
                f"{self.name} cannot be read ({error.strerror or error}): check its"
                " disk, or export again"
            ) from None

    def _parse(self, line: bytes) -> Any:
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            raise self._damage() from None

    def _check_release(self, header: dict[str, Any]) -> None:
        version, schema = header.get("version"), f"{header.get('schema')}"
        if version != FORMAT_VERSION:
            raise newer_release_error(self.name, f"format {version}")
        if is_newer(schema):
            raise newer_release_error(self.name, f"schema {schema}")
        if schema != HEAD:
            raise StoreError(
                f"{self.name} has schema {schema}, this release needs {HEAD}: run"
                " `trackerapi-backend migrate` on the exported database with this"
                " release, then export again"
            )

    def _stored_row(self, table: TransferTable, values: list[Any]) -> transfer.Values:
        """Return a row of the file with bytes in place of hexadecimal text."""
        if len(values) != len(table.columns):
            raise self._damage()
        try:
            for index in table.binary:
                if values[index] is not None:
                    values[index] = bytes.fromhex(values[index])
        except (TypeError, ValueError):
            raise self._damage() from None
        return values

    def _damage(self) -> StoreError:
        return StoreError(
            f"{self.name} is damaged, incomplete or not an export: copy it again, or"
            " export again"
        )


@contextmanager
def open_export(path: Path) -> Iterator[ExportFile]:
    """Open a file of an export and check that it is complete.

    Raises:
        StoreError: If the file cannot be read, or for the reasons in `ExportFile`.
    """
    try:
        file = open_regular_file(path)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read ({error.strerror or error}): name a file that"
            " `trackerapi-backend export` has written"
        ) from None
    with file:
        yield ExportFile(file, f"{path}")
