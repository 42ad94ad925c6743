"""What waits to be delivered, and since when; nothing here waits itself."""

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Final

from trackerapi.delivery.outbox_file import OutboxFile
from trackerapi.delivery.records import parse_record
from trackerapi.events import parse_rfc3339

_FIRST_BYTES: Final = 64 * 1024


def count_waiting(file: OutboxFile) -> int:
    """Return how many records of a file are not settled."""
    count, position = 0, file.position
    with suppress(OSError):  # the courier may put it away meanwhile
        while chunk := file.read(position, 1 << 20):
            count += chunk.count(b"\n")
            position += len(chunk)
    return count


def first_lines_of(file: OutboxFile) -> list[bytes]:
    """Return the first records of a file that are not settled."""
    with suppress(OSError):  # the courier may put it away meanwhile
        return file.peek(_FIRST_BYTES).splitlines()
    return []


def oldest_of(records: Iterable[bytes]) -> datetime | None:
    """Return when the first event of some records happened."""
    with suppress(OSError):
        for record in records:
            occurred_at = str(parse_record(record).get("occurred_at"))
            with suppress(ValueError):
                return parse_rfc3339(occurred_at)
    return None
