"""Log of the server: one JSON object per line.

An object has time, level and message, the attributes in `_MEMBERS`, and the traceback
of an exception.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import UTC, datetime

_MEMBERS = (
    "request_id",
    "method",
    "operation",
    "status",
    "seconds",
    "provider_id",
    "key_id",
)

ACCEPT_ERROR_SECONDS = 60.0
"""Minimum interval between two log lines about failed accepts, in seconds."""


class JsonLines(logging.Formatter):
    """Formatter that writes a record as one line of JSON.

    Attributes of a record that `_MEMBERS` does not list may contain a secret, so they
    are omitted.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat()
        line = {"at": at, "level": record.levelname, "message": record.getMessage()}
        line |= {
            name: getattr(record, name) for name in _MEMBERS if hasattr(record, name)
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class _AcceptErrors(logging.Filter):
    """Filter that passes one line per minute while no file descriptor is free.

    asyncio logs each failed attempt to accept a connection, up to 2,000 a second, with
    a traceback. These lines would fill the disk and keep the event loop busy.
    """

    def __init__(self) -> None:
        super().__init__()
        self._next_line = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write a record; shorten the message of a failed accept."""
        if not record.getMessage().startswith("socket.accept() out of system resource"):
            return True
        if time.monotonic() < self._next_line:
            return False
        self._next_line = time.monotonic() + ACCEPT_ERROR_SECONDS
        record.msg, record.exc_info = (
            "new connections wait, no descriptor is left for them: raise the limit of"
            " open files (`ulimit -n`)",
            None,
        )
        return True


def log_to_stderr(level: int) -> None:
    """Write the log of the whole process to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("asyncio").addFilter(_AcceptErrors())
