"""Rewriting of leftover files: without some records, or for another destination.

The old file is deleted after the new file is complete. A crash before the deletion
leaves both files: their common records are delivered twice, and the backend applies
each record once. Removed records are gone from the disk, from the file and its journal.
"""

import os
from collections.abc import Collection, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.folder import OutboxFolder
from trackerapi.outbox.header import Binding
from trackerapi.outbox.names import position_path
from trackerapi.outbox.records import is_creation, job_of, record_id
from trackerapi.outbox.survey import DELIVERED, HELD, UNDELIVERED, views


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Records of outbox files, selected by state and job.

    Attributes:
        states: `HELD`, `UNDELIVERED` or both; or only `DELIVERED`.
        provider_job_id: Job of the records; None for all jobs.
    """

    states: Collection[str] = ()
    provider_job_id: str | None = None

    def count(self, file: OutboxFile) -> int:
        """Return the number of selected records in a file and its journal."""
        count = len(self.ids_in_journal(file))
        if UNDELIVERED in self.states:
            count += sum(map(self.is_of_job, file.undelivered_lines()))
        if DELIVERED in self.states:
            count += sum(map(self.is_of_job, file.settled_lines()))
        return count

    def ids_in_journal(self, file: OutboxFile) -> set[str]:
        """Return the ids of selected records in the journal of a file."""
        return {
            entry.record_id
            for entry in file.held.entries(provider_job_id=self.provider_job_id)
            if (UNDELIVERED if entry.is_deferred else HELD) in self.states
        }

    def is_of_job(self, line: bytes) -> bool:
        """Return whether a record is of the selected job."""
        return self.provider_job_id is None or job_of(line) == self.provider_job_id


def remove_records(
    folder: OutboxFolder, path: Path, selection: Selection
) -> int | None:
    """Claim a leftover file and remove the selected records; return their number.

    Return None if the file is gone, or if another process uses the file.

    Raises:
        OSError: If the new file cannot be written; the old file is then unchanged.
    """
    with _claim_file(path) as file:
        if file is None:
            return None
        count = selection.count(file)
        if count:
            _rewrite(folder, file, selection)
        return count


def remove_held_records(path: Path, selection: Selection) -> int:
    """Remove held records from the journal of a file that another process uses.

    Return the number of removed records. The records stay in the outbox file itself.

    Raises:
        OSError: If the journal cannot be read or written.
    """
    for file in views([path]):
        ids = replace(selection, states=(HELD,)).ids_in_journal(file)
        file.held.remove(sorted(ids), "dropped")
        return len(ids)
    return 0


def rebind(folder: OutboxFolder, path: Path, binding: Binding) -> Path | None:
    """Claim a leftover file and bind its records to another address and key.

    Returns:
        Path of the new file with the same records; None if the old file is gone, has
        no records, or is used by another process.

    Raises:
        OSError: If the new file cannot be written; the old file is then unchanged.
    """
    with _claim_file(path) as file:
        if file is None:
            return None
        # A new file: a longer address may not fit into the header of the old file.
        return _rewrite(folder, file, Selection(), binding)


@contextmanager
def _claim_file(path: Path) -> Generator[OutboxFile | None]:
    """Claim a file and read its journal; close the file after the `with` block."""
    file = None
    with suppress(FileNotFoundError):  # another process has archived the file
        file = OutboxFile.claim(path)
    if file is None:
        yield None
        return
    try:
        file.held.refresh()
        yield file
    finally:
        file.close()


def _rewrite(
    folder: OutboxFolder,
    file: OutboxFile,
    selection: Selection,
    binding: Binding | None = None,
) -> Path | None:
    """Replace a claimed file by a file without the selected records.

    Args:
        folder: Outbox folder.
        file: Old file; deleted after the new file is complete.
        selection: Records to remove.
        binding: Destination of the new file; None for the destination of the old file.

    Returns:
        Path of the new file, which is released; None if no record is left.
    """
    parent, header = file.path.parent, file.header
    with file.replacement(parent, binding or header.binding, header.writer) as fresh:
        _copy(file, fresh, selection)
        _copy_times(file.path, fresh.path)
    file.remove()
    if fresh.end == fresh.start and fresh.held.counts() == (0, 0):
        fresh.remove()
        return None
    folder.release(fresh)
    return fresh.path


def _copy(file: OutboxFile, fresh: OutboxFile, selection: Selection) -> None:
    removed_ids = selection.ids_in_journal(file)
    count, delivered = 0, file.delivered
    for line in file.settled_lines():
        if DELIVERED in selection.states and selection.is_of_job(line):
            delivered -= not is_creation(line)  # `delivered` counts events only
        elif not removed_ids or record_id(line) not in removed_ids:
            fresh.append(line)
            count += 1
    fresh.settle(
        fresh.end - fresh.start,
        count,
        delivered=max(delivered, 0),
        dropped=file.dropped,
    )
    for line in file.undelivered_lines():
        if UNDELIVERED not in selection.states or not selection.is_of_job(line):
            fresh.append(line)
    entries = file.held.entries()
    fresh.held.add([each for each in entries if each.record_id not in removed_ids])


def _copy_times(before: Path, after: Path) -> None:
    """Copy the file times to the new file: the time of a purge depends on them."""
    for old, new in (
        (before, after),
        (position_path(before), position_path(after)),
    ):
        if old.exists():
            status = old.stat()
            os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
