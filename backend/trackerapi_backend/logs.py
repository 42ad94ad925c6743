"""Log of the server: one JSON object per line.

An object has time, level and message, the attributes in `_MEMBERS`, and the traceback
of an exception.
"""

from __future__ import annotations

import json
import logging
import sys
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


def log_to_stderr(level: int) -> None:
    """Write the log of the whole process to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
