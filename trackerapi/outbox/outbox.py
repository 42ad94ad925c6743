"""Durable queue of this process: records wait here for the courier.

`append()` returns once the record has left the process. Where the disk refuses,
records wait in memory up to a bound. Nothing here uses the network or sleeps.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from trackerapi.errors import OutboxError
from trackerapi.outbox.counters import Counters
from trackerapi.outbox.disk import sync_folder
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.header import Binding
from trackerapi.outbox.options import OutboxOptions
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
"""Bounds of what waits in memory while the disk refuses."""

LARGEST_FILE_BYTES: Final = 64 * 1024 * 1024
_SHARES: Final = 8  # files that the limit is for
_FULL_TIMES: Final = 4
_DISK_RETRY_SECONDS: Final = 1.0


class Outbox:
    """What one process appends to; safe to share between threads.

    Args:
        options: Where and how.
        binding: Where the records are to go.
        problems: Told when the disk refuses or the outbox is full.
        counters: Told what was dropped.

    Attributes:
        files: Files of this process with records, oldest first; the last one is
            appended to.
        backlog: Records that the disk refused.
        disk_error: Why the disk refused a record last; empty if it never did.
        writer: By which its files are known to belong together.
        on_new_file: Called when another file is begun, so that the last can be seen to.
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
        self._is_full = self.is_closed = self._needs_care = False
        self.on_new_file: Callable[[], object] | None = None
        self._problems, self._counters = problems, counters
        self._rescuing = Rescue(options, problems, counters)
        self._file_bytes = min(LARGEST_FILE_BYTES, options.limit_bytes // _SHARES)
        # A signal handler may report in the middle of a report.
        self._lock, self._sync_lock = threading.RLock(), threading.RLock()
        self._synced: tuple[OutboxFile | None, int] = (None, 0)
        self._file: OutboxFile | None = None
        self._taken: list[bytes] = []
        self._backlog_bytes, self.disk_error = 0, ""
        self._next_disk_attempt = 0.0

    def append(self, line: bytes) -> bool:
        """Write one record; it has left the process when this returns True.

        Args:
            line: The record with its line end.

        Returns:
            False if the outbox was closed meanwhile; nothing was recorded.

        Raises:
            OutboxError: With `strict`, if the disk refused it or the outbox is full;
                then nothing was recorded.
        """
        with self._lock:
            file = self._file
            if file is None or self._needs_care or file.end > self._file_bytes:
                if not self._append_with_care(line):
                    return False
            else:
                self._append_to(file, line)
            file = self._file
        if self.options.fsync and file is not None:
            self._sync(file)
        return True

    def _sync(self, file: OutboxFile) -> None:
        """Bring what was appended so far to the disk itself.

        Threads that come while another one is at it share the next turn.

        Raises:
            OutboxError: If the disk refuses.
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
                self._tell(error)
                if self.options.strict:
                    raise OutboxError(unwritable(error)) from error
                return
            self._synced = (file, end)

    @property
    def is_full(self) -> bool:
        """Whether records are refused; set when thinning out did not make room."""
        return self._is_full

    @is_full.setter
    def is_full(self, value: bool) -> None:
        self._is_full = value
        self._needs_care = value or bool(self.backlog)

    @property
    def mark(self) -> tuple[object, int, int]:
        """Something that differs once a record has come."""
        file = self._file
        return file, file.end if file else 0, len(self.backlog)

    @property
    def undelivered_bytes(self) -> int:
        """Size of what is not settled, on disk."""
        return sum(file.undelivered_bytes for file in self.files)

    @property
    def undelivered_count(self) -> int:
        """Records that are not settled, in files and in memory."""
        in_files = sum(file.undelivered_count for file in list(self.files))
        return in_files + len(self.backlog) + len(self._taken)

    @property
    def is_empty(self) -> bool:
        """Whether everything is settled."""
        in_memory = len(self.backlog) + len(self._taken)
        return not in_memory and all(file.is_delivered for file in list(self.files))

    def turn_over(self) -> None:
        """Begin a new file with the next record, so that the last can be put away."""
        with self._lock:
            self._file = None

    def replace(self, file: OutboxFile, thinner: OutboxFile | None) -> bool:
        """Put another file of the same records, or none, in the place of one.

        Returns:
            False if the file was given away meanwhile, as by `close()`.
        """
        with self._lock:
            if file not in self.files:
                return False
            at = self.files.index(file)
            self.files[at : at + 1] = [] if thinner is None else [thinner]
            return True

    def is_current(self, file: OutboxFile) -> bool:
        """Tell whether `file` may still be appended to."""
        return file is self._file

    def drain_backlog(self) -> bool:
        """Try to write to disk what waits in memory; return whether that is empty."""
        with self._lock:
            return self._drain()

    def take_backlog(self, most_bytes: int) -> list[bytes]:
        """Remove and return the first records of the backlog, for delivery.

        `restore_backlog()` has to follow, with what was not delivered.
        """
        size = 0
        with self._lock:
            while self.backlog and size + len(self.backlog[0]) <= most_bytes:
                # In this order: at no time is one in neither of them.
                self._taken.append(self.backlog[0])
                size += len(self.backlog.popleft())
            self._backlog_bytes -= size
            return list(self._taken)

    def restore_backlog(self, lines: list[bytes]) -> None:
        """Put back what `take_backlog()` gave and could not be delivered."""
        with self._lock:
            if self.is_closed:
                return  # which has seen to them
            self.backlog.extendleft(reversed(lines))
            self._taken = []
            self._needs_care = True
            self._backlog_bytes += sum(map(len, lines))

    def close(self) -> list[OutboxFile]:
        """Take no more records; return the files, for the caller to put away."""
        with self._lock:
            self.look_after_files()
            self.is_closed = True
            # What is on its way may not arrive: twice does no harm.
            self.backlog.extendleft(reversed(self._taken))
            self._taken = []
            self._next_disk_attempt = 0.0
            self._drain()
            if self.options.fsync and self._file is not None:
                # For a thread that has appended, and finds the file put away.
                with suppress(OSError):
                    self._file.sync()
            self._counters.count_dropped("outbox unwritable", len(self.backlog))
            self.backlog.clear()
            files, self.files, self._file = self.files, [], None
            self._rescuing.give_up(files)
        return files

    def look_after_files(self) -> None:
        """Put new files in the place of those closed, deleted, moved or cut."""
        with self._lock:
            for file in list(self.files):
                if not file.is_in_place:
                    self._rescue(file)

    def forget(self) -> None:
        """Let go of everything without a trace, in a child that has it from a fork."""
        for file in self.files:
            file.close()

    def _append_to(self, file: OutboxFile, line: bytes) -> None:
        try:
            try:
                file.append(line)
            except LostFileError:
                self._rescue(file)
                file = self._current()
                file.append(line)
        except OSError as error:
            self._refused(line, error)
        except BaseException:
            # Ctrl-C between the write and its bookkeeping must not lose a record.
            file.recover()
            raise

    def _rescue(self, file: OutboxFile) -> None:
        """Put another file in the place of one that takes no more."""
        try:
            fresh = self._rescuing.replacement(file, self.binding, self.writer)
        except OSError as error:
            self._tell(error)
            if self._file is file:
                self._file = None  # its records are still delivered by its descriptor
            return
        self.replace(file, fresh)
        if self._file is file:
            self._file = fresh

    def _append_with_care(self, line: bytes) -> bool:
        if self.is_closed:
            return False
        if self.is_full:
            if self.options.strict:
                raise OutboxError("the outbox is full; see `trackerapi outbox list`")
            self._drop(line, "outbox full")
            return True
        # Records may come faster than room can be made.
        is_bursting = self.undelivered_bytes > _FULL_TIMES * self.options.limit_bytes
        if is_bursting and is_droppable(parse_record(line)):
            self._drop(line, "outbox full")
            return True
        if not self._drain():
            self._keep_in_memory(line)
            return True
        try:
            self._append_to(self._current(), line)
        except OSError as error:
            self._refused(line, error)
        return True

    def _current(self) -> OutboxFile:
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
        left = self._next_disk_attempt - steady_seconds()
        if self.backlog and 0 < left <= _DISK_RETRY_SECONDS:  # more: a frozen clock
            return False
        while self.backlog:
            try:
                self._current().append(self.backlog[0])
            except OSError:
                self._next_disk_attempt = steady_seconds() + _DISK_RETRY_SECONDS
                return False
            self._backlog_bytes -= len(self.backlog.popleft())
        self._needs_care = self._is_full
        return True

    def _refused(self, line: bytes, error: OSError) -> None:
        self._next_disk_attempt = steady_seconds() + _DISK_RETRY_SECONDS
        self._tell(error)
        if self.options.strict:
            raise OutboxError(unwritable(error)) from error
        self._keep_in_memory(line)

    def _tell(self, error: OSError) -> None:
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
        self._needs_care = True

    def _drop(self, line: bytes, reason: str) -> None:
        self._counters.count_dropped(reason)
        counts = not is_droppable(parse_record(line))
        message = event_dropped(reason, counts=counts)
        self._problems.report(OUTBOX_FULL, message, reason)
