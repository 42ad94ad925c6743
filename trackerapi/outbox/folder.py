"""Outbox folder: claims of leftover files, the archive, and the events of a job.

Leftover files are those of processes that ended before all records were delivered.
"""

import errno
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from trackerapi.errors import BackendError
from trackerapi.files import open_for_reading
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.header import Binding, Header, header_of, read_header
from trackerapi.outbox.names import DELIVERED_FOLDER, RECORDS_SUFFIX, position_path
from trackerapi.outbox.providers import Providers
from trackerapi.outbox.records import Creation, in_order, parse_creation, parse_record
from trackerapi.process.clock import wall_nanoseconds
from trackerapi.process.forks import no_forks

KEEP_DELIVERED_SECONDS: Final = 24 * 3600.0
_APPLICATION: Final = "trackerapi"
_MAX_LISTINGS: Final = 5


def default_folder(
    environment: Mapping[str, str] | None = None, platform: str = sys.platform
) -> Path:
    """Return the folder for the state of this user's programs, by platform.

    The rule is that of `user_state_path` of platformdirs.

    Raises:
        OSError: If this user has no home folder.
    """
    environment = os.environ if environment is None else environment
    state = Path(environment.get("XDG_STATE_HOME", "").strip())
    if state.is_absolute():
        return state / _APPLICATION
    try:
        home = Path.home()
    except RuntimeError:
        raise OSError(errno.ENOENT, "this user has no home folder") from None
    if platform == "darwin":
        return home / "Library" / "Application Support" / _APPLICATION
    return home / ".local" / "state" / _APPLICATION


