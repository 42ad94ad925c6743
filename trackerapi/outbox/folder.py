"""The folder that outbox files lie in: where it is, and what others have left there."""

import errno
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

from trackerapi.errors import BackendError
from trackerapi.outbox.disk import DELIVERED
from trackerapi.outbox.file import SUFFIX, OutboxFile
from trackerapi.outbox.header import LONGEST_HEADER_BYTES, Binding, Header
from trackerapi.outbox.providers import Providers
from trackerapi.outbox.records import (
    CREATION_START,
    Creation,
    parse_creation,
    parse_record,
)
from trackerapi.process.clock import wall_nanoseconds
from trackerapi.process.forks import unforked
from trackerapi.times import parse_rfc3339

KEEP_DELIVERED_SECONDS: Final = 24 * 3600.0
_APPLICATION: Final = "trackerapi"
_MOST_LOOKS: Final = 5


def default_folder(
    environment: Mapping[str, str] | None = None, platform: str = sys.platform
) -> Path:
    """Return the folder for what a user's programs have to remember.

    The rule is that of platformdirs' `user_state_path`.

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
    """A folder of outbox files.

    Args:
        path: Where it lies; need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._providers = Providers(path)

    @property
    def delivered_path(self) -> Path:
        """Where files go of which all is delivered."""
        return self.path / DELIVERED

    def paths(self, *, delivered: bool = False) -> list[Path]:
        """Return the outbox files, oldest first; none if there is no such folder."""
        folder = self.delivered_path if delivered else self.path
        try:
            with os.scandir(folder) as entries:
                names = sorted(
                    entry.name
                    for entry in entries
                    # A pipe would be waited for.
                    if entry.name.endswith(SUFFIX)
                    and entry.is_file(follow_symlinks=False)
                )
        except OSError:
            return []
        return [folder / name for name in names]

    def claim(
        self,
        binding: Binding,
        known: set[Path],
        note: Callable[[OutboxFile], object] = lambda _file: None,
        set_aside: Callable[[OutboxFile, OSError], object] = lambda _file, _error: None,
    ) -> Iterator[OutboxFile]:
        """Take over what others have left for the same destination and provider.

        Args:
            binding: Where the caller delivers to, and whose records.
            known: Files that the caller has open.
            note: Called with each file before a fork may happen: a child that knows
                nothing of it would hold it as long as it lives.
            set_aside: Called with each file whose journal of held records cannot be
                used, as where root has made it; other files are delivered.
        """
        busy: set[str] = set()
        for path in self.paths():
            header = None if path in known else read_header(path)
            if header is None or header.writer in busy:
                continue
            if not self.admits(binding, header.binding):
                continue
            try:
                file = _claimed(path, note)
            except OSError:
                continue  # which nobody can deliver, and holds up nothing
            if file is not None:
                if _is_usable(file, set_aside):
                    yield file
            elif header.writer and path.exists():
                # Somebody else delivers it; what came later must not overtake it.
                busy.add(header.writer)

    def admits(self, binding: Binding, other: Binding) -> bool:
        """Return whether records bound like `other` may be delivered as `binding`.

        Args:
            binding: Address, key and, once the backend has named it, provider.
            other: As the header of a file has it.
        """
        return binding.admits(replace(other, provider_id=self._provider_of(other)))

    def is_confirmed(self, binding: Binding) -> bool:
        """Return whether a backend at this address ever accepted this key."""
        return self._provider_of(binding) is not None

    def has_foreign(self, binding: Binding) -> bool:
        """Return whether files for this backend are of keys that may be ours too."""
        return any(
            header is not None
            and header.binding.base_url == binding.base_url
            and self.is_confirmed(header.binding)
            and not self.admits(binding, header.binding)
            for header in map(read_header, self.paths())
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
                where files of unknown keys lie here: a key that ended may never have
                reached the backend.

        Raises:
            BackendError: If the backend does not answer, or contradicts itself.
        """
        known = self._provider_in_headers(binding)
        provider_id = self._providers.confirm(binding, identify, known)
        unknown = {
            header.binding.key_id
            for header in map(read_header, self.paths())
            if header is not None
            and header.binding.base_url == binding.base_url
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
        # The memory first: its newest line corrects an answer that was wrong once.
        return self._providers.find(binding) or binding.provider_id

    def _provider_in_headers(self, binding: Binding) -> int | None:
        for header in map(read_header, self.paths()):
            if header is None or header.binding.provider_id is None:
                continue
            known = header.binding
            if (known.base_url, known.key_id) == (binding.base_url, binding.key_id):
                return known.provider_id
        return None

    def release(self, file: OutboxFile) -> None:
        """Move a file aside of which all is delivered, and let go of it.

        One that holds refused records stays where it is: somebody has to look at it.
        """
        with suppress(OSError):
            file.held.refresh()
            if file.is_delivered and file.has_lock and file.held.counts() == (0, 0):
                file.held.path.unlink(missing_ok=True)
                file.move_to(self.delivered_path)
        file.close()

    def purge(self, *, older_than_seconds: float = KEEP_DELIVERED_SECONDS) -> None:
        """Delete delivered files of which the last change is long ago."""
        oldest = wall_nanoseconds() / 1e9 - older_than_seconds
        for path in self.paths(delivered=True):
            with suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
                    path.with_suffix(".ack").unlink(missing_ok=True)

    def find_creation(self, binding: Binding, provider_job_id: str) -> Creation | None:
        """Return the newest creation of a job that any file tells of.

        Args:
            binding: Only files that one bound like this may deliver.
            provider_job_id: The provider's id of the job.
        """
        for file in self._opened(binding, newest_first=True):
            with suppress(OSError):
                found = _creation_in(file, provider_job_id)
                if found is not None:
                    return found
        return None

    def events_of(self, binding: Binding, provider_job_id: str) -> list[dict[str, Any]]:
        """Return the events of a job that any file holds, in their order.

        Args:
            binding: Only files that one bound like this may deliver.
            provider_job_id: The provider's id of the job.
        """
        found: dict[str, dict[str, Any]] = {}
        quoted = json.dumps(provider_job_id).encode("ascii")
        for file in self._opened(binding):
            with suppress(OSError):
                # Most lines are of other jobs, and are not parsed for that.
                for line in filter(lambda line: quoted in line, file):
                    event = parse_record(line)
                    if event.get("provider_job_id") == provider_job_id:
                        found[str(event.get("event_id"))] = event
        return sorted(found.values(), key=_place_in_order)

    def _opened(
        self, binding: Binding, *, newest_first: bool = False
    ) -> Iterator[BinaryIO]:
        """Open each file behind its header, also one that others put away meanwhile.

        A file may come twice.

        Args:
            binding: Only files that one bound like this may deliver.
            newest_first: Begin with the newest file instead of the oldest.
        """
        for _ in range(_MOST_LOOKS):
            # What waits first: what is put away between the looks is in the second.
            paths = [*self.paths(), *self.paths(delivered=True)]
            by_name = {path.name: path for path in paths}
            is_missing = False
            for name in sorted(by_name, reverse=newest_first):
                try:
                    with by_name[name].open("rb") as file:
                        header = Header.parse(file.readline(LONGEST_HEADER_BYTES))
                        if header and self.admits(binding, header.binding):
                            yield file
                except FileNotFoundError:
                    is_missing = True
                except OSError:
                    continue
            if not is_missing:
                return


def read_header(path: Path) -> Header | None:
    """Return the header of an outbox file; None if it cannot be read or is none."""
    try:
        with path.open("rb") as file:
            return Header.parse(file.readline(LONGEST_HEADER_BYTES))
    except OSError:
        return None


def _is_usable(
    file: OutboxFile, set_aside: Callable[[OutboxFile, OSError], object]
) -> bool:
    try:
        file.held.check()
    except OSError as error:
        file.close()
        set_aside(file, error)
        return False
    return True


def _claimed(path: Path, note: Callable[[OutboxFile], object]) -> OutboxFile | None:
    with unforked():
        file = OutboxFile.claim(path)
        if file is not None:
            note(file)
    return file


def _place_in_order(event: Mapping[str, Any]) -> tuple[datetime, str]:
    try:
        occurred_at = parse_rfc3339(str(event.get("occurred_at")))
    except ValueError:  # written by hand
        occurred_at = datetime.min.replace(tzinfo=UTC)
    return occurred_at, str(event.get("event_id"))


def _creation_in(file: BinaryIO, provider_job_id: str) -> Creation | None:
    found = None
    for line in file:
        if line.startswith(CREATION_START):
            creation = parse_creation(line)
            if creation and creation.provider_job_id == provider_job_id:
                found = creation
    return found
