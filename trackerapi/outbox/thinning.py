"""Making room in an outbox that has grown beyond its limit.

The oldest `info` and `heartbeat`, and `progress` that a later one of its step, or of
the same part of it, has superseded, go first. Creations, `start`, `step`, `skip`,
`error`, `complete`, `cancel` and `interrupt` stay as long as there is room for them.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from trackerapi.outbox.counters import Counters
from trackerapi.outbox.disk import sync_folder
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.outbox import Outbox
from trackerapi.outbox.records import (
    MAX_BATCH_BYTES,
    is_droppable,
    parse_record,
    split_lines,
)
from trackerapi.problems import OUTBOX_FULL, Problems, outbox_full

_Counter = tuple[Any, Any, Any]
"""A job, a step of it, and the part that counted."""

_Newest = dict[_Counter, dict[str, Any]]
"""Newest progress of each counter."""

ROOM_TO_MAKE: Final = 0.1
"""Share of the limit that is free after thinning out."""


def thin_out(outbox: Outbox, counters: Counters, problems: Problems) -> None:
    """Drop what may go, oldest first, until the outbox is below its limit again."""
    limit = outbox.options.limit_bytes
    if outbox.undelivered_bytes <= limit:
        outbox.is_full = False
        return
    outbox.turn_over()
    goal = limit * (1 - ROOM_TO_MAKE)
    looked_at = list(outbox.files)
    last = looked_at[-1].path.name
    newest = _newest_progress(looked_at)
    for file in looked_at:
        excess = outbox.undelivered_bytes - goal
        if excess <= 0:
            break
        with suppress(OSError):  # a disk that is full takes no thinner file either
            dropped = _rewrite(outbox, file, excess, newest)
            counters.count_dropped("outbox full", dropped)
    # What has come meanwhile is the next turn's.
    outbox.is_full = outbox.undelivered_bytes - _bytes_behind(outbox, last) > limit
    if counters.dropped.get("outbox full"):
        problems.report(OUTBOX_FULL, outbox_full(limit), "thinned")


def _bytes_behind(outbox: Outbox, name: str) -> int:
    """Return the size of what waits in files that were begun after one."""
    begun_at = name.partition("-")[0]
    return sum(
        file.undelivered_bytes
        for file in list(outbox.files)
        if file.path.name.partition("-")[0] > begun_at
    )


def _rewrite(
    outbox: Outbox, file: OutboxFile, excess_bytes: float, newest: _Newest
) -> int:
    """Put a thinner file into the place of `file`; return how many records went."""
    folder = file.path.parent
    stem = file.path.stem.partition("-")[0]
    thinner = OutboxFile.create(folder, outbox.binding, stem, outbox.writer)
    dropped_count = dropped_bytes = 0
    try:
        for line in _lines(file):
            members = parse_record(line)
            may_go = is_droppable(members) and newest.get(_counter(members)) != members
            if may_go and dropped_bytes < excess_bytes:
                dropped_count += 1
                dropped_bytes += len(line)
            else:
                thinner.append(line)
        if outbox.options.fsync:
            # What was on the disk itself has to be there again before it goes.
            thinner.sync()
            sync_folder(folder)
    except OSError:
        thinner.remove()
        raise
    is_empty = thinner.is_delivered and not file.held.path.exists()
    if not dropped_count or not outbox.replace(file, None if is_empty else thinner):
        thinner.remove()
        return 0
    # From here on both may be delivered: what is in both is applied once.
    if is_empty:
        thinner.remove()
    elif file.held.path.exists():
        file.held.path.rename(thinner.held.path)
        thinner.held.refresh()
    file.remove()
    return dropped_count


def _newest_progress(files: Sequence[OutboxFile]) -> _Newest:
    newest: _Newest = {}
    for file in files:
        for line in _lines(file):
            members = parse_record(line)
            if members.get("kind") == "progress":
                newest[_counter(members)] = members
    return newest


def _counter(members: dict[str, Any]) -> _Counter:
    return members.get("provider_job_id"), members.get("tag"), members.get("part")


def _lines(file: OutboxFile) -> Iterator[bytes]:
    position = file.position
    while chunk := file.read(position, MAX_BATCH_BYTES):
        yield from split_lines(chunk)
        position += len(chunk)
