"""Files of `export`: all rows of a database as gzip-compressed JSON Lines.

The first line is a header. Each table has a line with its name and columns, then one
line for each row. The last line has the number of rows of each table, so a file without
this line is incomplete.
"""

from __future__ import annotations

import gzip
import json
import os
import stat
import tempfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from trackerapi_backend.store import StoreError, transfer
from trackerapi_backend.store.migrations import HEAD
from trackerapi_backend.store.schema import compact_json
from trackerapi_backend.store.transfer import TABLES, Batch, TransferTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from trackerapi_backend.store import Store

FORMAT = "trackerapi-backend export"
FORMAT_VERSION = 1
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Size of its lines at which a batch ends, in bytes."""

_COMPRESSION = 6


def write_export(path: Path, store: Store, pepper_fingerprint: str) -> dict[str, int]:
    """Write all rows of a store to a new file; return the number of rows by table.

    The file gets its name when it is complete and on the disk. Only its owner may read
    the file.

    Args:
        path: New file.
        store: Store to read from, on one snapshot.
        pepper_fingerprint: Text that identifies the pepper of the API keys.

    Raises:
        StoreError: If the file exists or cannot be written, or the engine fails.
    """
    header = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "schema": HEAD,
        "pepper": pepper_fingerprint,
    }
    try:
        with _new_file(path) as file:
            return store.read(lambda db: _write(db, file, header))
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror or error}): name another file"
        ) from None


@contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    """Create a file under a temporary name; name it `path` at the end of the block."""
    _require_missing(path)
    descriptor, name = tempfile.mkstemp(
        prefix=f"{path.name[:100]}.", suffix=".new", dir=path.parent
    )
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # Another process may have created the file during the export.
        _require_missing(path)
        fresh.rename(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    # Without a sync of the folder, a crash of the machine could lose the new name.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _require_missing(path: Path) -> None:
    if os.path.lexists(path):
        raise StoreError(f"{path} exists: name a new file")


def _write(db: Connection, file: IO[bytes], header: dict[str, Any]) -> dict[str, int]:
    # The store repeats a read after a transient failure: then the file begins anew.
    file.seek(0)
    file.truncate()
    counts: dict[str, int] = {}
    with gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) as lines:
        lines.write(_line(header))
        for table in TABLES:
            counts[table.name] = 0
            lines.write(_line({"table": table.name, "columns": table.columns}))
            for page in table.read_pages(db):
                lines.write(b"".join(map(_line, page)))
                counts[table.name] += len(page)
        lines.write(_line({"counts": counts}))
    return counts


def _line(value: object) -> bytes:
    return f"{compact_json(value)}\n".encode()


class ExportFile:
    """Complete file of an export.

    Args:
        file: File at any position, open for reading.
        name: Name of the file for messages.

    Attributes:
        pepper_fingerprint: Text that identifies the pepper of the API keys.
        counts: Number of rows of each table.

    Raises:
        StoreError: If the file is damaged, incomplete, not an export or from another
            release.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file, self._name = file, name
        first = last = b""
        # Read the whole file: gzip detects damage only at the end, and no damaged row
        # may be stored.
        for line in self._lines():
            first, last = first or line, line
        header = self._parse(first)
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise self._damage()
        self._check_release(header)
        self.pepper_fingerprint = str(header.get("pepper"))
        self.counts = self._counts_of(self._parse(last))

    def batches(self) -> Iterator[Batch]:
        """Yield all rows in batches of at most `MAX_ROWS`.

        Raises:
            StoreError: If the file is damaged.
        """
        table: TransferTable | None = None
        rows: list[transfer.Values] = []
        size_bytes = 0
        following = iter(TABLES)
        for line in self._lines():
            value = self._parse(line)
            if isinstance(value, list):
                rows.append(self._check_row(table, value))
                size_bytes += len(line)
            is_full = len(rows) >= transfer.MAX_ROWS or size_bytes >= MAX_BATCH_BYTES
            if table is not None and rows and (is_full or isinstance(value, dict)):
                yield Batch(table, rows)
                rows, size_bytes = [], 0
            if isinstance(value, dict) and "table" in value:
                table = self._next_table(following, value)

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
                f"{self._name} cannot be read ({error.strerror or error})"
            ) from None

    def _parse(self, line: bytes) -> Any:
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            raise self._damage() from None

    def _check_release(self, header: dict[str, Any]) -> None:
        version, schema = header.get("version"), header.get("schema")
        if version != FORMAT_VERSION:
            raise StoreError(
                f"{self._name} has format {version}, this release reads"
                f" {FORMAT_VERSION}: import it with the release that made it"
            )
        if schema != HEAD:
            raise StoreError(
                f"{self._name} has schema {schema}, this release needs {HEAD}: run"
                " `trackerapi-backend migrate` on the exported database with this"
                " release, then export again"
            )

    def _counts_of(self, last: Any) -> dict[str, int]:
        counts = last.get("counts") if isinstance(last, dict) else None
        if not isinstance(counts, dict) or set(counts) != {t.name for t in TABLES}:
            raise self._damage()
        return counts

    def _next_table(
        self, following: Iterator[TransferTable], value: dict[str, Any]
    ) -> TransferTable:
        table = next(following, None)
        if table is None or value != {
            "table": table.name,
            "columns": list(table.columns),
        }:
            raise self._damage()
        return table

    def _check_row(
        self, table: TransferTable | None, row: list[Any]
    ) -> transfer.Values:
        if table is None:
            raise self._damage()
        try:
            return table.check_row(row)
        except ValueError:
            raise self._damage() from None

    def _damage(self) -> StoreError:
        return StoreError(
            f"{self._name} is damaged, incomplete or not an export: copy it again, or"
            " export again"
        )


@contextmanager
def open_export(path: Path) -> Iterator[ExportFile]:
    """Open a file of an export and check that it is complete.

    Raises:
        StoreError: If the file cannot be read, or see `ExportFile`.
    """
    try:
        # Without O_NONBLOCK, opening a pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read ({error.strerror or error}): name a file that"
            " `trackerapi-backend export` has written"
        ) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise StoreError(f"{path} is not a regular file: name another file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield ExportFile(file, str(path))
    finally:
        os.close(descriptor)
