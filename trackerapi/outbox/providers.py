"""Memory of an outbox folder: the confirmed provider of each API key.

Another key of the same provider may deliver the records of a key, even if the first key
expired before its last records were delivered. Each process appends whole lines with
one write: processes need no lock, and readers skip the torn line of a crash. No line
has a secret: a key id is the public part of a key.
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
"""Size above which the older half is deleted: each job token adds a line."""

_Key = tuple[str, str]


class Providers:
    """Providers of the API keys that delivered from one folder.

    Safe to share between processes; each instance belongs to one thread.

    Args:
        folder: Outbox folder, which need not exist yet.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._known: dict[_Key, int] = {}
        self._seen: tuple[int, int, int] | None = None

    def find(self, binding: Binding) -> int | None:
        """Return the provider of a key at an address; None if it is not confirmed."""
        if binding.key_id is None:
            return None
        self._refresh()
        return self._known.get((binding.base_url, binding.key_id))

    def confirm(
        self, binding: Binding, ask: Callable[[], int], known: int | None = None
    ) -> int:
        """Ask the backend for the provider of a key, and remember the answer.

        An answer that contradicts an earlier one counts only if a second request
        repeats it: the answer of a misconfigured proxy must not give records to another
        provider.

        Args:
            binding: Address and key id.
            ask: Asks the backend.
            known: Earlier answer from an outbox file; used if the memory has none.

        Raises:
            BackendError: If the backend does not answer, or contradicts itself.
        """
        known = self.find(binding) or known
        provider_id = ask()
        if known not in {None, provider_id}:
            again = ask()
            if again not in {known, provider_id}:
                raise BackendUnavailable(
                    "the backend names another provider for this key each time; "
                    "check the address and proxies between"
                )
            provider_id = again
        self.remember(binding, provider_id)
        return provider_id

    def remember(self, binding: Binding, provider_id: int) -> None:
        """Append the provider of a key, unless the memory has it."""
        if binding.key_id is None or self.find(binding) == provider_id:
            return
        members = replace(binding, provider_id=provider_id).as_members()
        # A folder that cannot be written costs the memory alone: files of the same key
        # id are claimed without it.
        with suppress(OSError):
            make_folder(self._path.parent)
            line = json.dumps(members).encode("ascii") + b"\n"
            if append_lines(self._path, line) > MAX_BYTES:
                self._delete_older_half()

    def _delete_older_half(self) -> None:
        # A line that another process appends meanwhile is lost: the backend is asked
        # for its provider again.
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
        """Return the last lines, `MAX_BYTES` in all; the first one may be torn."""
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
            with suppress(ValueError):  # a torn line
                known = Binding.parse(members)
                if known.key_id is not None and known.provider_id is not None:
                    self._known[known.base_url, known.key_id] = known.provider_id
