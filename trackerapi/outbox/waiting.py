"""Number and age of the undelivered records of a file; nothing here blocks."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Final

from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.records import parse_record
from trackerapi.times import parse_rfc3339

_FIRST_BYTES: Final = 64 * 1024


def count_waiting(file: OutboxFile) -> int:
    """Return the number of records of a file that are not settled."""
    count, position = 0, file.position
    with suppress(OSError):  # the courier may archive the file meanwhile
        while chunk := file.read(position, 1 << 20):
            count += chunk.count(b"\n")
            position += len(chunk)
    return count


def first_lines_of(file: OutboxFile) -> list[bytes]:
    """Return the oldest unsettled records of a file."""
    with suppress(OSError):  # the courier may archive the file meanwhile
        return file.peek(_FIRST_BYTES).splitlines()
    return []


def oldest_of(records: Iterable[bytes]) -> datetime | None:
    """Return the time of the first event among records; None without one."""
    with suppress(OSError):
        for record in records:
            occurred_at = str(parse_record(record).get("occurred_at"))
            with suppress(ValueError):
                return parse_rfc3339(occurred_at)
    return None
