"""One outbox file: the records of one process, and the position of delivery.

`append()` returns once the record has left the process. Beside the file, `.ack` has the
position up to which all records are settled: delivered, or held in the journal of
rejected records. `.ack` is written after the delivery: a crash can cause a second
delivery but never a loss. Nothing here uses the network.
"""

import errno
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

from trackerapi.outbox.disk import (
    NoLocksError,
    make_folder,
    open_file,
    try_lock,
    write_whole,
)
from trackerapi.outbox.header import (
    FORMAT_VERSION,
    LONGEST_HEADER_BYTES,
    Binding,
    Header,
)
from trackerapi.outbox.held import HeldJournal
from trackerapi.outbox.position import PositionFile, Settled
from trackerapi.process.clock import steady_seconds, wall_nanoseconds
from trackerapi.process.descriptors import Descriptor, LostFileError

SUFFIX: Final = ".outbox"
_ATTEMPTS_TO_CREATE: Final = 5
_LOOK_SECONDS: Final = 0.1  # between looks at the path while records come


class OutboxFile:
    """An open outbox file, locked as long as it is open.

    One thread may append while another one reads and settles; other calls are not safe
    to share between threads.

    Attributes:
        path: Path of the file.
        header: First line of the file.
        start: Position of the first record.
        end: Position behind the last whole record.
        position: Position up to which all records are settled.
        delivered: Number of records that the backend accepted.
        appended: Records appended by this process.
        settled: Records settled by this process.
        has_lock: Whether the file system supports the lock; without a lock the file is
            never deleted, since its owner may be running.
    """

    def __init__(self, path: Path, fd: int, header: Header, start: int) -> None:
        self.path, self.header, self.start = path, header, start
        self.end = self.position = start
        self.delivered = self.appended = self.settled = self.dropped = 0
        self.has_lock, self._is_torn, self._looked_at = True, False, 0.0
        self.held = HeldJournal(path.with_suffix(".held"))
        self._file: Descriptor | None = Descriptor(fd)
        self._position_file = PositionFile(path.with_suffix(".ack"))

    @classmethod
    def create(
        cls, folder: Path, binding: Binding, stem: str = "", writer: str = ""
    ) -> Self:
        """Make a new file in `folder`; make the folder if it does not exist.

        Args:
            folder: Outbox folder.
            binding: Address and key that the records are for.
            stem: Begin of the name, by which files sort; the time by default.
            writer: Id of the writing process; see `Header`.

        Raises:
            OSError: If the folder or file cannot be written.
        """
        make_folder(folder)
        header = Header.new(binding, writer)
        line = header.as_line()
        for _ in range(_ATTEMPTS_TO_CREATE):
            name = f"{stem or format(wall_nanoseconds(), '019d')}-{os.urandom(6).hex()}"
            path = folder / f"{name}{SUFFIX}"
            fd = open_file(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND)
            file = cls(path, fd, header, len(line))
            # A process that looks for leftover files may have locked or even removed
            # the empty file in between; then it is not ours.
            if file._lock() and os.fstat(fd).st_nlink > 0:
                try:
                    write_whole(fd, line)
                except OSError:
                    file.remove()
                    raise
                return file
            os.close(fd)
        raise OSError(errno.EBUSY, "no outbox file could be locked", str(folder))

    @classmethod
    def claim(cls, path: Path) -> Self | None:
        """Claim a leftover file, to deliver its undelivered records.

        Returns:
            None if its owner is running, another process has claimed it, or it is no
            outbox file of a known version.

        Raises:
            OSError: If it cannot be opened.
        """
        fd = open_file(path, os.O_RDWR)
        try:
            header_line = os.pread(fd, LONGEST_HEADER_BYTES, 0).partition(b"\n")
            header = Header.parse(header_line[0])
            if header is None or not header_line[1] or header.version > FORMAT_VERSION:
                os.close(fd)
                return None
            file = cls(path, fd, header, len(header_line[0]) + 1)
            # Another process may have delivered and moved it before the lock.
            if not file._lock() or not path.exists():
                os.close(fd)
                return None
        except BaseException:
            os.close(fd)
            raise
        file.find_end()
        file._read_position()
        return file

    @property
    def is_ours(self) -> bool:
        """Whether the descriptor still belongs to the file."""
        return self._file is not None and self._file.is_ours

    @property
    def is_in_place(self) -> bool:
        """Whether the file still lies at its path, so that appended records stay."""
        is_whole = self.is_ours and not self.is_cut
        return is_whole and self._descriptor.is_at(self.path)

    @property
    def is_cut(self) -> bool:
        """Whether somebody has cut the file: not all that was appended is in it."""
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
            OSError: If it cannot be opened.
        """
        before = self._descriptor
        self._file = file = Descriptor(open_file(self.path, os.O_RDWR | os.O_APPEND))
        if before.is_same_file(file) and self._lock():
            return True
        self._file = before
        file.close()
        return False

    @property
    def is_delivered(self) -> bool:
        """Whether no undelivered record is left; held records are not counted."""
        return self.position >= self.end

    @property
    def undelivered_count(self) -> int:
        """Number of records of this process that are not settled."""
        # At least one: Ctrl-C may have come between a record and its counting.
        return 0 if self.is_delivered else max(self.appended - self.settled, 1)

    @property
    def undelivered_bytes(self) -> int:
        """Size of the unsettled records."""
        return self.end - self.position

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
        if not is_ours or now - self._looked_at > _LOOK_SECONDS:
            file.check_place(self.path, self.end)
            self._looked_at = now
        if self._is_torn:
            self._cut_off()
            line = b"\n" + line if self._is_torn else line
        written = os.pwrite(file.number, line, self.end)  # `os.write` moves the mark
        if written != len(line):
            self._cut_off()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        self.end += written
        self.appended += 1
        if self._is_torn:
            self._is_torn = False
            self.find_end()
            self.appended += 1  # what is torn is a line too, for whoever reads it

    def _cut_off(self) -> None:
        """Cut off the part of a record that was written before the disk was full.

        The next record would be appended to that part and be lost with it.
        """
        self._is_torn = True
        with suppress(OSError):
            os.ftruncate(self._descriptor.checked(), self.end)
            self._is_torn = False

    def recover(self) -> None:
        """Find the end again after an interrupted append, as by Ctrl-C."""
        before = self.end
        self.find_end()
        if self.end > before:
            with suppress(OSError):
                self.appended += self.read(before, self.end - before).count(b"\n")

    def begin_anew(self) -> None:
        """Take all records that are left for unsettled, after somebody cut the file."""
        self.start = self.position = 0
        self.find_end()
        header = self.read(0, LONGEST_HEADER_BYTES).partition(b"\n")[0]
        if Header.parse(header) is not None:
            self.start = self.position = len(header) + 1

    def sync(self) -> None:
        """Call `fsync` for all appended records.

        Raises:
            OSError: If the disk refuses.
        """
        try:
            os.fsync(self._descriptor.checked())
        except OSError:
            if self._file is not None:  # else it was put away meanwhile
                raise

    def peek(self, most_bytes: int) -> bytes:
        """Return the oldest unsettled records: whole lines, as many as fit.

        A single line that does not fit is returned alone.
        """
        return self.read(self.position, most_bytes)

    def read(self, position: int, most_bytes: int) -> bytes:
        """Return whole lines from `position` on, at least one if there is one.

        Raises:
            LostFileError: If the file was closed or cut.
            OSError: If they cannot be read, as of a file that is archived meanwhile.
        """
        file = self._file  # another thread may put the file away meanwhile
        if file is None:
            return b""
        wanted = most_bytes
        left = self.end - position  # another thread may append meanwhile
        while True:
            wanted = min(wanted, left)
            chunk = file.read(wanted, position, self.end)
            is_longer = wanted > most_bytes  # and so holds one line that is
            cut = (chunk.find(b"\n") if is_longer else chunk.rfind(b"\n")) + 1
            if cut or wanted >= left:
                return chunk[:cut]
            wanted *= 2

    def settle(
        self, byte_count: int, line_count: int, *, delivered: int, dropped: int = 0
    ) -> None:
        """Move the settled position over the first unsettled records."""
        self.position += byte_count
        self.settled += line_count
        self.delivered += delivered
        self.dropped += dropped
        settled = Settled(
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
        # The descriptor for records would append.
        fd = open_file(self.path, os.O_WRONLY)
        try:
            if self.is_in_place:
                os.pwrite(fd, line, 0)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Close the file; another process may then claim it."""
        # In this order: a reading thread must not take the file for open.
        file, self._file = self._file, None
        if file is not None:
            file.close()
        self._position_file.close()

    def move_to(self, folder: Path) -> None:
        """Move the file, its position and its journal to another folder.

        Raises:
            OSError: If a file cannot be moved.
        """
        make_folder(folder)
        # The records last: the position has to lie where the records are.
        for path in (self.path.with_suffix(".ack"), self.path):
            if path.exists():
                path.rename(folder / path.name)
        self.path = folder / self.path.name
        os.utime(self.path)  # from now on it is kept for a while

    def remove(self) -> None:
        """Delete the file, its position and its journal.

        Raises:
            OSError: If a file cannot be deleted.
        """
        for suffix in (".outbox", ".ack", ".held"):
            self.path.with_suffix(suffix).unlink(missing_ok=True)
        self.close()

    def _lock(self) -> bool:
        try:
            return try_lock(self._descriptor.checked())
        except NoLocksError:
            # Two deliverers do no harm; records that nobody delivers do.
            self.has_lock = False
            return True

    def find_end(self) -> None:
        """Set `end` behind the last whole line: no call returned for a torn one."""
        if self._file is not None:
            with suppress(LostFileError):
                self.end = self._file.end_of_lines(self.start)

    def _read_position(self) -> None:
        known = Settled.read(self._position_file.path)
        if known is None or not self.start <= known.position <= self.end:
            return
        if self._descriptor.read(1, known.position - 1) == b"\n":
            self.position = known.position
            self.delivered, self.dropped = known.delivered, known.dropped
