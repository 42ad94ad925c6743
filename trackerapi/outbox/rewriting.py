"""Rewriting an outbox file whose owner has gone: without records, or bound anew.

Records that are taken out are nowhere on disk afterwards, neither in the file nor in
its journal of held records.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.folder import OutboxFolder
from trackerapi.outbox.header import Binding
from trackerapi.outbox.survey import lines_between, record_id

_FILES_OF_ONE: Final = (".outbox", ".ack")


def none_of_them(line: bytes) -> bool:  # noqa: ARG001 - as others have it
    """Choose no record."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What to take out of a file.

    Attributes:
        waiting: Chooses among the records behind the settled position.
        settled: Chooses among those before it.
        kept_ids: Ids of records in the journal; they go from everywhere.
    """

    waiting: Callable[[bytes], bool] = none_of_them
    settled: Callable[[bytes], bool] = none_of_them
    kept_ids: frozenset[str] = frozenset()

    def count(self, file: OutboxFile) -> int:
        """Return how many records it would take out."""
        count = len(self.kept_ids)
        if self.waiting is not none_of_them:
            tail = lines_between(file, file.position, file.end)
            count += sum(map(self.waiting, tail))
        if self.settled is not none_of_them:
            head = lines_between(file, file.start, file.position)
            count += sum(map(self.settled, head))
        return count

    def takes_settled(self, line: bytes) -> bool:
        """Tell whether a settled record goes."""
        return self.settled(line) or (
            bool(self.kept_ids) and record_id(line) in self.kept_ids
        )


def cut_and_release(folder: OutboxFolder, file: OutboxFile, what: Cut) -> int:
    """Take records out of an adopted file and let go of it; return their count.

    Raises:
        OSError: If it cannot be written; then the file is as it was.
    """
    count = what.count(file)
    if not count:
        file.close()
        return 0
    try:
        thinner = _cut(file, what)
    finally:
        file.close()
    if thinner is not None:
        folder.release(thinner)
    return count


def rebind(folder: OutboxFolder, file: OutboxFile, binding: Binding) -> Path | None:
    """Bind the records of an adopted file to another address and key; close the file.

    Returns:
        The new file with the same records; None if there were none.

    Raises:
        OSError: If the new file cannot be written; then the old one is as it was.
    """
    try:
        # The longer address may not fit into the header of the old file.
        rebound = _cut(file, Cut(), binding)
    finally:
        file.close()
    if rebound is None:
        return None
    folder.release(rebound)
    return rebound.path


def _cut(
    file: OutboxFile, what: Cut, binding: Binding | None = None
) -> OutboxFile | None:
    """Put a file without some of its records in the place of one.

    Args:
        file: Adopted, so that nobody else writes to it; gone afterwards.
        what: What to take out.
        binding: Where the records of the new file go; None for the same destination.

    Returns:
        The new file, open; None if nothing was left.

    Raises:
        OSError: If it cannot be written; then the file is as it was.
    """
    stem = file.path.stem.partition("-")[0]
    goes_to = binding or file.header.binding
    writer = file.header.writer
    thinner = OutboxFile.create(file.path.parent, goes_to, stem, writer)
    try:
        _copy(file, thinner, what)
        _keep_times(file.path, thinner.path)
    except BaseException:
        thinner.remove()
        raise
    # From here on both may be delivered: what is in both is applied once.
    file.remove()
    if thinner.end == thinner.start and thinner.held.counts() == (0, 0):
        thinner.remove()
        return None
    return thinner


def _copy(file: OutboxFile, thinner: OutboxFile, what: Cut) -> None:
    taken = count = 0
    for line in lines_between(file, file.start, file.position):
        if what.takes_settled(line):
            taken += what.settled(line)
        else:
            thinner.append(line)
            count += 1
    thinner.settle(
        thinner.end - thinner.start,
        count,
        delivered=max(file.delivered - taken, 0),
        dropped=file.dropped,
    )
    for line in lines_between(file, file.position, file.end):
        if not what.waiting(line):
            thinner.append(line)
    kept = [each for each in file.held.entries() if each.record_id not in what.kept_ids]
    thinner.held.add(kept)


def _keep_times(before: Path, after: Path) -> None:
    """Let the new file be forgotten when the old one would have been."""
    for suffix in _FILES_OF_ONE:
        if before.with_suffix(suffix).exists():
            status = before.with_suffix(suffix).stat()
            times = (status.st_atime_ns, status.st_mtime_ns)
            os.utime(after.with_suffix(suffix), ns=times)