class OutboxFolder:
    """Folder of outbox files.

    Args:
        path: Path of the folder, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._providers = Providers(path)

    @property
    def delivered_path(self) -> Path:
        """Folder of archived files, of which all records are delivered."""
        return self.path / DELIVERED_FOLDER

    def paths(self, *, delivered: bool = False) -> list[Path]:
        """Return the outbox files, oldest first; an empty list without a folder.

        Args:
            delivered: Whether to return the archived files instead of the others.
        """
        folder = self.delivered_path if delivered else self.path
        try:
            with os.scandir(folder) as entries:
                names = sorted(
                    entry.name
                    for entry in entries
                    # Opening a pipe would block until another program writes to it.
                    if entry.name.endswith(RECORDS_SUFFIX)
                    and entry.is_file(follow_symlinks=False)
                )
        except OSError:
            return []
        return [folder / name for name in names]

    def all_paths(self) -> list[Path]:
        """Return all outbox files, archived ones too, oldest first."""
        # In this order: a file that is archived between both listings is in the second.
        found = {path.name: path for path in self.paths()}
        found |= {path.name: path for path in self.paths(delivered=True)}
        return [found[name] for name in sorted(found)]

    def headers(self) -> Iterator[Header]:
        """Iterate over the headers of files that are not archived, oldest first."""
        return filter(None, map(header_of, self.paths()))

    def claim(
        self,
        binding: Binding,
        known: set[Path],
        on_claimed: Callable[[OutboxFile], object] = lambda _file: None,
        on_unusable: Callable[[OutboxFile, OSError], object] = lambda _file, _error: (
            None
        ),
    ) -> Iterator[OutboxFile]:
        """Claim leftover files with the same destination and provider, oldest first.

        Args:
            binding: Address and key of the caller.
            known: Files that the caller has open.
            on_claimed: Called with each claimed file while forking is blocked: a forked
                child has to know the file to close it, or the child keeps its lock.
            on_unusable: Called with each file that has an unusable journal, for example
                one that root has made. Other files are delivered.
        """
        busy: set[str] = set()
        for path in self.paths():
            header = None if path in known else header_of(path)
            if header is None or header.writer in busy:
                continue
            if not self.admits(binding, header.binding):
                continue
            try:
                file = _claimed(path, on_claimed)
            except OSError:
                continue  # no process of this user can deliver the file
            if file is not None:
                if _is_usable(file, on_unusable):
                    yield file
            elif header.writer and path.exists():
                # Another process delivers the file. Later files of its writer have to
                # follow it, or their records would overtake.
                busy.add(header.writer)

    def admits(self, binding: Binding, other: Binding) -> bool:
        """Return whether the key of `binding` may deliver records with `other`.

        Args:
            binding: Address, key and, once the backend has named it, provider.
            other: Binding in the header of a file.
        """
        return binding.admits(replace(other, provider_id=self._provider_of(other)))

    def is_confirmed(self, binding: Binding) -> bool:
        """Return whether a backend at this address ever accepted this key."""
        return self._provider_of(binding) is not None

    def has_foreign(self, binding: Binding) -> bool:
        """Return whether the folder holds files for this backend from another key.

        The backend has to say whether the key is of the same provider.
        """
        return any(
            header.binding.base_url == binding.base_url
            and self.is_confirmed(header.binding)
            and not self.admits(binding, header.binding)
            for header in self.headers()
        )

    def confirm_provider(
        self,
        binding: Binding,
        identify: Callable[[], int],
        list_key_ids: Callable[[], Iterable[str]],
    ) -> int:
        """Ask the backend for the provider of a key; see `Providers.confirm()`.

        Args:
            binding: Address and key id.
            identify: Asks the backend for the provider of the key.
            list_key_ids: Asks for the ids of the provider's other keys. Called only
                if the folder holds files of unknown keys: a key that ended may never
                have reached the backend.

        Raises:
            BackendError: If the backend does not answer, or contradicts itself.
        """
        known = self._provider_in_headers(binding)
        provider_id = self._providers.confirm(binding, identify, known)
        unknown = {
            header.binding.key_id
            for header in self.headers()
            if header.binding.base_url == binding.base_url
            and not self.is_confirmed(header.binding)
        }
        if unknown - {None}:
            with suppress(BackendError):  # only `admin` keys may list keys
                for key_id in unknown.intersection(list_key_ids()):
                    self._providers.remember(
                        replace(binding, key_id=key_id), provider_id
                    )
        return provider_id

    def _provider_of(self, binding: Binding) -> int | None:
        # The memory first: its newest line corrects a wrong answer in the header.
        return self._providers.find(binding) or binding.provider_id

    def _provider_in_headers(self, binding: Binding) -> int | None:
        for known in (header.binding for header in self.headers()):
            if known.provider_id is None or known.key_id != binding.key_id:
                continue
            if known.base_url == binding.base_url:
                return known.provider_id
        return None

    def release(self, file: OutboxFile) -> None:
        """Close a claimed or own file; archive it first if all records are delivered.

        A file with held or deferred records stays in the folder.
        """
        with suppress(OSError):
            file.held.refresh()
            # Without a lock, the owner of the file may be running and append to it.
            if file.is_delivered and file.has_lock and file.held.counts() == (0, 0):
                file.held.path.unlink(missing_ok=True)
                file.move_to(self.delivered_path)
        file.close()

    def purge(self, *, older_than_seconds: float = KEEP_DELIVERED_SECONDS) -> None:
        """Delete archived files that were changed last longer ago than that."""
        oldest = wall_nanoseconds() / 1e9 - older_than_seconds
        for path in self.paths(delivered=True):
            with suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
                    position_path(path).unlink(missing_ok=True)

    def find_creation(self, binding: Binding, provider_job_id: str) -> Creation | None:
        """Return the newest creation of a job in any file; None without one.

        Args:
            binding: Address and key: only files that they may deliver are read.
            provider_job_id: The provider's id of the job.
        """
        for file in self._opened(binding, newest_first=True):
            with suppress(OSError):
                creations = filter(None, map(parse_creation, file))
                found = [c for c in creations if c.provider_job_id == provider_job_id]
                if found:
                    return found[-1]
        return None

    def events_of(self, binding: Binding, provider_job_id: str) -> list[dict[str, Any]]:
        """Return the events of a job in any file, in the order of their times.

        Args:
            binding: Address and key: only files that they may deliver are read.
            provider_job_id: The provider's id of the job.
        """
        found: dict[str, dict[str, Any]] = {}
        quoted = json.dumps(provider_job_id).encode("ascii")
        for file in self._opened(binding):
            with suppress(OSError):
                # Most lines are of other jobs, and need not be parsed to find that out.
                for line in filter(lambda line: quoted in line, file):
                    event = parse_record(line)
                    if event.get("provider_job_id") == provider_job_id:
                        found[str(event.get("event_id"))] = event
        return in_order(found.values())

    def _opened(
        self, binding: Binding, *, newest_first: bool = False
    ) -> Iterator[BinaryIO]:
        """Yield each file, positioned after its header.

        Read a file even if another process archives it meanwhile. A file may come
        twice.

        Args:
            binding: Address and key: only files that they may deliver are read.
            newest_first: Whether to begin with the newest file instead of the oldest.
        """
        for _ in range(_MAX_LISTINGS):
            is_missing = False
            paths = self.all_paths()
            for path in reversed(paths) if newest_first else paths:
                try:
                    with open_for_reading(path) as file:
                        found = read_header(file.fileno())
                        if found is not None and self.admits(binding, found[0].binding):
                            file.seek(found[1])
                            yield file
                except FileNotFoundError:
                    is_missing = True
                except OSError:
                    continue
            if not is_missing:
                return


def _claimed(
    path: Path, on_claimed: Callable[[OutboxFile], object]
) -> OutboxFile | None:
    """Claim a file and call `on_claimed` before another thread can fork."""
    with no_forks():
        file = OutboxFile.claim(path)
        if file is not None:
            on_claimed(file)
    return file


def _is_usable(
    file: OutboxFile, on_unusable: Callable[[OutboxFile, OSError], object]
) -> bool:
    """Return whether the journal of a file can be used; close and report it if not."""
    try:
        file.held.check()
    except OSError as error:
        file.close()
        on_unusable(file, error)
        return False
    return True
