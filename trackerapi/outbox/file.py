"""Outbox file: the records of one process, and the position of delivery.

`append()` returns once the record has left the process. A position file beside the
outbox file has the position up to which all records are settled: delivered, or in the
journal of held records. The position is written after the delivery: a crash can cause a
second delivery but never a loss. Nothing here uses the network.
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
_PATH_CHECK_SECONDS: Final = 0.1  # time between checks of the path during appends
_FIRST_BYTES: Final = 64 * 1024


class OutboxFile:
    """Open outbox file, locked as long as it is open.

    One thread may append while another thread reads and settles; other calls are not
    safe to share between threads.

    Attributes:
        path: Path of the file.
        header: First line of the file.
        start: Position of the first record.
        end: Position behind the last whole record.
        position: Position up to which all records are settled.
        delivered: Number of records that the backend accepted.
        dropped: Number of damaged records.
        appended: Number of records that this process appended.
        settled: Number of records that this process settled.
        held: Journal of held and deferred records.
        has_lock: Whether the file system supports the lock. Without a lock the file is
            never deleted: its owner may be running.
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
            binding: Address and key that the records are for.
            begun: First part of the name, by which files sort; now by default.
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
            # lock the empty file, or even remove it: then make another one.
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
        """Claim a leftover file: open and lock it, to deliver its undelivered records.

        Return None if the owner is running, if another process has claimed the file,
        or if it is no outbox file of a known version.

        Raises:
            OSError: If the file cannot be opened.
        """
        return cls._open(path, os.O_RDWR, locks=True)

    @classmethod
    def view(cls, path: Path) -> Self | None:
        """Open a file for reading, also one of a running process; take no lock.

        The result shows one moment of the file: each record that was undelivered then
        lies behind the position, or in the journal.

        Return None if it is no outbox file of a known version.

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
                # one had the lock.
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
        # The owner moves a record to the journal first, and the position afterwards.
        # Reading in the opposite order misses no record: position, end, journal.
        known = SettledPosition.read(self._position_file.path)
        self.find_end()
        if known is None or not self.start <= known.position <= self.end:
            return
        # A position inside a record is damage: deliver the file from its start.
        if self._descriptor.read(1, known.position - 1) == b"\n":
            self.position = known.position
            self.delivered, self.dropped = known.delivered, known.dropped

    @property
    def is_ours(self) -> bool:
        """Whether the descriptor still belongs to the file."""
        return self._file is not None and self._file.is_ours

    @property
    def is_in_place(self) -> bool:
        """Whether the whole file still lies at its path."""
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
        """Open the file again after the job has closed it; return whether that worked.

        Raises:
            OSError: If the file cannot be opened.
        """
        before = self._descriptor
        self._file = file = Descriptor(open_file(self.path, os.O_RDWR | os.O_APPEND))
        # The lock went with the old descriptor: another process may have it now.
        if before.is_same_file(file) and self._lock():
            return True
        self._file = before
        file.close()
        return False

    @property
    def is_delivered(self) -> bool:
        """Whether no record lies behind the position; the journal does not count."""
        return self.position >= self.end

    @property
    def undelivered_count(self) -> int:
        """Number of undelivered records that this process appended."""
        # At least one: Ctrl-C may have come between a record and its counting.
        return 0 if self.is_delivered else max(self.appended - self.settled, 1)

    @property
    def undelivered_bytes(self) -> int:
        """Size of the undelivered records."""
        return self.end - self.position

    @property
    def settled_at(self) -> datetime | None:
        """Time at which a record was settled last; None if no record ever was."""
        try:
            seconds = self._position_file.path.stat().st_mtime
            return datetime.fromtimestamp(seconds, UTC)
        except (OSError, OverflowError, ValueError):  # no file, or no year of a date
            return None

    def append(self, line: bytes) -> None:
        """Write one record; a later crash of the process does not lose it.

        Raises:
            LostFileError: If the file was closed, deleted, moved or cut.
            OSError: If the record could not be written; no part of it is left.
        """
        file, now = self._file or self._descriptor, steady_seconds()
        try:  # in few steps: after a pause each one finds the processor's caches cold
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
            self.appended += 1  # readers count the torn line too

    def _cut_off(self) -> None:
        """Cut off the part of a record that was written before the disk was full.

        The next record would be appended to that part and be lost with it.
        """
        self._is_torn = True
        with suppress(OSError):
            os.ftruncate(self._descriptor.checked(), self.end)
            self._is_torn = False

    def recover(self) -> None:
        """Find the end again after an append that Ctrl-C or another signal ended."""
        before = self.end
        self.find_end()
        if self.end > before:
            with suppress(OSError):
                self.appended += self.read(before, self.end - before).count(b"\n")

    def reset_position(self) -> None:
        """Make all records undelivered, after another program has cut the file.

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
            OSError: If the disk refuses.
        """
        try:
            os.fsync(self._descriptor.checked())
        except OSError:
            if self._file is not None:  # else another thread has closed the file
                raise

    def peek(self, max_bytes: int) -> bytes:
        """Return the oldest undelivered records: whole lines, as many as fit.

        A single line that does not fit is returned alone.
        """
        return self.read(self.position, max_bytes)

    def read(self, position: int, max_bytes: int) -> bytes:
        """Return whole lines from `position` on, at least one if there is one.

        Raises:
            LostFileError: If the file was closed or cut.
            OSError: If the lines cannot be read.
        """
        file = self._file  # another thread may close the file meanwhile
        if file is None:
            return b""
        wanted = max_bytes
        left = self.end - position  # another thread may append meanwhile
        while True:
            wanted = min(wanted, left)
            chunk = file.read(wanted, position, self.end)
            is_longer = wanted > max_bytes  # for a single line that did not fit
            cut = (chunk.find(b"\n") if is_longer else chunk.rfind(b"\n")) + 1
            if cut or wanted >= left:
                return chunk[:cut]
            wanted *= 2

    def settled_lines(self) -> Iterator[bytes]:
        """Iterate over the settled records, each with its line end.

        Raises:
            OSError: If they cannot be read.
        """
        return self._lines(self.start, self.position)

    def undelivered_lines(self) -> Iterator[bytes]:
        """Iterate over the undelivered records, each with its line end.

        Raises:
            OSError: If they cannot be read.
        """
        return self._lines(self.position, self.end)

    def count_undelivered_lines(self) -> int:
        """Read the undelivered records, also of other processes; return their number.

        Raises:
            OSError: If they cannot be read.
        """
        chunks = self._chunks(self.position, self.end)
        return sum(chunk.count(b"\n") for chunk in chunks)

    def oldest_undelivered_at(self) -> datetime | None:
        """Return the time of the oldest undelivered event; None without one.

        Return None as well if another thread archives the file meanwhile.
        """
        with suppress(OSError):
            return first_time(split_lines(self.peek(_FIRST_BYTES)))
        return None

    def _lines(self, begin: int, end: int) -> Iterator[bytes]:
        for chunk in self._chunks(begin, end):
            yield from split_lines(chunk)

    def _chunks(self, begin: int, end: int) -> Iterator[bytes]:
        """Iterate over the whole lines between two positions, many at a time."""
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
        """Make a file that takes the place of this one; the context writes its records.

        Its name begins with the same time, so that the order of files stays. If the
        context raises, the new file is deleted, and this one is unchanged.

        Args:
            folder: Folder of the new file.
            binding: Destination of the new file.
            writer: Random word of the writing process; see `Header`.
            fsync: Whether to call `fsync` for the new file at the end of the context.

        Raises:
            OSError: If the new file cannot be written.
        """
        fresh = type(self).create(folder, binding, begun_of(self.path), writer)
        try:
            yield fresh
            if fsync:
                # The caller removes this file next, of which all records may be on the
                # disk: a power failure must not lose them.
                fresh.sync()
                sync_folder(folder)
        except BaseException:
            fresh.remove()
            raise

    def settle(
        self, byte_count: int, line_count: int, *, delivered: int, dropped: int = 0
    ) -> None:
        """Move the settled position over the first undelivered records.

        Args:
            byte_count: Size of the records.
            line_count: Number of the records.
            delivered: Number of those that the backend accepted.
            dropped: Number of those that are damaged.
        """
        self.position += byte_count
        self.settled += line_count
        self.delivered += delivered
        self.dropped += dropped
        settled = SettledPosition(
            position=self.position, delivered=self.delivered, dropped=self.dropped
        )
        # Without the written position, a crash causes a second delivery: no harm.
        with suppress(OSError):
            self._position_file.write(settled)

    def name_provider(self, provider_id: int) -> None:
        """Write the provider of the records into the header.

        Raises:
            OSError: If the header cannot be written.
        """
        binding = replace(self.header.binding, provider_id=provider_id)
        self.header = replace(self.header, binding=binding)
        line = self.header.as_line(self.start)
        if len(line) != self.start:
            return
        # Another descriptor: the one for records appends (O_APPEND), even by pwrite().
        fd = open_file(self.path, os.O_WRONLY)
        try:
            if self.is_in_place:
                os.pwrite(fd, line, 0)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Close the file, which releases the lock: another process may claim it."""
        # In this order: a reading thread must not take the file for open.
        file, self._file = self._file, None
        if file is not None:
            file.close()
        self._position_file.close()

    def move_to(self, folder: Path) -> None:
        """Move the file and its position to another folder, unless they lie there.

        Raises:
            OSError: If a file cannot be moved.
        """
        if self.path.parent == folder:
            return
        make_folder(folder)
        # The records last: after a crash in between, they lie in the outbox without a
        # position, and are delivered a second time.
        for path in (position_path(self.path), self.path):
            if path.exists():
                path.rename(folder / path.name)
        self.path = folder / self.path.name
        os.utime(self.path)  # delivered files are deleted some time after the move

    def remove(self) -> None:
        """Delete the file, its position and its journal.

        Raises:
            OSError: If a file cannot be deleted.
        """
        # The records first: without them, no process reads the other two.
        for path in (self.path, position_path(self.path), self.held.path):
            path.unlink(missing_ok=True)
        self.close()

    def _lock(self) -> bool:
        try:
            return try_lock(self._descriptor.checked())
        except NoLocksError:
            # Two processes that deliver the same records do no harm; records that no
            # process delivers do.
            self.has_lock = False
            return True

    def find_end(self) -> None:
        """Set `end` behind the last whole line: no call returned for a torn one."""
        if self._file is not None:
            with suppress(LostFileError):
                self.end = self._file.end_of_lines(self.start)
