"""Log of the server: one JSON object per line.

An object has time, level and message, the attributes in `_MEMBERS`, and the traceback
of an exception without its message.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import sys
import traceback
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import msgspec

from trackerapi_backend.log_file import LogFile
from trackerapi_backend.settings import PREFIX, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from trackerapi_backend.settings import LogSettings

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
    are omitted. Messages of exceptions may contain data of a job, so a traceback only
    has the classes of exceptions, and codes of errors.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat()
        message = record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            # asyncio appends the exception, and the arguments of the failed call.
            message = message.partition("\n")[0]
        line = {"at": at, "level": record.levelname, "message": message}
        line |= {
            name: getattr(record, name) for name in _MEMBERS if hasattr(record, name)
        }
        if error is not None:
            line["traceback"] = "\n".join(_traceback(error))
        return json.dumps(line, separators=(",", ":"))


def _traceback(error: BaseException) -> Iterator[str]:
    """Yield the calls and names of an exception and its causes, the first cause first.

    The messages of the exceptions are omitted.
    """
    chain: list[BaseException] = []
    last: BaseException | None = error
    while last is not None and not any(last is each for each in chain):
        chain.append(last)
        last = last.__cause__ if last.__suppress_context__ else last.__context__
    for each in reversed(chain):
        yield "".join(traceback.format_tb(each.__traceback__)) + _name(each)
        if isinstance(each, BaseExceptionGroup):
            for inner in each.exceptions:
                yield from _traceback(inner)


def _name(error: BaseException) -> str:
    """Return class and code of an exception, and the name of a violated constraint."""
    kind = type(error)
    facts = (
        f"{kind.__module__}.{kind.__qualname__}",
        errno.errorcode.get(error.errno or 0) if isinstance(error, OSError) else None,
        getattr(error, "sqlite_errorname", None),
        getattr(error, "sqlstate", None),
        getattr(getattr(error, "diag", None), "constraint_name", None),
    )
    return " ".join(fact for fact in facts if fact)


class Destination(Protocol):
    """Stream or file of a log."""

    def write(self, text: str, /) -> object:
        """Write lines."""

    def flush(self) -> None:
        """Pass buffered lines to the system."""


class LogStream(logging.StreamHandler[Destination]):
    """Handler that writes records of `logging`, and the lines of requests.

    A record for each request would need a tenth of the CPU time of a small request.
    The lines of requests are written together, once per iteration of the event loop.
    """

    def __init__(self, stream: Destination) -> None:
        super().__init__(stream)
        self.setFormatter(JsonLines())
        # The event loop appends lines, and any thread that logs removes lines.
        self._requests: deque[bytes] = deque()

    def write_request(self, members: Mapping[str, object]) -> None:
        """Write the line of a request; only the thread of an event loop calls this."""
        at = datetime.now(UTC).isoformat()
        line = {"at": at, "level": "INFO", "message": "request", **members}
        self._requests.append(_encode(line) + b"\n")
        if len(self._requests) == 1:
            asyncio.get_running_loop().call_soon(self._write_requests)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record after the lines of earlier requests."""
        self._write_requests()
        super().emit(record)

    def flush(self) -> None:
        """Write all waiting lines."""
        self._write_requests()
        super().flush()

    def _write_requests(self) -> None:
        self.acquire()
        try:
            lines = [self._requests.popleft() for _ in range(len(self._requests))]
            # As in `logging`, lines are lost while the stream cannot be written, and
            # after it was closed.
            with suppress(OSError, ValueError):
                self.stream.write(b"".join(lines).decode())
                self.stream.flush()
        finally:
            self.release()


_encode = msgspec.json.Encoder().encode
_log = logging.getLogger(__name__)


def log_request(**members: object) -> None:
    """Log a request with level INFO, in the thread of an event loop.

    Args:
        members: Members of the line, all of them in `_MEMBERS`.
    """
    if _log.isEnabledFor(logging.INFO):
        for handler in logging.getLogger().handlers:
            if isinstance(handler, LogStream):
                handler.write_request(members)


def start_log(settings: LogSettings) -> None:
    """Write the log of the whole process to stderr or to a file.

    The level `debug` applies only to this package: other packages log at level `info`
    or above, because their debug lines may contain data of a job.

    Raises:
        SettingsError: If the file cannot be used.
    """
    try:
        destination = sys.stderr if settings.file is None else LogFile(settings.file)
    except OSError as error:
        raise SettingsError(
            f"the log file {settings.file} cannot be used ({error.strerror}): name a"
            f" writable file with --log-file or {PREFIX}LOG_FILE"
        ) from None
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    handlers = [LogStream(destination)]
    logging.basicConfig(level=max(level, logging.INFO), handlers=handlers, force=True)
    logging.getLogger(__package__).setLevel(level)
