"""Outbox of one process: durable queue of the records that are to be delivered.

`append()` returns once the operating system has the record: a later crash of the
process does not lose the record. If the disk refuses a record, the record is kept in
memory, up to 10,000 records and 16 MiB. Nothing here uses the network or sleeps.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trackerapi.errors import OutboxError
from trackerapi.outbox.counters import Counters
from trackerapi.outbox.disk import sync_folder
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.header import Binding
from trackerapi.outbox.records import is_droppable, parse_record
from trackerapi.outbox.rescue import Rescue
from trackerapi.problems import (
    OUTBOX_FULL,
    OUTBOX_UNWRITABLE,
    Problems,
    event_dropped,
    kept_in_memory,
    unwritable,
)
from trackerapi.process.clock import steady_seconds
from trackerapi.process.descriptors import LostFileError

MAX_BACKLOG_RECORDS: Final = 10_000
MAX_BACKLOG_BYTES: Final = 16 * 1024 * 1024
"""Maximum number and size of records in memory while the disk refuses records."""

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
_FILES_IN_LIMIT: Final = 8  # number of full files that together reach `limit_bytes`
_BURST_FACTOR: Final = 4
_DISK_RETRY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxOptions:
    """Folder, size limit and durability of an outbox.

    Attributes:
        folder: Outbox folder; None if this user has no home folder.
        limit_bytes: Size of undelivered records above which the outbox is thinned.
        fsync: Whether `append()` calls `fsync` for each record.
        strict: Whether `append()` raises for a record that the disk refuses. Otherwise
            the record is kept in memory.
    """

    folder: Path | None
    limit_bytes: int
    fsync: bool = False
    strict: bool = False


class Outbox:
    """Outbox files of one process; safe to share between threads.

    Args:
        options: Folder, size limit and durability.
        binding: Destination and owner of the records.
        problems: Logs that the disk refuses records, or that the outbox is full.
        counters: Counts the dropped records.

    Attributes:
        files: Outbox files of this process, oldest first; records are appended to the
            last file.
        backlog: Records in memory, because the disk refused them.
        disk_error: Reason of the last refusal of the disk; empty without a refusal.
        writer: Random word of this outbox, in the headers of its files.
        on_new_file: Called after a new file was made: the previous file can then be
            delivered to its end and archived. None calls nothing.
    """

    def __init__(
        self,
        options: OutboxOptions,
        binding: Binding,
        problems: Problems,
        counters: Counters,
    ) -> None:
        self.options, self.binding, self.writer = options, binding, os.urandom(8).hex()
        self.files: list[OutboxFile] = []
        self.backlog: deque[bytes] = deque()
        self._is_full = self.is_closed = self._needs_checks = False
        self.on_new_file: Callable[[], object] | None = None
        self._problems, self._counters = problems, counters
        self._rescuer = Rescue(
            folder=options.folder,
            fsync=options.fsync,
            problems=problems,
            counters=counters,
        )
        self._file_bytes = min(MAX_FILE_BYTES, options.limit_bytes // _FILES_IN_LIMIT)
        # Reentrant: a signal handler may report in the middle of a report, in the
        # thread that holds the lock.
        self._lock, self._sync_lock = threading.RLock(), threading.RLock()
        self._synced: tuple[OutboxFile | None, int] = (None, 0)
        self._file: OutboxFile | None = None
        self._taken: list[bytes] = []
        self._backlog_bytes, self.disk_error = 0, ""
        self._next_disk_attempt = 0.0

    def append(self, line: bytes) -> bool:
        """Write one record to disk; keep it in memory if the disk refuses it.

        A full outbox drops the record.

        Args:
            line: The record with its line end.

        Returns:
            False if another thread has closed the outbox, and nothing was recorded;
            otherwise True.

        Raises:
            OutboxError: With `strict`, if the disk refused the record or the outbox is
                full; nothing was recorded.
        """
        with self._lock:
            file = self._file
            if file is None or self._needs_checks or file.end > self._file_bytes:
                if not self._append_with_checks(line):
                    return False
            else:
                self._append_to(file, line)
            file = self._file
        if self.options.fsync and file is not None:
            self._sync(file)
        return True

    def _sync(self, file: OutboxFile) -> None:
        """Call `fsync` for all records that were appended so far.

        Threads that wait for the `fsync` of another thread share the next `fsync`.

        Raises:
            OutboxError: With `strict`, if `fsync` fails.
        """
        wanted = file.end
        with self._sync_lock:
            synced_file, synced_end = self._synced
            if synced_file is file and synced_end >= wanted:
                return
            end = file.end
            try:
                file.sync()
            except OSError as error:
                self._report_refusal(error)
                if self.options.strict:
                    raise OutboxError(unwritable(error)) from error
                return
            self._synced = (file, end)

    @property
    def is_full(self) -> bool:
        """Whether new records are dropped: thinning did not make enough room."""
        return self._is_full

    @is_full.setter
    def is_full(self, value: bool) -> None:
        self._is_full = value
        self._needs_checks = value or bool(self.backlog)

    @property
    def mark(self) -> tuple[object, int, int]:
        """Value that changes with each new record."""
        file = self._file
        return file, file.end if file else 0, len(self.backlog)

    @property
    def undelivered_bytes(self) -> int:
        """Size of the undelivered records on disk, in bytes."""
        return sum(file.undelivered_bytes for file in self.files)

    @property
    def undelivered_count(self) -> int:
        """Number of undelivered records, in files and in memory."""
        in_files = sum(file.undelivered_count for file in list(self.files))
        return in_files + len(self.backlog) + len(self._taken)

    @property
    def is_empty(self) -> bool:
        """Whether all records are settled: delivered, held, deferred or dropped."""
        in_memory = len(self.backlog) + len(self._taken)
        return not in_memory and all(file.is_delivered for file in list(self.files))

    def end_current_file(self) -> None:
        """Begin a new file with the next record: the current file is then complete."""
        with self._lock:
            self._file = None

    def replace(self, file: OutboxFile, fresh: OutboxFile | None) -> bool:
        """Replace `file` in `files` by `fresh`; remove `file` if `fresh` is None.

        Returns:
            False if `file` is not in `files`: another thread has removed it, for
            example by `close()`.
        """
        with self._lock:
            if file not in self.files:
                return False
            at = self.files.index(file)
            self.files[at : at + 1] = [] if fresh is None else [fresh]
            return True

    def is_current(self, file: OutboxFile) -> bool:
        """Return whether records may still be appended to `file`."""
        return file is self._file

    def drain_backlog(self) -> bool:
        """Write the backlog to the disk; return whether the backlog is empty now."""
        with self._lock:
            return self._drain()

    def take_backlog(self, max_bytes: int) -> list[bytes]:
        """Remove and return the first records of the backlog, to be delivered.

        The caller has to call `restore_backlog()` afterwards with the undelivered
        records, or an empty list.
        """
        size = 0
        with self._lock:
            while self.backlog and size + len(self.backlog[0]) <= max_bytes:
                # Added to `_taken` before the removal from `backlog`: a thread that
                # counts always finds the record in one of the two.
                self._taken.append(self.backlog[0])
                size += len(self.backlog.popleft())
            self._backlog_bytes -= size
            return list(self._taken)

    def restore_backlog(self, lines: list[bytes]) -> None:
        """Put the undelivered records of `take_backlog()` back into the backlog."""
        with self._lock:
            if self.is_closed:
                return  # `close()` has put the records back
            self.backlog.extendleft(reversed(lines))
            self._taken = []
            self._needs_checks = True
            self._backlog_bytes += sum(map(len, lines))

    def close(self) -> list[OutboxFile]:
        """Accept no more records; return the files, for the caller to release."""
        with self._lock:
            self.rescue_files()
            self.is_closed = True
            # The records in `_taken` are in a request, which may fail. Delivering them
            # a second time is safe: the backend applies each record once.
            self.backlog.extendleft(reversed(self._taken))
            self._taken = []
            self._next_disk_attempt = 0.0
            self._drain()
            if self.options.fsync and self._file is not None:
                # Another thread may have appended a record and not synced it yet: its
                # `sync()` will find the file closed.
                with suppress(OSError):
                    self._file.sync()
            self._counters.count_dropped("outbox unwritable", len(self.backlog))
            self.backlog.clear()
            files, self.files, self._file = self.files, [], None
            self._rescuer.give_up(files)
        return files

    def rescue_files(self) -> None:
        """Replace the files that were closed, deleted, moved or cut."""
        with self._lock:
            for file in list(self.files):
                if not file.is_in_place:
                    self._rescue(file)

    def forget(self) -> None:
        """Close the files in a forked child: the parent delivers their records."""
        for file in self.files:
            file.close()

    def _append_to(self, file: OutboxFile, line: bytes) -> None:
        try:
            try:
                file.append(line)
            except LostFileError:
                self._rescue(file)
                file = self._current_file()
                file.append(line)
        except OSError as error:
            self._handle_refusal(line, error)
        except BaseException:
            # Ctrl-C may interrupt `append()` between the write of the record and its
            # counting: `recover()` finds the new end.
            file.recover()
            raise

    def _rescue(self, file: OutboxFile) -> None:
        """Replace a closed, deleted, moved or truncated file, if the disk allows it."""
        try:
            fresh = self._rescuer.rescue(file, self.binding, self.writer)
        except OSError as error:
            self._report_refusal(error)
            if self._file is file:
                self._file = None  # delivery still reads the file by its descriptor
            return
        self.replace(file, fresh)
        if self._file is file:
            self._file = fresh

    def _append_with_checks(self, line: bytes) -> bool:
        """Append a record if the outbox is full, has a backlog or needs a new file."""
        if self.is_closed:
            return False
        if self.is_full:
            if self.options.strict:
                raise OutboxError("the outbox is full; see `trackerapi outbox list`")
            self._drop(line, "outbox full")
            return True
        # A script may report faster than the delivery thread thins the outbox.
        is_bursting = self.undelivered_bytes > _BURST_FACTOR * self.options.limit_bytes
        if is_bursting and is_droppable(parse_record(line)):
            self._drop(line, "outbox full")
            return True
        if not self._drain():
            self._keep_in_memory(line)
            return True
        try:
            self._append_to(self._current_file(), line)
        except OSError as error:
            self._handle_refusal(line, error)
        return True

    def _current_file(self) -> OutboxFile:
        """Return the file to append to; make a new file if the last is lost or full."""
        if self._file is not None and not self._file.is_in_place:
            self._rescue(self._file)
        if self._file is None or self._file.end > self._file_bytes:
            folder = self.options.folder
            if folder is None:
                raise OSError("this user has no home folder")
            if self._file is not None and self.options.fsync:
                self._file.sync()
            self._file = OutboxFile.create(folder, self.binding, "", self.writer)
            self.files.append(self._file)
            if self.on_new_file is not None:
                self.on_new_file()
            if self.options.fsync:
                sync_folder(folder)
        return self._file

    def _drain(self) -> bool:
        """Append the backlog to a file; return whether the backlog is empty now.

        The caller holds the lock.
        """
        left = self._next_disk_attempt - steady_seconds()
        # A longer time is from a clock that a test has frozen: do not wait for it.
        if self.backlog and 0 < left <= _DISK_RETRY_SECONDS:
            return False
        while self.backlog:
            try:
                self._current_file().append(self.backlog[0])
            except OSError:
                self._next_disk_attempt = steady_seconds() + _DISK_RETRY_SECONDS
                return False
            self._backlog_bytes -= len(self.backlog.popleft())
        self._needs_checks = self._is_full
        return True

    def _handle_refusal(self, line: bytes, error: OSError) -> None:
        self._next_disk_attempt = steady_seconds() + _DISK_RETRY_SECONDS
        self._report_refusal(error)
        if self.options.strict:
            raise OutboxError(unwritable(error)) from error
        self._keep_in_memory(line)

    def _report_refusal(self, error: OSError) -> None:
        self.disk_error = error.strerror or str(error)
        message = kept_in_memory(error, MAX_BACKLOG_RECORDS)
        self._problems.report(OUTBOX_UNWRITABLE, message)

    def _keep_in_memory(self, line: bytes) -> None:
        room = MAX_BACKLOG_BYTES - self._backlog_bytes
        if len(self.backlog) >= MAX_BACKLOG_RECORDS or len(line) > room:
            self._drop(line, "outbox unwritable")
            return
        self.backlog.append(line)
        self._backlog_bytes += len(line)
        self._needs_checks = True

    def _drop(self, line: bytes, reason: str) -> None:
        self._counters.count_dropped(reason)
        counts = not is_droppable(parse_record(line))
        message = event_dropped(reason, counts=counts)
        self._problems.report(OUTBOX_FULL, message, reason)
