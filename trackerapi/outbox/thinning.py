"""Thinning: drops records of an outbox that is larger than its size limit.

The oldest records are dropped first: `info`, `heartbeat`, and each `progress` that a
later `progress` of the same step and part has superseded. Creations and `start`,
`step`, `skip`, `error`, `complete`, `cancel` and `interrupt` are never dropped.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from trackerapi.outbox.counters import Counters
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.names import begun_of
from trackerapi.outbox.outbox import Outbox
from trackerapi.outbox.records import is_droppable, parse_record
from trackerapi.problems import OUTBOX_FULL, Problems, outbox_full

_Counter = tuple[Any, Any, Any]
"""Key of a progress counter: job, step and part."""

_Newest = dict[_Counter, dict[str, Any]]
"""Newest `progress` event of each counter."""

ROOM_TO_MAKE: Final = 0.1
"""Share of the size limit that is free after thinning, 0.0 to 1.0."""


def thin_out(outbox: Outbox, counters: Counters, problems: Problems) -> None:
    """Drop droppable records of an outbox above its size limit, oldest first.

    Set `outbox.is_full` if the remaining records are still above the limit.
    """
    limit = outbox.options.limit_bytes
    if outbox.undelivered_bytes <= limit:
        outbox.is_full = False
        return
    # New records go to a new file: no thread appends to a file that is rewritten below.
    outbox.end_current_file()
    goal = limit * (1 - ROOM_TO_MAKE)
    files = list(outbox.files)
    last = begun_of(files[-1].path)
    newest = _newest_progress(files)
    for file in files:
        excess = outbox.undelivered_bytes - goal
        if excess <= 0:
            break
        with suppress(OSError):  # a full disk has no room for the new file either
            dropped = _rewrite(outbox, file, excess, newest)
            counters.count_dropped("outbox full", dropped)
    # Files that were begun during this call are thinned at the next call.
    later = (file for file in list(outbox.files) if begun_of(file.path) > last)
    later_bytes = sum(file.undelivered_bytes for file in later)
    outbox.is_full = outbox.undelivered_bytes - later_bytes > limit
    if counters.dropped.get("outbox full"):
        problems.report(OUTBOX_FULL, outbox_full(limit), "thinned")


def _rewrite(
    outbox: Outbox, file: OutboxFile, excess_bytes: float, newest: _Newest
) -> int:
    """Replace `file` by a thinner file; return the number of dropped records.

    Raises:
        OSError: If the new file cannot be written; the old file is then unchanged.
    """
    dropped_count = dropped_bytes = 0
    with file.replacement(
        file.path.parent, outbox.binding, outbox.writer, fsync=outbox.options.fsync
    ) as thinner:
        for line in file.undelivered_lines():
            members = parse_record(line)
            may_go = is_droppable(members) and newest.get(_counter(members)) != members
            if may_go and dropped_bytes < excess_bytes:
                dropped_count += 1
                dropped_bytes += len(line)
            else:
                thinner.append(line)
    is_empty = thinner.is_delivered and not file.held.path.exists()
    if not dropped_count or not outbox.replace(file, None if is_empty else thinner):
        thinner.remove()
        return 0
    # A crash before `remove()` leaves both files: their common records are delivered
    # twice, and the backend applies each record once.
    if is_empty:
        thinner.remove()
    else:
        file.held.move_to(thinner.held)
    file.remove()
    return dropped_count


def _newest_progress(files: Sequence[OutboxFile]) -> _Newest:
    newest: _Newest = {}
    for file in files:
        for members in map(parse_record, file.undelivered_lines()):
            if members.get("kind") == "progress":
                newest[_counter(members)] = members
    return newest


def _counter(members: dict[str, Any]) -> _Counter:
    return members.get("provider_job_id"), members.get("tag"), members.get("part")
