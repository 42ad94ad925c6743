"""Rescue of undelivered records from closed, deleted, moved or truncated files.

The job may close all descriptors. Its user may delete or rename the folder, or empty a
file to make room on the disk. While the process has an open descriptor of the file, the
process can read the undelivered records and write them to a new file.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from trackerapi.outbox.counters import Counters
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.header import Binding
from trackerapi.outbox.names import DELIVERED_FOLDER
from trackerapi.outbox.records import parse_record
from trackerapi.problems import (
    OUTBOX_CUT,
    OUTBOX_DELETED,
    RECORDS_CUT,
    RECORDS_DELETED,
    RECORDS_RESCUED,
    Problems,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """Replacement of closed, deleted, moved or truncated files.

    Attributes:
        folder: Folder of the new files; None if there is no folder.
        fsync: Whether to call `fsync` for the new files.
        problems: Logs the rescued and the lost records.
        counters: Counts the lost records.
    """

    folder: Path | None
    fsync: bool
    problems: Problems
    counters: Counters

    def rescue(
        self, file: OutboxFile, binding: Binding, writer: str
    ) -> OutboxFile | None:
        """Replace a closed, deleted, moved or truncated file; report the problem.

        Returns:
            The given file if it could be opened again, else a new file; None if no
            undelivered record is left, or if the records cannot be read.

        Raises:
            OSError: If the new file cannot be written; the old file is then unchanged.
        """
        undelivered, is_cut = file.undelivered_count, file.is_cut
        fresh = self._replace(file, binding, writer, is_cut=is_cut)
        if is_cut and fresh is not None:
            # A lower bound: some of the remaining records may be delivered already.
            lost = undelivered - fresh.appended
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

    def _replace(
        self, file: OutboxFile, binding: Binding, writer: str, *, is_cut: bool
    ) -> OutboxFile | None:
        if not file.is_ours:
            with suppress(OSError):
                if file.reopen():
                    return file
            return None
        if self.folder is None or (file.is_delivered and not is_cut):
            return None
        if is_cut:
            file.reset_position()
        with file.replacement(self.folder, binding, writer, fsync=self.fsync) as fresh:
            for line in file.undelivered_lines():
                # The first line of a truncated file may be the rest of a record.
                if not is_cut or parse_record(line):
                    fresh.append(line)
        # Fails if the journal of held records was moved with the folder.
        with suppress(OSError):
            file.held.move_to(fresh.held)
        if is_cut:
            with suppress(OSError):
                file.remove()
        return fresh

    def give_up(self, files: list[OutboxFile]) -> None:
        """Close lost files and remove them from `files`; count their lost records."""
        for file in [each for each in files if not each.is_in_place]:
            self.counters.count_dropped("outbox unwritable", file.undelivered_count)
            files.remove(file)
            file.close()


def _is_lost(file: OutboxFile) -> bool:
    """Return whether no process can read the undelivered records of `file`."""
    if file.is_delivered or file.is_ours:
        return False
    # Another process may have claimed the file, delivered it and archived it.
    archived = file.path.parent / DELIVERED_FOLDER / file.path.name
    return not file.path.exists() and not archived.exists()
