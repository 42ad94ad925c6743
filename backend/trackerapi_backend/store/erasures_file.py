"""File of erasures outside the database, to repeat the erasures in a restored backup.

Each line is one erasure as a JSON object, without the name of the job or customer:

    {"at": "2026-11-24T01:00:04.125Z", "provider_id": 1, "kind": "job",
     "job_id": 8123456789, "name_hmac": "9f3a...", "installation": "5be07a..."}
    {"at": "2026-11-24T01:02:00Z", "provider_id": 1, "kind": "customer",
     "customer_id": 142, "installation": "5be07a..."}
"""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import msgspec

from trackerapi_backend.files import open_regular_file
from trackerapi_backend.instants import format_instant, parse_instant
from trackerapi_backend.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

HMAC_BYTES = 32
_MAX_STORED_ID = 2**63 - 1
_VARIABLE = "TRACKERAPI_BACKEND_ERASURES_FILE"


class ErasedObject(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line of the file: an erased job or customer.

    Attributes:
        at: Time of the erasure, as an RFC 3339 text.
        provider_id: Provider of the job or customer.
        kind: Kind of the erased object.
        job_id: Id of the job; None for a customer.
        customer_id: Id of the customer; None for a job.
        name_hmac: HMAC of the job's `provider_job_id`, in hexadecimal; None for a
            customer.
        installation: Text that identifies the installation: another installation may
            have customers and providers with the same ids. None in lines of older
            releases.
    """

    at: str
    provider_id: int
    kind: Literal["job", "customer"]
    job_id: int | None = None
    customer_id: int | None = None
    name_hmac: str | None = None
    installation: str | None = None

    @property
    def erased_at(self) -> datetime:
        """Time of the erasure."""
        return parse_instant(self.at)

    @property
    def name_digest(self) -> bytes:
        """HMAC of the job's `provider_job_id`; empty for a customer."""
        return bytes.fromhex(self.name_hmac or "")

    def check(self) -> None:
        """Raise ValueError if a value is missing or invalid."""
        _ = self.erased_at
        ids = (self.provider_id, self.job_id or 0, self.customer_id or 0)
        if not all(0 <= each <= _MAX_STORED_ID for each in ids):
            raise ValueError("id")
        is_job = self.kind == "job"
        if is_job and (self.job_id is None or len(self.name_digest) != HMAC_BYTES):
            raise ValueError("job")
        if not is_job and self.customer_id is None:
            raise ValueError("customer")


def erased_job(
    provider_id: int,
    job_id: int,
    name_hmac: bytes,
    *,
    now: datetime,
    installation: str | None,
) -> ErasedObject:
    """Return the line for an erased job; `now` is the time of the erasure."""
    return ErasedObject(
        at=format_instant(now),
        provider_id=provider_id,
        kind="job",
        job_id=job_id,
        name_hmac=name_hmac.hex(),
        installation=installation,
    )


def erased_customer(
    provider_id: int,
    customer_id: int,
    *,
    now: datetime,
    installation: str | None,
) -> ErasedObject:
    """Return the line for an erased customer; `now` is the time of the erasure."""
    return ErasedObject(
        at=format_instant(now),
        provider_id=provider_id,
        kind="customer",
        customer_id=customer_id,
        installation=installation,
    )


class DamagedLine(StoreError):
    """Damaged line of a file of erasures.

    Attributes:
        number: Number of the line, counted from 1.
    """

    def __init__(self, path: Path, number: int) -> None:
        super().__init__(
            f"line {number} of {path} is damaged, so nothing was erased: repair or"
            " remove the line, then run the command again"
        )
        self.number = number


@dataclass(frozen=True, slots=True)
class ErasuresFile:
    """File to which a backend appends its erasures.

    Attributes:
        path: Path of the file; None if the setting is missing.
    """

    path: Path | None = None

    def append(self, erased: ErasedObject) -> None:
        """Append a line; return once the line is on the disk.

        Raises:
            StoreError: If `path` is None, or the file cannot be written.
        """
        if self.path is None:
            raise StoreError(
                f"set {_VARIABLE} to a file for the list of erasures, which is needed"
                " after the restore of a backup",
                cause=f"the setting {_VARIABLE} is missing",
            )
        try:
            _append(self.path, _encode(erased) + b"\n")
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreError(
                f"{self.path} cannot be written ({reason}): make the file writable, or"
                f" set {_VARIABLE} to another file",
                cause=f"the file of erasures cannot be written: {reason}",
            ) from None


def _append(path: Path, line: bytes) -> None:
    is_new = not path.exists()
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    with (
        _appending,
        os.fdopen(os.open(path, flags, 0o600), "rb+", buffering=0) as file,
    ):
        # Another process may append to the same file.
        fcntl.flock(file, fcntl.LOCK_EX)
        # If a crash has cut off the end of the last line, begin a new line.
        size = file.seek(0, os.SEEK_END)
        if size and os.pread(file.fileno(), 1, 0) != b"{":
            # A wrong setting must not damage the pepper or the database.
            raise OSError(0, "it is not a file of erasures")
        if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
            line = b"\n" + line
        try:
            while line:
                line = line[file.write(line) :]
            os.fsync(file.fileno())
        except OSError:
            # A part of the line would be damage, which prevents each later restore.
            with suppress(OSError):
                file.truncate(size)
            raise
    if is_new:
        _sync_folder(path.parent)


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(ErasedObject)
# Held during a write: the lines of two threads must not mix.
_appending = threading.Lock()


def _sync_folder(folder: Path) -> None:
    """Write the name of a new file in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_erasures(path: Path) -> Sequence[ErasedObject]:
    """Return the erasures of all lines of a file.

    Raises:
        DamagedLine: If a line is damaged.
        StoreError: If the file cannot be read, or is no file of erasures.
    """
    erased: list[ErasedObject] = []
    try:
        with open_regular_file(path) as file:
            for number, line in enumerate(file, start=1):
                if not erased and line.strip() and not line.startswith(b"{"):
                    raise StoreError(
                        f"{path} is no file of erasures, so nothing was erased: name"
                        " the file of the server that has erased"
                    )
                if line.strip():
                    erased.append(_read_line(path, number, line))
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read ({error.strerror or error}): name the file of"
            " erasures, and let this user read it"
        ) from None
    return erased


def _read_line(path: Path, number: int, line: bytes) -> ErasedObject:
    try:
        erased = _decoder.decode(line)
        erased.check()
    except (ValueError, RecursionError):
        raise DamagedLine(path, number) from None
    return erased
