"""Thinning of an outbox beyond its size limit.

Records that may be dropped go first, oldest first: `info`, `heartbeat`, and `progress`
that a later `progress` of the same step or part has superseded. Creations and `start`,
`step`, `skip`, `error`, `complete`, `cancel` and `interrupt` stay.
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
"""Job, step and part whose progress is counted."""

_Newest = dict[_Counter, dict[str, Any]]
"""Newest progress of each counter."""

ROOM_TO_MAKE: Final = 0.1
"""Share of the limit that is free after thinning."""


def thin_out(outbox: Outbox, counters: Counters, problems: Problems) -> None:
    """Drop records until the outbox is below its limit, oldest first.

    Set `outbox.is_full` if the records that must stay are above the limit.
    """
    limit = outbox.options.limit_bytes
    if outbox.undelivered_bytes <= limit:
        outbox.is_full = False
        return
    # Nothing is appended to the files below while they are rewritten.
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
    # Files that were begun meanwhile are thinned the next time.
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
        OSError: If the new file cannot be written; the old one is then unchanged.
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
    # A crash from here on leaves both files: records in both are delivered twice, and
    # the backend applies them once.
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
