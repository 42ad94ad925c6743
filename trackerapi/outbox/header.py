"""First line of an outbox file: format version, and destination of the records.

The line is padded with blanks, so that the provider can be filled in later without
moving a record.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from trackerapi.outbox.disk import open_file
from trackerapi.process.clock import utc_now
from trackerapi.settings.addresses import canonical_address
from trackerapi.times import as_rfc3339

FORMAT_VERSION: Final = 1
"""Format version of new files. Files of older versions are read too; files of newer
versions are skipped."""

MAX_HEADER_BYTES: Final = 16 * 1024

_MARK: Final = "trackerapi_outbox"
_PADDING_BYTES: Final = 64  # for the provider id, which is filled in later


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Destination and owner of records.

    Attributes:
        base_url: Address of the backend, in its canonical spelling.
        key_id: Public part of the API key; None without a key, or for a key without a
            public part.
        provider_id: Id of the provider that owns the key; None until the backend has
            named the provider.
    """

    base_url: str
    key_id: str | None
    provider_id: int | None = None

    @classmethod
    def parse(cls, members: Mapping[str, Any]) -> Self:
        """Return the binding that the members of a JSON object describe.

        Raises:
            ValueError: If a member is missing or of a wrong type.
        """
        url, key_id = members.get("base_url"), members.get("key_id")
        provider_id = members.get("provider_id")
        is_sound = isinstance(url, str) and isinstance(key_id, str | None)
        if not is_sound or not isinstance(provider_id, int | None):
            raise ValueError("base_url, key_id or provider_id is invalid")
        return cls(
            base_url=canonical_address(str(url)),
            key_id=key_id,
            provider_id=provider_id,
        )

    def as_members(self) -> dict[str, Any]:
        """Return the members of a JSON object that `parse()` reads."""
        return {
            "base_url": self.base_url,
            "key_id": self.key_id,
            "provider_id": self.provider_id,
        }

    def admits(self, other: "Binding") -> bool:
        """Return whether the key of this binding may deliver records bound to `other`.

        Equal key ids are enough even if the provider ids differ: the backend may have
        named a wrong provider before.
        """
        if self.base_url != other.base_url:
            return False
        if self.key_id is not None and self.key_id == other.key_id:
            return True
        return self.provider_id is not None and self.provider_id == other.provider_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """First line of an outbox file.

    Attributes:
        binding: Destination and owner of the records.
        version: Version of the format.
        created_at: Time at which the file was made; RFC 3339.
        writer: Random word that identifies the process that wrote the records; files
            of one writer are delivered in order of age. Empty if unknown.
    """

    binding: Binding
    version: int = FORMAT_VERSION
    created_at: str = ""
    writer: str = ""

    @classmethod
    def new(cls, binding: Binding, writer: str = "") -> Self:
        """Return the header of a new file, with the current time."""
        now = as_rfc3339(utc_now().replace(microsecond=0))
        return cls(binding=binding, created_at=now, writer=writer)

    @classmethod
    def parse(cls, line: bytes) -> Self | None:
        """Return the header in a line; None if the line has no valid header."""
        try:
            members: Mapping[str, Any] = json.loads(line)
            version = members[_MARK]
            binding = Binding.parse(members)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        if not isinstance(version, int):
            return None
        return cls(
            binding=binding,
            version=version,
            created_at=str(members.get("created_at", "")),
            writer=str(members.get("writer", "")),
        )

    @property
    def is_readable(self) -> bool:
        """Whether this version of trackerapi reads the format of the file."""
        return self.version <= FORMAT_VERSION

    def as_line(self, length: int = 0) -> bytes:
        """Return the header as a line.

        Args:
            length: Minimum length of the line, in bytes; 0 adds padding for a provider
                id.
        """
        members = {
            _MARK: self.version,
            **self.binding.as_members(),
            "created_at": self.created_at,
        }
        if self.writer:
            members["writer"] = self.writer
        text = json.dumps(members)
        width = length - 1 if length else len(text) + _PADDING_BYTES
        return text.ljust(width).encode("ascii") + b"\n"


def read_header(fd: int) -> tuple[Header, int] | None:
    """Return the header of an open file and its length in bytes.

    Return None if the file does not begin with a complete header. The call does not
    move the file position of the descriptor.

    Raises:
        OSError: If the file cannot be read.
    """
    line, end, _ = os.pread(fd, MAX_HEADER_BYTES, 0).partition(b"\n")
    header = Header.parse(line) if end else None
    return None if header is None else (header, len(line) + 1)


def header_of(path: Path) -> Header | None:
    """Return the header of a file; None if the file is unreadable or has no header."""
    with suppress(OSError):
        fd = open_file(path, os.O_RDONLY)
        try:
            found = read_header(fd)
        finally:
            os.close(fd)
        return None if found is None else found[0]
    return None
