"""First line of an outbox file: its format, and where its records may go.

The line is padded with blanks, so that the provider can be filled in later without
moving a record.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from trackerapi.process.clock import utc_now
from trackerapi.settings.addresses import canonical_address

FORMAT_VERSION: Final = 1
"""Version written; those before it are read, those after it are left alone."""

LONGEST_HEADER_BYTES: Final = 16 * 1024

_MARK: Final = "trackerapi_outbox"
_ROOM_BYTES: Final = 64  # for a provider id, which is known only later


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Where records are meant to go, and whose they are.

    Attributes:
        base_url: Address of the backend, in its canonical spelling.
        key_id: Public part of the key; None for a key of another form, or none.
        provider_id: The provider whose key it is; None until the backend has said so.
    """

    base_url: str
    key_id: str | None
    provider_id: int | None = None

    def admits(self, other: "Binding") -> bool:
        """Return whether records bound like `other` may be delivered as these.

        The key's own id is enough: a confused answer may have named another provider.
        """
        if self.base_url != other.base_url:
            return False
        if self.key_id is not None and self.key_id == other.key_id:
            return True
        return self.provider_id is not None and self.provider_id == other.provider_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the first line of an outbox file says.

    Attributes:
        version: Version of the format.
        created_at: When the file was made; RFC 3339.
        writer: Who wrote it, in a word made for that: files of one writer keep their
            order among each other. Empty where nobody knows.
    """

    binding: Binding
    version: int = FORMAT_VERSION
    created_at: str = ""
    writer: str = ""

    @classmethod
    def new(cls, binding: Binding, writer: str = "") -> Self:
        """Return the header of a file that is made now."""
        now = utc_now().isoformat(timespec="seconds").replace("+00:00", "Z")
        return cls(binding=binding, created_at=now, writer=writer)

    @classmethod
    def parse(cls, line: bytes) -> Self | None:
        """Return what a first line says; None if it is no header of ours."""
        try:
            members: Mapping[str, Any] = json.loads(line)
            version = members[_MARK]
            binding = Binding(
                base_url=canonical_address(members["base_url"]),
                key_id=members.get("key_id"),
                provider_id=members.get("provider_id"),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        if not isinstance(version, int) or not _is_sound(binding):
            return None
        return cls(
            binding=binding,
            version=version,
            created_at=str(members.get("created_at", "")),
            writer=str(members.get("writer", "")),
        )

    def as_line(self, length: int = 0) -> bytes:
        """Return the header as a line of `length` bytes, or of its own with room."""
        members: dict[str, Any] = {
            _MARK: self.version,
            "base_url": self.binding.base_url,
            "key_id": self.binding.key_id,
            "provider_id": self.binding.provider_id,
            "created_at": self.created_at,
        }
        if self.writer:
            members["writer"] = self.writer
        text = json.dumps(members)
        width = length - 1 if length else len(text) + _ROOM_BYTES
        return text.ljust(width).encode("ascii") + b"\n"


def _is_sound(binding: Binding) -> bool:
    """Return whether a line that nobody checked holds the types of a binding."""
    members: dict[str, object] = {
        "base_url": binding.base_url,
        "key_id": binding.key_id,
        "provider_id": binding.provider_id,
    }
    is_text = isinstance(members["base_url"], str)
    has_key = isinstance(members["key_id"], str | None)
    return is_text and has_key and isinstance(members["provider_id"], int | None)
