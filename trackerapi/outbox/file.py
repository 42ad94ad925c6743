"""Outbox file: the records of one process, and the position of delivery.

`append()` returns once the operating system has the record: a crash of the process does
not lose the record. Two more files lie beside the outbox file: the position up to which
all records are settled, and the journal of held and deferred records. Nothing here uses
the network.
"""

import errno
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from trackerapi.outbox.disk import (
    NoLocksError,
    make_folder,
    open_file,
    sync_folder,
    try_lock,
    write_whole,
)
from trackerapi.outbox.header import Binding, Header, read_header
from trackerapi.outbox.held import HeldJournal
from trackerapi.outbox.names import begun_of, new_name, position_path
from trackerapi.outbox.position import PositionFile, SettledPosition
from trackerapi.outbox.records import MAX_BATCH_BYTES, first_time, split_lines
from trackerapi.process.clock import steady_seconds
from trackerapi.process.descriptors import Descriptor, LostFileError

_MAX_ATTEMPTS_TO_CREATE: Final = 5
_PATH_CHECK_SECONDS: Final = 0.1  # time between two checks of the path by `append()`
_FIRST_BYTES: Final = 64 * 1024


class OutboxFile:
    """Open outbox file; locked while it is open, unless `view()` opened it.

    One thread may call `append()` while another thread reads records and calls
    `settle()`; other calls are not safe to share between threads.

    Attributes:
        path: Path of the file.
        header: First line of the file.
        start: Position of the first record, in bytes from the start of the file.
        end: Position after the last complete record.
        position: Position up to which all records are settled.
        delivered: Number of records that the backend accepted.
        dropped: Number of damaged records, which are lost.
        appended: Number of records that this process appended.
        settled: Number of records that this process settled.
        held: Journal of held and deferred records.
        has_lock: Whether the file system supports locks. Without a lock the file is
            never archived: its owner may be running.
    """

    def __init__(self, path: Path, fd: int, header: Header, start: int) -> None:
        self.path, self.header, self.start = path, header, start
        self.end = self.position = start
        self.delivered = self.appended = self.settled = self.dropped = 0
        self.has_lock, self._is_torn, self._path_checked_at = True, False, 0.0
        self.held = HeldJournal.beside(path)
        self._file: Descriptor | None = Descriptor(fd)
        self._position_file = PositionFile(position_path(path))

    @classmethod
    def create(
        cls, folder: Path, binding: Binding, begun: str = "", writer: str = ""
    ) -> Self:
        """Make a new file in `folder`; make the folder if it does not exist.

        Args:
            folder: Outbox folder.
            binding: Destination and owner of the records.
            begun: Creation time in the name, by which files sort, as text in
                nanoseconds; the current time by default.
            writer: Random word of the writing process; see `Header`.

        Raises:
            OSError: If the folder or file cannot be written.
        """
        make_folder(folder)
        header = Header.new(binding, writer)
        line = header.as_line()
        for _ in range(_MAX_ATTEMPTS_TO_CREATE):
            path = folder / new_name(begun)
            fd = open_file(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND)
            file = cls(path, fd, header, len(line))
            # Between open and lock, a process that searches for leftover files may
            # lock the empty file, or even remove it: the loop then makes another file.
            if file._lock() and os.fstat(fd).st_nlink > 0:
                try:
                    write_whole(fd, line, folder)
                except OSError:
                    file.remove()
                    raise
                return file
            os.close(fd)
        raise OSError(errno.EBUSY, "no outbox file could be locked", str(folder))

    @classmethod
    def claim(cls, path: Path) -> Self | None:
        """Open and lock a leftover file, to deliver its undelivered records.

        Return None if the owner is running, if another process has claimed the file,
        or if the file has no header of a known version.

        Raises:
            OSError: If the file cannot be opened.
        """
        return cls._open(path, os.O_RDWR, locks=True)

    @classmethod
    def view(cls, path: Path) -> Self | None:
        """Open a file for reading without a lock, even while its owner is running.

        The result is a snapshot: each record that was undelivered at that moment is
        after the position, or in the journal.

        Return None if the file has no header of a known version.

        Raises:
            OSError: If the file or its journal cannot be read.
        """
        return cls._open(path, os.O_RDONLY, locks=False)

    @classmethod
    def _open(cls, path: Path, flags: int, *, locks: bool) -> Self | None:
        fd = open_file(path, flags)
        file = None
        try:
            found = read_header(fd)
            if found is not None and found[0].is_readable:
                opened = cls(path, fd, *found)
                # Another process may have delivered and archived the file before this
                # process got the lock.
                if not locks or (opened._lock() and path.exists()):
                    opened._read_state()
                    if not locks:
                        opened.held.refresh()
                    file = opened
        finally:
            if file is None:
                os.close(fd)
        return file

    def _read_state(self) -> None:
        # The owner writes a record to the journal before it moves the position. The
        # opposite order of reading (position, end, journal) misses no record.
        known = SettledPosition.read(self._position_file.path)
        self.find_end()
        if known is None or not self.start <= known.position <= self.end:
            return
        # A position inside a record is damaged: the file is delivered from its start.
        if self._descriptor.read(1, known.position - 1) == b"\n":
            self.position = known.position
            self.delivered, self.dropped = known.delivered, known.dropped

    @property
    def is_ours(self) -> bool:
        """Whether the descriptor still belongs to the file."""
        return self._file is not None and self._file.is_ours

    @property
    def is_in_place(self) -> bool:
        """Whether the file is still at its path, and no program has shortened it."""
        is_whole = self.is_ours and not self.is_cut
        return is_whole and self._descriptor.is_at(self.path)

    @property
    def is_cut(self) -> bool:
        """Whether another program has shortened the file: appended records are gone."""
        try:
            self._descriptor.checked(size=self.end)
        except LostFileError:
            return self.is_ours
        return False

    @property
    def _descriptor(self) -> Descriptor:
        if self._file is None:
            raise LostFileError(errno.EBADF, "the file is closed", str(self.path))
        return self._file

    def reopen(self) -> bool:
        """Open and lock the file again after the job closed it; return whether locked.

        Raises:
            OSError: If the file cannot be opened.
        """
        before = self._descriptor
        self._file = file = Descriptor(open_file(self.path, os.O_RDWR | os.O_APPEND))
        # Closing the old descriptor released the lock: another process may have it now.
        if before.is_same_file(file) and self._lock():
            return True
        self._file = before
        file.close()
        return False

    @property
    def is_delivered(self) -> bool:
        """Whether all records are settled: delivered, held, deferred or dropped."""
        return self.position >= self.end

    @property
    def undelivered_count(self) -> int:
        """Number of undelivered records that this process appended."""
        # At least 1: Ctrl-C may have interrupted `append()` after the write of a record
        # and before its counting.
        return 0 if self.is_delivered else max(self.appended - self.settled, 1)

    @property
    def undelivered_bytes(self) -> int:
        """Size of the undelivered records, in bytes."""
        return self.end - self.position

    @property
    def settled_at(self) -> datetime | None:
        """Time at which a record was last settled; None if no record is settled."""
        try:
            seconds = self._position_file.path.stat().st_mtime
            return datetime.fromtimestamp(seconds, UTC)
        except (OSError, OverflowError, ValueError):  # no file, or a year above 9999
            return None

    def append(self, line: bytes) -> None:
        """Write one record; a later crash of the process does not lose it.

        Raises:
            LostFileError: If the file was closed, deleted, moved or cut.
            OSError: If the record could not be written.
        """
        file, now = self._file or self._descriptor, steady_seconds()
        try:  # few calls: after a pause, each call finds cold processor caches
            is_ours = os.lseek(file.number, 0, os.SEEK_CUR) == file.mark
        except OSError:
            is_ours = False
        if not is_ours or now - self._path_checked_at > _PATH_CHECK_SECONDS:
            file.check_path(self.path, self.end)
            self._path_checked_at = now
        if self._is_torn:
            self._cut_off()
            line = b"\n" + line if self._is_torn else line
        # pwrite: `os.write()` would move the mark of the descriptor.
        written = os.pwrite(file.number, line, self.end)
        if written != len(line):
            self._cut_off()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        self.end += written
        self.appended += 1
        if self._is_torn:
            self._is_torn = False
            self.find_end()
            self.appended += 1  # the torn line is settled as one more record

    def _cut_off(self) -> None:
        """Cut off the part of a record that was written before the disk was full.

        Otherwise the next record would continue that part as one damaged line.
        """
        self._is_torn = True
        with suppress(OSError):
            os.ftruncate(self._descriptor.checked(), self.end)
            self._is_torn = False

    def recover(self) -> None:
        """Update `end` and `appended` after an exception interrupted `append()`."""
        before = self.end
        self.find_end()
        if self.end > before:
            with suppress(OSError):
                self.appended += self.read(before, self.end - before).count(b"\n")

    def reset_position(self) -> None:
        """Make all records undelivered, after another program has shortened the file.

        Raises:
            OSError: If the file cannot be read.
        """
        found = read_header(self._descriptor.checked())
        # Without a header, the first line may be the rest of a record.
        self.start = self.position = 0 if found is None else found[1]
        self.find_end()

    def sync(self) -> None:
        """Call `fsync` for all appended records.

        Raises:
            OSError: If `fsync` fails.
        """
        try:
            os.fsync(self._descriptor.checked())
        except OSError:
            if self._file is not None:  # else another thread has closed the file
                raise

    def peek(self, max_bytes: int) -> bytes:
        """Return the oldest undelivered records; see `read()`."""
        return self.read(self.position, max_bytes)

    def read(self, position: int, max_bytes: int) -> bytes:
        """Return complete lines from `position` on, up to `max_bytes`.

        A first line longer than `max_bytes` is returned alone. The result is empty at
        the end of the file, or if another thread has closed the file.

        Raises:
            LostFileError: If the file was closed or cut.
            OSError: If the lines cannot be read.
        """
        file = self._file  # `close()` in another thread may set `_file` to None
        if file is None:
            return b""
        wanted = max_bytes
        left = self.end - position  # `append()` in another thread may move `end`
        while True:
            wanted = min(wanted, left)
            chunk = file.read(wanted, position, self.end)
            is_longer = wanted > max_bytes  # the first line is longer than `max_bytes`
            cut = (chunk.find(b"\n") if is_longer else chunk.rfind(b"\n")) + 1
            if cut or wanted >= left:
                return chunk[:cut]
            wanted *= 2

    def settled_lines(self) -> Iterator[bytes]:
        """Iterate over the settled records, each with its line end.

        Raises:
            OSError: If the file cannot be read.
        """
        return self._lines(self.start, self.position)

    def undelivered_lines(self) -> Iterator[bytes]:
        """Iterate over the undelivered records, each with its line end.

        Raises:
            OSError: If the file cannot be read.
        """
        return self._lines(self.position, self.end)

    def count_undelivered_lines(self) -> int:
        """Return the number of undelivered records, whichever process appended them.

        Raises:
            OSError: If the file cannot be read.
        """
        chunks = self._chunks(self.position, self.end)
        return sum(chunk.count(b"\n") for chunk in chunks)

    def oldest_undelivered_at(self) -> datetime | None:
        """Return the time of the oldest undelivered event; None without an event."""
        with suppress(OSError):
            return first_time(split_lines(self.peek(_FIRST_BYTES)))
        return None

    def _lines(self, begin: int, end: int) -> Iterator[bytes]:
        for chunk in self._chunks(begin, end):
            yield from split_lines(chunk)

    def _chunks(self, begin: int, end: int) -> Iterator[bytes]:
        """Yield the complete lines between two positions, in chunks of about 1 MiB."""
        while begin < end:
            chunk = self.read(begin, min(end - begin, MAX_BATCH_BYTES))
            if not chunk:
                return
            begin += len(chunk)
            yield chunk

    @contextmanager
    def replacement(
        self, folder: Path, binding: Binding, writer: str, *, fsync: bool = False
    ) -> Generator[Self]:
        """Make a file that replaces this file; the `with` block writes its records.

        The name of the new file begins with the time in the name of this file, so that
        the order of files stays. If the block raises, the new file is deleted.

        Args:
            folder: Folder of the new file.
            binding: Destination and owner of the records in the new file.
            writer: Random word of the writing process; see `Header`.
            fsync: Whether to call `fsync` for the new file at the end of the block.

        Raises:
            OSError: If the new file cannot be written.
        """
        fresh = type(self).create(folder, binding, begun_of(self.path), writer)
        try:
            yield fresh
            if fsync:
                # The caller deletes this file next. Without `fsync`, a power failure
                # after the deletion could lose records that were on the disk before.
                fresh.sync()
                sync_folder(folder)
        except BaseException:
            fresh.remove()
            raise

    def settle(
        self, byte_count: int, line_count: int, *, delivered: int, dropped: int = 0
    ) -> None:
        """Settle the first undelivered records: move the position behind the records.

        Args:
            byte_count: Size of the settled records, in bytes.
            line_count: Number of settled records.
            delivered: Number of settled records that the backend accepted.
            dropped: Number of settled records that are damaged.
        """
        self.position += byte_count
        self.settled += line_count
        self.delivered += delivered
        self.dropped += dropped
        settled = SettledPosition(
            position=self.position, delivered=self.delivered, dropped=self.dropped
        )
        # If the write fails, a crash causes a second delivery, which does no harm.
        with suppress(OSError):
            self._position_file.write(settled)

    def name_provider(self, provider_id: int) -> None:
        """Write the provider of the records into the header, if the padding suffices.

        Raises:
            OSError: If the header cannot be written.
        """
        binding = replace(self.header.binding, provider_id=provider_id)
        self.header = replace(self.header, binding=binding)
        line = self.header.as_line(self.start)
        if len(line) != self.start:
            return
        # A second descriptor: the descriptor of the records is open with O_APPEND, so
        # even `pwrite()` appends.
        fd = open_file(self.path, os.O_WRONLY)
        try:
            if self.is_in_place:
                os.pwrite(fd, line, 0)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Close the file and release the lock: another process may claim the file."""
        # Cleared before the close: a reading thread must not find a closed descriptor.
        file, self._file = self._file, None
        if file is not None:
            file.close()
        self._position_file.close()

    def move_to(self, folder: Path) -> None:
        """Move the file and its position file to `folder`, unless they are there.

        Raises:
            OSError: If a file cannot be moved.
        """
        if self.path.parent == folder:
            return
        make_folder(folder)
        # The records are moved last: a crash between both moves leaves the records in
        # the outbox without a position, so they are delivered a second time.
        for path in (position_path(self.path), self.path):
            if path.exists():
                path.rename(folder / path.name)
        self.path = folder / self.path.name
        os.utime(self.path)  # `purge()` counts the age of the file from the move

    def remove(self) -> None:
        """Delete the file, its position and its journal.

        Raises:
            OSError: If a file cannot be deleted.
        """
        # The records first: without the records, no process reads the other two files.
        for path in (self.path, position_path(self.path), self.held.path):
            path.unlink(missing_ok=True)
        self.close()

    def _lock(self) -> bool:
        try:
            return try_lock(self._descriptor.checked())
        except NoLocksError:
            # Without locks, two processes may deliver the same records, and the backend
            # ignores the duplicates. Requiring a lock would stop all delivery.
            self.has_lock = False
            return True

    def find_end(self) -> None:
        """Set `end` after the last complete line.

        A torn last line is ignored: its `append()` never returned.
        """
        if self._file is not None:
            with suppress(LostFileError):
                self.end = self._file.end_of_lines(self.start)
