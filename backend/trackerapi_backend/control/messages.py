"""Messages between a command and the server that runs it: one JSON object per line.

The command sends a `Request`. The server sends any number of these messages:

- `{"lines": [...]}`: lines to print.
- `{}`: sign of life, every `ALIVE_SECONDS` while the command runs or waits.
- `{"error": ...}`: last message, with the error message; null after a success.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from trackerapi_backend.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_REQUEST_BYTES = 128 * 1024
"""Maximum size of a request, in bytes."""
ALIVE_SECONDS = 5.0
"""Interval of the signs of life of a server, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Command line to run.

    Attributes:
        arguments: Words after the name of the program.
        version: Release of the program that sends the request.
    """

    arguments: Sequence[str]
    version: str = __version__

    def encode(self) -> bytes:
        """Return the request as one line of JSON."""
        return encode(asdict(self))

    @classmethod
    def parse(cls, line: bytes) -> Request | None:
        """Return the request in a line; None if the line is not a valid request."""
        try:
            sent = json.loads(line)
            arguments, version = sent["arguments"], sent["version"]
        except (ValueError, RecursionError, TypeError, KeyError):
            return None
        is_valid = isinstance(arguments, list) and isinstance(version, str)
        if not is_valid or not all(isinstance(word, str) for word in arguments):
            return None
        return cls(arguments=arguments, version=version)


def encode(message: dict[str, Any]) -> bytes:
    """Return a message as one line of JSON; a file name need not be valid UTF-8."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
