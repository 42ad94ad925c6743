"""Bundle: one file with records of an outbox, to be copied to another machine.

A bundle is compressed with gzip, and each line is a JSON object. The first line has the
format version and the destination. One line for each record follows. The last line has
the number of records: a bundle that was cut off lacks this line and is refused as a
whole.
"""

import gzip
import json
import os
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

from trackerapi.errors import UsageError
from trackerapi.outbox.disk import FILE_MODE
from trackerapi.outbox.header import Binding
from trackerapi.outbox.held import JournalEntry
from trackerapi.outbox.records import members_in, parse_record
from trackerapi.times import as_rfc3339
from trackerapi.version import __version__

FORMAT_VERSION: Final = 1
"""Format version of new bundles. Older bundles are read too; newer bundles are
refused."""

MAX_LINE_BYTES: Final = 32 * 1024 * 1024

_MARK: Final = "trackerapi_bundle"
_COMPRESSION_LEVEL: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledRecord:
    """One record of a bundle.

    Attributes:
        line: Line of an outbox file, with its end.
        held: Entry for the journal if the record is held; otherwise None.
    """

    line: bytes
    held: JournalEntry | None = None


class BundleWriter:
    """Writer of a bundle.

    Args:
        stream: Compressed stream of the bundle.
        binding: Destination of the records.

    Attributes:
        counts: Number of records by their state, waiting or held.
        damaged: Number of damaged records, which the bundle does not contain.
    """

    def __init__(self, stream: gzip.GzipFile, binding: Binding) -> None:
        self._stream = stream
        self.counts = {"waiting": 0, "held": 0}
        self.damaged = 0
        self._count = 0
        self._write(
            {
                _MARK: FORMAT_VERSION,
                "written_by": f"trackerapi/{__version__}",
                "created_at": as_rfc3339(datetime.now(UTC)),
                **binding.as_members(),
            }
        )

    def add_undelivered(self, record: bytes) -> None:
        """Add an undelivered record."""
        self._add(record, "waiting", {})

    def add_held(self, entry: JournalEntry) -> None:
        """Add a held record, with the reason."""
        members = {"problem": dict(entry.problem), "since": entry.since}
        self._add(entry.record, "held", members)

    def add_known(self, creation: bytes) -> None:
        """Add the creation of a job that the backend knows.

        With the creation, delivery can create the job again if the backend loses it.
        """
        self._write({"record": parse_record(creation)})
        self._count += 1

    def finish(self) -> None:
        """Write the last line, with the number of records."""
        self._write({"end": True, "records": self._count})

    def _add(self, record: bytes, state: str, more: Mapping[str, Any]) -> None:
        members = parse_record(record)
        if not members:
            self.damaged += 1
            return
        self._write({"state": state, **more, "record": members})
        self.counts[state] += 1
        self._count += 1

    def _write(self, members: Mapping[str, Any]) -> None:
        text = json.dumps(members, separators=(",", ":"))
        self._stream.write(text.encode("ascii") + b"\n")


@contextmanager
def new_bundle(path: Path, binding: Binding) -> Generator[BundleWriter]:
    """Make a bundle file; the `with` block adds its records.

    The file is synced to the disk at the end of the block. The file is deleted if the
    block raises.

    Raises:
        UsageError: If the file exists, or cannot be written.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    try:
        descriptor = os.open(path, flags, FILE_MODE)
    except FileExistsError:
        raise UsageError(f"{path} exists already; choose another name") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            with gzip.GzipFile("", "wb", _COMPRESSION_LEVEL, file) as stream:
                writer = BundleWriter(stream, binding)
                yield writer
                writer.finish()
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@dataclass(slots=True)
class Bundle:
    """Complete bundle, open for reading.

    Attributes:
        binding: Destination of the records.
        created_at: Time at which the bundle was written; RFC 3339.
        undelivered: Number of undelivered records.
        held: Number of held records.
    """

    binding: Binding
    created_at: str
    undelivered: int = 0
    held: int = 0
    _file: BinaryIO = field(repr=False, kw_only=True)
    _path: Path = field(repr=False, kw_only=True)

    @classmethod
    def read(cls, path: Path, file: BinaryIO) -> Self:
        """Return the bundle in a file, after a check of all its lines.

        Raises:
            UsageError: If the file is not a bundle, is cut off or damaged, or has a
                newer format.
        """
        header = next(_lines(path, file), None) or {}
        version = header.get(_MARK)
        if not isinstance(version, int):
            raise _no_bundle(path)
        if version > FORMAT_VERSION:
            raise UsageError(
                f"{path} is a bundle of format {version}, and this version of "
                f"trackerapi reads {FORMAT_VERSION}; update trackerapi"
            )
        try:
            binding = Binding.parse(header)
        except ValueError:
            raise _no_bundle(path) from None
        created_at = str(header.get("created_at", ""))
        bundle = cls(binding, created_at, _file=file, _path=path)
        for record in bundle.records():
            is_held = record.held is not None
            bundle.held += is_held
            bundle.undelivered += not is_held
        return bundle

    def records(self) -> Iterator[BundledRecord]:
        """Iterate over the records, from the start of the bundle.

        Raises:
            UsageError: If the bundle is cut off or damaged.
        """
        lines = _lines(self._path, self._file)
        next(lines)
        for count, members in enumerate(lines):
            if members.get("end") is True:
                if members.get("records") != count or next(lines, None) is not None:
                    raise _damaged(self._path)
                return
            yield _record(self._path, members)
        raise _cut_off(self._path)


def _record(path: Path, members: Mapping[str, Any]) -> BundledRecord:
    record = members_in(members.get("record"))
    if not record:
        raise _damaged(path)
    line = json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"
    if members.get("state") != "held":
        return BundledRecord(line=line)
    held = JournalEntry(
        record=line,
        problem=members_in(members.get("problem")),
        since=str(members.get("since", "")),
    )
    return BundledRecord(line=line, held=held)


def _lines(path: Path, file: BinaryIO) -> Iterator[dict[str, Any]]:
    """Iterate over the parsed lines, from the start of the bundle."""
    file.seek(0)
    is_first = True
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            while line := stream.readline(MAX_LINE_BYTES):
                members = parse_record(line)
                if not members and is_first:
                    raise _no_bundle(path)
                if not members:
                    raise _damaged(path)
                is_first = False
                yield members
    except EOFError:
        raise _cut_off(path) from None
    except (gzip.BadGzipFile, zlib.error):
        raise (_no_bundle(path) if is_first else _damaged(path)) from None


def _no_bundle(path: Path) -> UsageError:
    return UsageError(f"{path} is not a trackerapi bundle")


def _cut_off(path: Path) -> UsageError:
    return UsageError(f"{path} is cut off; copy it again. Nothing was imported")


def _damaged(path: Path) -> UsageError:
    return UsageError(f"{path} is damaged; copy it again. Nothing was imported")
