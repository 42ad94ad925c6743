"""Files of `backup`: database, pepper and manifest in one tar archive.

The last member, `SHA256SUMS`, contains the SHA-256 of each other member. `BackupFile`
detects a damaged or truncated archive by these sums. `sha256sum --check SHA256SUMS`
works after `tar --extract`.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

from trackerapi_backend.files import open_regular_file
from trackerapi_backend.instants import format_instant, parse_instant
from trackerapi_backend.store import StoreError
from trackerapi_backend.store.migrations import is_newer, newer_release_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMAT = "trackerapi-backend backup"
FORMAT_VERSION = 1

_MANIFEST = "manifest.json"
_DATABASE = "backend.db"
_PEPPER = "pepper"
_SUMS = "SHA256SUMS"
_MAX_TEXT_BYTES = 1024 * 1024
"""Maximum size of a member other than the database, in bytes."""
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Description of a backup.

    Attributes:
        release: Version of the release that wrote the backup.
        schema: Revision of the database's schema.
        created_at: Time right before the copy of the database began.
        peppers: Fingerprints of the peppers that the database accepts, sorted.
        counts: Number of rows of each table.
    """

    release: str
    schema: str
    created_at: datetime
    peppers: list[str]
    counts: dict[str, int]


class _HashingFile:
    """File that computes the SHA-256 of the bytes read from it.

    Args:
        file: Open file.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.sha256 = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Return at most `size` bytes; all bytes for -1."""
        chunk = self._file.read(size)
        self.sha256.update(chunk)
        return chunk


def write_archive(
    file: IO[bytes], manifest: Manifest, database: Path, pepper: bytes | None
) -> None:
    """Write a backup to an empty file.

    Args:
        file: Empty file, open for writing.
        manifest: Description of the backup.
        database: Path of a copy of the database.
        pepper: Content of the pepper file; None for a database without keys.

    Raises:
        OSError: If a file cannot be read or written.
    """
    members: dict[str, bytes] = {
        _MANIFEST: json.dumps(
            {
                "format": FORMAT,
                "version": FORMAT_VERSION,
                **asdict(manifest),
                "created_at": format_instant(manifest.created_at),
            },
            indent=2,
        ).encode()
        + b"\n"
    }
    if pepper is not None:
        members[_PEPPER] = pepper
    sums = {}
    with tarfile.open(fileobj=file, mode="w") as archive:

        def add(name: str, content: IO[bytes], size_bytes: int) -> None:
            member = tarfile.TarInfo(name)
            member.size, member.mode = size_bytes, 0o600
            member.mtime = int(manifest.created_at.timestamp())
            hashing = _HashingFile(content)
            archive.addfile(member, hashing)
            sums[name] = hashing.sha256.hexdigest()

        for name, content in members.items():
            add(name, io.BytesIO(content), len(content))
        with database.open("rb") as copy:
            add(_DATABASE, copy, database.stat().st_size)
        lines = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
        add(_SUMS, io.BytesIO(lines.encode()), len(lines))


class BackupFile:
    """Archive of a backup, open for reading.

    Args:
        file: Open file at its beginning.
        name: Name of the file, for messages.

    Attributes:
        name: Name of the file, for messages.
        manifest: Description of the backup.

    Raises:
        StoreError: If the file is not a complete backup, or a newer release wrote the
            file.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.name = name
        with self._damages():
            self._archive = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 -- the caller closes the file
            self._members = {each.name: each for each in self._archive.getmembers()}
            self._sums = {
                line[66:]: line[:64] for line in self._text(_SUMS).decode().splitlines()
            }
            self.manifest = self._read_manifest(json.loads(self._checked(_MANIFEST)))

    def _read_manifest(self, found: dict[str, Any]) -> Manifest:
        if found.pop("format") != FORMAT:
            raise self._damage()
        if (version := found.pop("version")) != FORMAT_VERSION:
            raise newer_release_error(self.name, f"format {version}")
        found["created_at"] = parse_instant(found["created_at"])
        manifest = Manifest(**found)
        if is_newer(manifest.schema):
            raise newer_release_error(self.name, f"schema {manifest.schema}")
        return manifest

    def read_pepper(self) -> bytes | None:
        """Return the content of the pepper file; None for a database without keys.

        Raises:
            StoreError: If the backup is damaged.
        """
        with self._damages():
            return self._checked(_PEPPER) if _PEPPER in self._sums else None

    def extract_database(self, target: IO[bytes]) -> None:
        """Write the database of the backup to an empty file.

        Raises:
            StoreError: If the backup is damaged. `target` may then have any content.
            OSError: If `target` cannot be written.
        """
        with self._damages():
            source = self._open(_DATABASE)
            chunk = source.read(_CHUNK_BYTES)
        while chunk:
            target.write(chunk)
            with self._damages():
                chunk = source.read(_CHUNK_BYTES)
        self._check_sum(_DATABASE, source)

    def _checked(self, name: str) -> bytes:
        source = self._open(name)
        content = source.read(_MAX_TEXT_BYTES)
        self._check_sum(name, source)
        return content

    def _text(self, name: str) -> bytes:
        return self._open(name).read(_MAX_TEXT_BYTES)

    def _open(self, name: str) -> _HashingFile:
        file = self._archive.extractfile(self._members[name])
        if file is None:
            raise self._damage()
        return _HashingFile(file)

    def _check_sum(self, name: str, source: _HashingFile) -> None:
        if source.sha256.hexdigest() != self._sums.get(name):
            raise self._damage()

    @contextmanager
    def _damages(self) -> Iterator[None]:
        """Convert each error of an unreadable or damaged archive to StoreError."""
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"{self.name} cannot be read ({error.strerror or error}): check its"
                " disk, or use another copy"
            ) from None
        except (
            tarfile.TarError,
            LookupError,
            ValueError,
            TypeError,
            AttributeError,
            RecursionError,
        ):
            raise self._damage() from None

    def _damage(self) -> StoreError:
        return StoreError(
            f"{self.name} is damaged, incomplete or not a backup: use another copy or"
            " another backup"
        )


@contextmanager
def open_backup(path: Path) -> Iterator[BackupFile]:
    """Open a backup; close the file at the end of the block.

    Raises:
        StoreError: If the file cannot be read, is not a complete backup, or is a backup
            of a newer release.
    """
    try:
        file = open_regular_file(path)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read ({error.strerror or error}): name a file that"
            " `trackerapi-backend backup` has written"
        ) from None
    with file:
        yield BackupFile(file, f"{path}")
