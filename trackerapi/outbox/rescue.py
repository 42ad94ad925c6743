"""New places for undelivered records whose file was closed, deleted, moved or cut.

The job may close all descriptors; its user may delete or rename the folder, or empty a
file to make room on the disk. Undelivered records are read by the descriptor as long
as there is one, and written to a new file.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass

from trackerapi.outbox.counters import Counters
from trackerapi.outbox.disk import DELIVERED, sync_folder
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.header import Binding
from trackerapi.outbox.options import OutboxOptions
from trackerapi.outbox.records import MAX_BATCH_BYTES, parse_record, split_lines
from trackerapi.problems import (
    OUTBOX_CUT,
    OUTBOX_DELETED,
    RECORDS_CUT,
    RECORDS_DELETED,
    RECORDS_RESCUED,
    Problems,
)


@dataclass(frozen=True, slots=True)
class Rescue:
    """Writes new files for the records of files that were closed, deleted or moved.

    Attributes:
        options: Folder and limits of the new files.
        problems: Logs the rescued and the lost records.
        counters: Counts the lost records.
    """

    options: OutboxOptions
    problems: Problems
    counters: Counters

    def replacement(
        self, file: OutboxFile, binding: Binding, writer: str
    ) -> OutboxFile | None:
        """Return the file that replaces one that was closed, deleted, moved or cut.

        Returns:
            As `_rescued()`.

        Raises:
            OSError: If no new file can be written; the old one is then unchanged.
        """
        waiting, is_cut = file.undelivered_count, file.is_cut
        fresh = _rescued(file, self.options, binding, writer)
        if is_cut and fresh is not None:
            lost = waiting - fresh.appended  # at least: some of those are delivered
            self.counters.count_dropped("outbox cut", max(lost, 0))
            self.problems.report(OUTBOX_CUT, RECORDS_CUT)
        elif fresh is None and _is_lost(file):
            self.counters.count_dropped("outbox deleted", file.undelivered_count)
            self.problems.report(
                OUTBOX_DELETED, RECORDS_DELETED, "lost", level=logging.ERROR
            )
        elif fresh is not None and fresh is not file:
            self.problems.report(OUTBOX_DELETED, RECORDS_RESCUED)
        if fresh is not file:
            file.close()
        return fresh

    def give_up(self, files: list[OutboxFile]) -> None:
        """Count the records as lost for which no new file could be written."""
        for file in [each for each in files if not each.is_in_place]:
            self.counters.count_dropped("outbox unwritable", file.undelivered_count)
            files.remove(file)
            file.close()


def _rescued(
    file: OutboxFile, options: OutboxOptions, binding: Binding, writer: str
) -> OutboxFile | None:
    """Return the file that has the undelivered records of the given one.

    Returns:
        The given file if it could be opened again, else a new one; None if
        no undelivered record is left, or none can be read.

    Raises:
        OSError: If no new file can be written.
    """
    if not file.is_ours:
        with suppress(OSError):
            if file.reopen():
                return file
        return None
    is_cut = file.is_cut
    if options.folder is None or (file.is_delivered and not is_cut):
        return None
    if is_cut:
        file.begin_anew()
    stem = file.path.stem.partition("-")[0]
    fresh = OutboxFile.create(options.folder, binding, stem, writer)
    try:
        _copy_undelivered(file, fresh, is_cut=is_cut)
        if options.fsync:
            fresh.sync()
            sync_folder(options.folder)
    except OSError:
        fresh.remove()
        raise
    with suppress(OSError):  # of a file that was deleted alone
        file.held.path.rename(fresh.held.path)
        fresh.held.refresh()
    if is_cut:
        with suppress(OSError):
            file.remove()
    return fresh


def _is_lost(file: OutboxFile) -> bool:
    """Return whether no process can read the undelivered records of `file`."""
    if file.is_delivered or file.is_ours:
        return False
    # Another process may have claimed the file, and delivered it.
    delivered = file.path.parent / DELIVERED / file.path.name
    return not file.path.exists() and not delivered.exists()


def _copy_undelivered(file: OutboxFile, fresh: OutboxFile, *, is_cut: bool) -> None:
    position = file.position
    while chunk := file.read(position, MAX_BATCH_BYTES):
        for line in split_lines(chunk):
            if not is_cut or parse_record(line):  # else the rest of a record
                fresh.append(line)
        position += len(chunk)
