"""Sending records of an outbox folder to the backend, for one command."""

import math
import random
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from trackerapi.composition import binding_for
from trackerapi.delivery.batches import BatchDelivery
from trackerapi.delivery.failing_records import AllRecordsFail
from trackerapi.delivery.sender import BatchResult
from trackerapi.errors import (
    AuthenticationError,
    BackendError,
    BackendUnavailable,
    SettingsError,
)
from trackerapi.outbox.counters import Counters
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.folder import OutboxFolder
from trackerapi.outbox.header import Binding
from trackerapi.outbox.records import Creation
from trackerapi.problems import ProblemKind, Problems
from trackerapi.retry import backoff_seconds
from trackerapi.version import __version__

if TYPE_CHECKING:
    from trackerapi.settings.settings import Settings
    from trackerapi.wire.connection import Connection

T = TypeVar("T")

QUIET_SECONDS: Final = 10.0
"""How long a command tries on while no attempt succeeds."""

LONGEST_PAUSE_SECONDS: Final = 5.0
SHORTEST_PAUSE_SECONDS: Final = 0.2
"""When less than that is left, there is no further attempt."""


class Persistence:
    """Tries again what may succeed later, until that has lasted too long.

    Args:
        quiet_seconds: Give up after so long without any success, unless there is a
            limit for all.
        total_seconds: Give up after so long in all; None for no such limit.
        pause: Waits a number of seconds; None for `time.sleep()`.
    """

    def __init__(
        self,
        *,
        quiet_seconds: float = QUIET_SECONDS,
        total_seconds: float | None = None,
        pause: Callable[[float], None] | None = None,
    ) -> None:
        self._quiet_seconds, self._pause = quiet_seconds, pause
        now = time.monotonic()
        self._ends = None if total_seconds is None else now + total_seconds
        self._quiet_since, self._failures = now, 0

    @property
    def left_seconds(self) -> float:
        """What is left of the time for all; infinite without such a limit."""
        return math.inf if self._ends is None else self._ends - time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether the time for all is over."""
        return self.left_seconds <= 0

    def note_success(self) -> None:
        """Begin to count anew: an attempt has brought something."""
        self._quiet_since, self._failures = time.monotonic(), 0

    def pauses_after(self, error: Exception) -> bool:
        """Wait until the next attempt is due; False at once if there is none."""
        self._failures += 1
        asked = error.retry_after_seconds if isinstance(error, BackendError) else None
        seconds = backoff_seconds(
            self._failures,
            jitter=random.random(),  # noqa: S311 - spreads load, hides nothing
            retry_after_seconds=asked,
            longest_seconds=LONGEST_PAUSE_SECONDS,
        )
        left = self.left_seconds
        if self._ends is None:
            left = self._quiet_since + self._quiet_seconds - time.monotonic()
        if left < SHORTEST_PAUSE_SECONDS or (asked or 0.0) > left:
            return False
        pause = self._pause or time.sleep
        pause(seconds if seconds <= left else left / 2)
        return True

    def run(self, action: Callable[[], T]) -> T:
        """Return what `action` returns, tried again after each fault of the network.

        Raises:
            BackendError: The last one, once it has lasted too long; at once for a
                refused key, and for records that a backend does not take.
        """
        while True:
            if self.is_over:
                raise BackendUnavailable("the time given is over")
            try:
                result = action()
            except (AuthenticationError, AllRecordsFail):
                raise
            except BackendError as error:
                if not self.pauses_after(error):
                    raise
            else:
                self.note_success()
                return result


class Unheard(Problems):
    """Problems that are not logged: the command prints them when it ends."""

    def report(
        self, kind: ProblemKind, message: str, *subject: str, level: int = 0
    ) -> None:
        """Do nothing."""


class Dispatch:
    """The way from a folder to the backend; a `Sender` that counts what it sends.

    Opens nothing before the first request. For one thread.

    Args:
        settings: Where the backend is, and whose key this is.
        folder: Where creations of jobs are looked up.
        problems: Reports rejected records; None logs them.

    Attributes:
        binding: Which files may go this way; with the provider once it is known.
        carrier: Carries records this way.
        counters: What became of events.
        accepted: Events that the backend had not had before.
        duplicates: Events that it had.
    """

    def __init__(
        self,
        settings: "Settings",
        folder: OutboxFolder,
        problems: Problems | None = None,
    ) -> None:
        self._settings, self._folder = settings, folder
        self._connection: Connection | None = None
        self.binding = binding_for(settings)
        self.problems, self.counters = problems or Problems(), Counters()
        self.accepted = self.duplicates = 0
        self.batch_delivery = BatchDelivery(
            self, self._find_creation, self.problems, self.counters
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._connection is not None:
            self._connection.close()

    @property
    def is_introduced(self) -> bool:
        """Whether the backend has said whose key this is."""
        return self.binding.provider_id is not None

    def admits(self, other: Binding) -> bool:
        """Return whether records bound like `other` may go this way."""
        return self._folder.admits(self.binding, other)

    def introduce(self) -> None:
        """Ask whose key this is, once.

        Raises:
            BackendError: If the backend does not say.
        """
        if not self.is_introduced:
            provider_id = self._folder.confirm_provider(
                self.binding, self.identify, self.list_key_ids
            )
            self.binding = replace(self.binding, provider_id=provider_id)

    def forget_provider(self) -> None:
        """Read the key again where it came from; it may be another provider's."""
        self.reload_key()
        with suppress(SettingsError):  # then the old one is tried again
            key = self._settings.read_key_again()
            self._settings = replace(self._settings, api_key=key)
        self.binding = binding_for(self._settings)

    def name_provider(self, file: OutboxFile) -> None:
        """Write into a file whose records these are, so that other keys may do."""
        if file.header.binding.provider_id is None and self.binding.provider_id:
            with suppress(OSError):
                file.name_provider(self.binding.provider_id)

    def send(self, batch: bytes) -> BatchResult:
        """Deliver events; see `Sender`."""
        receipt = self._open().sender.send(batch)
        self.accepted += receipt.accepted
        self.duplicates += receipt.duplicates
        return receipt

    def create_job(self, creation: Mapping[str, Any]) -> None:
        """Create a job, or attach to it; see `Sender`."""
        self._open().sender.create_job(creation)

    def identify(self) -> int:
        """Return the id of the provider whose key this is; see `Sender`."""
        return self._open().sender.identify()

    def list_key_ids(self) -> Iterable[str]:
        """Return the ids of the provider's keys; see `Sender`."""
        return self._open().sender.list_key_ids()

    def reload_key(self) -> str | None:
        """Read the key again where it came from; see `Sender`."""
        return self._open().sender.reload_key()

    def _open(self) -> "Connection":
        if self._connection is None:
            from trackerapi.wire.connection import Connection

            agent = f"trackerapi/{__version__} (command line)"
            self._connection = Connection(self._settings, agent)
        return self._connection

    def _find_creation(self, provider_job_id: str) -> Creation | None:
        return self._folder.find_creation(self.binding, provider_job_id)
