"""The log of a server: one JSON object a line, of members named here alone."""

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
    """Writes a record as one line of JSON; members not known are left out."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat()
        line = {"at": at, "level": record.levelname, "message": record.getMessage()}
        line |= {
            name: getattr(record, name) for name in _MEMBERS if hasattr(record, name)
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_to_stderr(level: int) -> None:
    """Send the log of the whole process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
