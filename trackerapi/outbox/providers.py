"""File of providers in an outbox folder: the confirmed provider of each API key.

The file lets another key of the same provider deliver the records of an expired key.
Each process appends complete lines with one write: processes need no lock, and readers
skip the torn line of a crash. The file contains no secret: a key id is the public part
of a key.
"""

import json
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from trackerapi.errors import BackendUnavailable
from trackerapi.outbox.disk import append_lines, make_folder, open_file, write_whole
from trackerapi.outbox.header import Binding
from trackerapi.outbox.records import parse_record

FILE_NAME: Final = "providers.jsonl"
MAX_BYTES: Final = 1024 * 1024
"""Maximum size of the file, in bytes: each job token adds a line.

The older half of a larger file is deleted.
"""

_Key = tuple[str, str]


class Providers:
    """Providers of the API keys that delivered from one folder.

    Processes may share the file; each instance belongs to one thread.

    Args:
        folder: Outbox folder; the folder need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._known: dict[_Key, int] = {}
        self._seen: tuple[int, int, int] | None = None

    def find(self, binding: Binding) -> int | None:
        """Return the confirmed provider of a key at an address, or None."""
        if binding.key_id is None:
            return None
        self._refresh()
        return self._known.get((binding.base_url, binding.key_id))

    def confirm(
        self, binding: Binding, ask: Callable[[], int], known: int | None = None
    ) -> int:
        """Ask the backend for the provider of a key, and remember the answer.

        An answer that contradicts an earlier answer is accepted only if a second
        request repeats it. Otherwise one wrong answer of a misconfigured proxy could
        give the records to another provider.

        Args:
            binding: Address and key id.
            ask: Asks the backend and returns the provider.
            known: Provider in the header of an outbox file, used if the file of
                providers lacks the key; None if no header has it.

        Raises:
            BackendError: If the backend does not answer, or names another provider each
                time.
        """
        known = self.find(binding) or known
        provider_id = ask()
        if known not in {None, provider_id}:
            again = ask()
            if again not in {known, provider_id}:
                raise BackendUnavailable(
                    "the backend names a different provider for this key each time; "
                    "check the address, and the proxies on the way to the backend"
                )
            provider_id = again
        self.remember(binding, provider_id)
        return provider_id

    def remember(self, binding: Binding, provider_id: int) -> None:
        """Append the provider of a key, unless the file has this provider already."""
        if binding.key_id is None or self.find(binding) == provider_id:
            return
        members = replace(binding, provider_id=provider_id).as_members()
        # A failed write does no harm to this key: files with its key id are claimed
        # without the line.
        with suppress(OSError):
            make_folder(self._path.parent)
            line = json.dumps(members).encode("ascii") + b"\n"
            if append_lines(self._path, line) > MAX_BYTES:
                self._delete_older_half()

    def _delete_older_half(self) -> None:
        # A line that another process appends between read and replacement is lost: the
        # next process with its key asks the backend again.
        lines = self._newest_lines()
        # A random name: processes of other containers may have the same process id.
        shorter = self._path.with_suffix(f".{os.urandom(6).hex()}")
        fd = open_file(shorter, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        try:
            write_whole(fd, b"".join(lines[len(lines) // 2 :]), shorter)
            shorter.replace(self._path)
        finally:
            os.close(fd)
            shorter.unlink(missing_ok=True)

    def _newest_lines(self) -> list[bytes]:
        """Return the last `MAX_BYTES` as lines; the first line may be incomplete."""
        with self._path.open("rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - MAX_BYTES, 0))
            return file.read(MAX_BYTES).splitlines(keepends=True)

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
            seen = status.st_ino, status.st_size, status.st_mtime_ns
            # Opening a pipe would block until another program writes to it.
            if seen == self._seen or not stat.S_ISREG(status.st_mode):
                return
            lines = self._newest_lines()
        except OSError:
            return
        self._seen = seen
        for members in map(parse_record, lines):
            with suppress(ValueError):  # raised for a torn line
                known = Binding.parse(members)
                if known.key_id is not None and known.provider_id is not None:
                    self._known[known.base_url, known.key_id] = known.provider_id
