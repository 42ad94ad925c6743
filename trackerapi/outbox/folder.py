"""Outbox folder: claims of leftover files, archive of delivered files, events of a job.

A leftover file is the file of a process that ended before all records of the file were
delivered.
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
from trackerapi.outbox.records import (
    Creation,
    parse_creation,
    parse_record,
    sort_events,
)
from trackerapi.process.clock import wall_nanoseconds
from trackerapi.process.forks import no_forks

KEEP_DELIVERED_SECONDS: Final = 24 * 3600.0
_APPLICATION: Final = "trackerapi"
_MAX_LISTINGS: Final = 5


def default_folder(
    environment: Mapping[str, str] | None = None, platform: str = sys.platform
) -> Path:
    """Return the default outbox folder of this user on a platform.

    The folder is the same as `platformdirs.user_state_path("trackerapi")`.

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
        path: Path of the folder; the folder need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._providers = Providers(path)

    @property
    def delivered_path(self) -> Path:
        """Folder of archived files: all their records are delivered."""
        return self.path / DELIVERED_FOLDER

    def paths(self, *, delivered: bool = False) -> list[Path]:
        """Return the paths of the outbox files, oldest first.

        The list is empty if the folder cannot be read.

        Args:
            delivered: Whether to list the archived files instead of the files that are
                not archived.
        """
        folder = self.delivered_path if delivered else self.path
        try:
            with os.scandir(folder) as entries:
                names = sorted(
                    entry.name
                    for entry in entries
                    # Only regular files: opening a pipe would block until another
                    # program writes to the pipe.
                    if entry.name.endswith(RECORDS_SUFFIX)
                    and entry.is_file(follow_symlinks=False)
                )
        except OSError:
            return []
        return [folder / name for name in names]

    def all_paths(self) -> list[Path]:
        """Return the paths of all outbox files, oldest first; archived files too."""
        # The archive is listed second: a file that is archived between the two listings
        # is in the second listing.
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
        """Claim the leftover files that this key may deliver, oldest first.

        Args:
            binding: Address and key of the caller.
            known: Paths of the files that the caller has open; they are skipped.
            on_claimed: Called with each claimed file while forking is blocked: a forked
                child has to know the file to close it, or the child keeps its lock.
            on_unusable: Called with each file that is skipped because its journal
                cannot be read or written, and with the error. An example is a journal
                that root has made.
        """
        busy: set[str] = set()
        for path in self.paths():
            header = None if path in known else header_of(path)
            if header is None or header.writer in busy:
                continue
            if not self.admits(binding, header.binding):
                continue
            try:
                file = _claim_file(path, on_claimed)
            except OSError:
                continue  # this user may not open the file
            if file is not None:
                if _is_usable(file, on_unusable):
                    yield file
            elif header.writer and path.exists():
                # Another process delivers the file. Later files of the same writer are
                # skipped: their records must not overtake the records of this file.
                busy.add(header.writer)

    def admits(self, binding: Binding, other: Binding) -> bool:
        """Return whether the key of `binding` may deliver records bound to `other`.

        Args:
            binding: Address and key of the caller, and its provider if known.
            other: Binding in the header of a file.
        """
        return binding.admits(replace(other, provider_id=self._provider_of(other)))

    def is_confirmed(self, binding: Binding) -> bool:
        """Return whether a backend at this address ever accepted this key."""
        return self._provider_of(binding) is not None

    def has_foreign(self, binding: Binding) -> bool:
        """Return whether the folder has files for this backend from another key.

        The other key may be of the same provider: the caller has to ask the backend for
        the provider of `binding`. Files of unconfirmed keys do not count.
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
            identify: Asks the backend and returns the provider of the key.
            list_key_ids: Asks the backend and returns the ids of the provider's keys.
                Called only if the folder has files of unconfirmed keys: a key may have
                expired before any of its requests reached the backend.

        Raises:
            BackendError: If the backend does not answer, or names another provider each
                time.
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
        # The file of providers has priority: its newest line corrects a wrong provider
        # in the header.
        return self._providers.find(binding) or binding.provider_id

    def _provider_in_headers(self, binding: Binding) -> int | None:
        for known in (header.binding for header in self.headers()):
            if known.provider_id is None or known.key_id != binding.key_id:
                continue
            if known.base_url == binding.base_url:
                return known.provider_id
        return None

    def release(self, file: OutboxFile) -> None:
        """Archive a file if all its records are delivered; close the file.

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
        """Delete archived files last modified more than `older_than_seconds` ago."""
        oldest = wall_nanoseconds() / 1e9 - older_than_seconds
        for path in self.paths(delivered=True):
            with suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
                    position_path(path).unlink(missing_ok=True)

    def find_creation(self, binding: Binding, provider_job_id: str) -> Creation | None:
        """Return the newest creation of a job in all files; None without a creation.

        Args:
            binding: Address and key of the caller; only files that this key may
                deliver are read.
            provider_job_id: The provider's id of the job.
        """
        for file in self._open_files(binding, newest_first=True):
            with suppress(OSError):
                creations = filter(None, map(parse_creation, file))
                found = [c for c in creations if c.provider_job_id == provider_job_id]
                if found:
                    return found[-1]
        return None

    def events_of(self, binding: Binding, provider_job_id: str) -> list[dict[str, Any]]:
        """Return the events of a job in all files, sorted by time.

        Args:
            binding: Address and key of the caller; only files that this key may
                deliver are read.
            provider_job_id: The provider's id of the job.
        """
        found: dict[str, dict[str, Any]] = {}
        quoted = json.dumps(provider_job_id).encode("ascii")
        for file in self._open_files(binding):
            with suppress(OSError):
                # Most lines belong to other jobs: the search for the id saves parsing
                # each line.
                for line in filter(lambda line: quoted in line, file):
                    event = parse_record(line)
                    if event.get("provider_job_id") == provider_job_id:
                        found[str(event.get("event_id"))] = event
        return sort_events(found.values())

    def _open_files(
        self, binding: Binding, *, newest_first: bool = False
    ) -> Iterator[BinaryIO]:
        """Yield each file that the key may deliver, positioned after its header.

        The folder is listed again if another process has archived a file between
        listing and opening. A file may then be yielded twice.

        Args:
            binding: Address and key of the caller; only files that this key may
                deliver are read.
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


def _claim_file(
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
    """Return whether the journal can be read and written; else skip the file.

    A skipped file is closed and passed to `on_unusable`.
    """
    try:
        file.held.check()
    except OSError as error:
        file.close()
        on_unusable(file, error)
        return False
    return True
