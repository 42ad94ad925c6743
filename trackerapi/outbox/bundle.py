"""A bundle: records of an outbox in one file that can be carried elsewhere.

Packed by gzip; each line is a JSON object. The first says what it is and where the
records were to go, then follows one line a record, and the last one counts them, so
that a bundle that was cut off is refused as a whole.
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
from typing import Any, BinaryIO, Final, Self, cast

from trackerapi.errors import UsageError
from trackerapi.outbox.header import Binding
from trackerapi.outbox.held import JournalEntry
from trackerapi.outbox.records import parse_record
from trackerapi.settings.addresses import canonical_address
from trackerapi.times import as_rfc3339
from trackerapi.version import __version__

FORMAT_VERSION: Final = 1
"""Version written; those before it are read, those after it are refused."""

LONGEST_LINE_BYTES: Final = 32 * 1024 * 1024

_MARK: Final = "trackerapi_bundle"
_FILE_MODE: Final = 0o600
_LEVEL: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One record of a bundle.

    Attributes:
        record: The line as an outbox file has it, with its end.
        kept: How the record is held; None for one that waits.
    """

    record: bytes
    kept: JournalEntry | None = None


class BundleWriter:
    """Writes records into a bundle.

    Attributes:
        counts: Records by their state, waiting or held.
        damaged: Records left out, since no other machine could read them either.
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
                "base_url": binding.base_url,
                "key_id": binding.key_id,
                "provider_id": binding.provider_id,
            }
        )

    def add_waiting(self, record: bytes) -> None:
        """Add a record that is still to be delivered."""
        self._add(record, "waiting", {})

    def add_held(self, kept: JournalEntry) -> None:
        """Add a record that the backend refused."""
        members = {"problem": dict(kept.problem), "since": kept.since}
        self._add(kept.record, "held", members)

    def add_known(self, creation: bytes) -> None:
        """Add the creation of a job that the backend has, in case it loses it."""
        self._write({"record": parse_record(creation)})
        self._count += 1

    def finish(self) -> None:
        """Write the last line."""
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
    """Write a bundle that is on the disk when the context ends, or not there at all.

    Raises:
        UsageError: If the file exists, or cannot be written.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    try:
        descriptor = os.open(path, flags, _FILE_MODE)
    except FileExistsError:
        raise UsageError(f"{path} exists already; choose another name") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            with gzip.GzipFile("", "wb", _LEVEL, file) as stream:
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
    """A bundle that was found to be whole.

    Attributes:
        binding: Where its records were to go.
        created_at: When it was written; RFC 3339.
        waiting: Count of records that are to be delivered.
        held: Count of records that the backend refused.
    """

    binding: Binding
    created_at: str
    waiting: int = 0
    held: int = 0
    _file: BinaryIO = field(repr=False, kw_only=True)
    _path: Path = field(repr=False, kw_only=True)

    @classmethod
    def opened(cls, path: Path, file: BinaryIO) -> Self:
        """Read a bundle to its end, and return it if it is whole.

        Raises:
            UsageError: If it is none, is cut off or damaged, or of a later version.
        """
        header = next(_lines(path, file), None) or {}
        version = header.get(_MARK)
        if not isinstance(version, int) or not isinstance(header.get("base_url"), str):
            raise _no_bundle(path)
        if version > FORMAT_VERSION:
            raise UsageError(
                f"{path} is a bundle of format {version}, and this version of "
                f"trackerapi reads {FORMAT_VERSION}; update trackerapi"
            )
        binding = Binding(
            base_url=canonical_address(header["base_url"]),
            key_id=header.get("key_id"),
            provider_id=header.get("provider_id"),
        )
        created_at = str(header.get("created_at", ""))
        bundle = cls(binding, created_at, _file=file, _path=path)
        for entry in bundle.entries():
            is_held = entry.kept is not None
            bundle.held += is_held
            bundle.waiting += not is_held
        return bundle

    def entries(self) -> Iterator[Entry]:
        """Iterate over the records, from the first on.

        Raises:
            UsageError: If it is cut off or damaged.
        """
        lines = _lines(self._path, self._file)
        next(lines)
        for count, members in enumerate(lines):
            if members.get("end") is True:
                if members.get("records") != count or next(lines, None) is not None:
                    raise _damaged(self._path)
                return
            yield _entry(self._path, members)
        raise _cut_off(self._path)


def _entry(path: Path, members: Mapping[str, Any]) -> Entry:
    record = members.get("record")
    if not isinstance(record, dict):
        raise _damaged(path)
    line = json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"
    if members.get("state") != "held":
        return Entry(record=line)
    problem = members.get("problem")
    since = str(members.get("since", ""))
    problem = cast("dict[str, Any]", problem) if isinstance(problem, dict) else {}
    return Entry(
        record=line, kept=JournalEntry(record=line, problem=problem, since=since)
    )


def _lines(path: Path, file: BinaryIO) -> Iterator[dict[str, Any]]:
    """Iterate over the lines of a bundle, from the first on."""
    file.seek(0)
    is_first = True
    try:
        with gzip.GzipFile(fileobj=file, mode="rb") as stream:
            while line := stream.readline(LONGEST_LINE_BYTES):
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
    return UsageError(f"{path} is no bundle of trackerapi")


def _cut_off(path: Path) -> UsageError:
    return UsageError(f"{path} is cut off; copy it again. Nothing was imported")


def _damaged(path: Path) -> UsageError:
    return UsageError(f"{path} is damaged; copy it again. Nothing was imported")
