"""Delivery of an outbox folder by a command, and messages about failed delivery."""

import argparse
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self

from trackerapi.cli.options import folder_of, settings_of
from trackerapi.cli.printing import print_message
from trackerapi.composition import binding_for
from trackerapi.delivery.batches import BatchDelivery
from trackerapi.delivery.sender import BatchResult
from trackerapi.errors import AuthenticationError, BackendError, SettingsError
from trackerapi.outbox.counters import Counters
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.folder import OutboxFolder
from trackerapi.outbox.header import Binding
from trackerapi.outbox.records import Creation
from trackerapi.problems import ProblemKind, Problems, key_refused, unreachable
from trackerapi.version import __version__

if TYPE_CHECKING:
    from trackerapi.settings.settings import Settings
    from trackerapi.wire.connection import Connection

_MAX_REASONS: Final = 5


class SilentProblems(Problems):
    """Problems that are not logged: the command prints them in its own report."""

    def report(
        self, kind: ProblemKind, message: str, *subject: str, level: int = 0
    ) -> None:
        """Do nothing."""


class Dispatch:
    """Delivery of an outbox folder to the backend, for use in one thread.

    A `Dispatch` is the `Sender` of its own batch delivery: it sends each batch and
    counts the answers. The first request opens the connection.

    Args:
        settings: Address, key and certificates of the backend.
        folder: Outbox folder with the records and the creations of jobs.
        problems: Receiver of reports about rejected records; None logs the reports.

    Attributes:
        folder: Outbox folder.
        binding: Address and key. `confirm_provider()` adds the id of the provider.
        delivery: Batch delivery of records to the backend.
        counters: Counts of delivered and dropped events.
        accepted: Number of events that were new to the backend.
        duplicates: Number of events that the backend already had.
    """

    def __init__(
        self,
        settings: "Settings",
        folder: OutboxFolder,
        problems: Problems | None = None,
    ) -> None:
        self._settings, self.folder = settings, folder
        self._connection: Connection | None = None
        self.binding = binding_for(settings)
        self.problems, self.counters = problems or Problems(), Counters()
        self.accepted = self.duplicates = 0
        self.delivery = BatchDelivery(
            self, self._find_creation, self.problems, self.counters
        )

    @classmethod
    def of(cls, options: argparse.Namespace, problems: Problems | None = None) -> Self:
        """Return a `Dispatch` for the options of `add_delivery()`.

        Raises:
            SettingsError: If a setting is missing or invalid.
            UsageError: If the outbox folder is missing or cannot be read.
        """
        folder = folder_of(options)
        return cls(settings_of(options), folder, problems)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def admits(self, other: Binding) -> bool:
        """Return whether this key may deliver records with the binding `other`."""
        return self.folder.admits(self.binding, other)

    def confirm_provider(self) -> None:
        """Ask the backend for the provider of the key, unless the provider is known.

        Raises:
            BackendError: If the backend does not answer.
        """
        if self.binding.provider_id is None:
            provider_id = self.folder.confirm_provider(
                self.binding, self.identify, self.list_key_ids
            )
            self.binding = replace(self.binding, provider_id=provider_id)

    def failure_text(self, error: BackendError) -> str:
        """Return the message about an unreachable backend or a refused key."""
        if isinstance(error, AuthenticationError):
            return key_refused(error, self.folder.path)
        return unreachable(error)

    def forget_provider(self) -> None:
        """Read the key again, and forget the provider, as the key may have changed."""
        self.reload_key()
        with suppress(SettingsError):  # the next attempt uses the old key again
            key = self._settings.read_key_again()
            self._settings = replace(self._settings, api_key=key)
        self.binding = binding_for(self._settings)

    def name_provider(self, file: OutboxFile) -> None:
        """Write the id of the provider into a file that names no provider.

        After that, each key of the provider may deliver the file.
        """
        if file.header.binding.provider_id is None and self.binding.provider_id:
            with suppress(OSError):
                file.name_provider(self.binding.provider_id)

    def send(self, batch: bytes) -> BatchResult:
        """Send a batch of events; see `Sender`."""
        receipt = self._open().sender.send(batch)
        self.accepted += receipt.accepted
        self.duplicates += receipt.duplicates
        return receipt

    def create_job(self, creation: Mapping[str, Any]) -> None:
        """Create a job, or attach to the existing job of the same id; see `Sender`."""
        self._open().sender.create_job(creation)

    def identify(self) -> int:
        """Return the id of the provider of the key; see `Sender`."""
        return self._open().sender.identify()

    def list_key_ids(self) -> Iterable[str]:
        """Return the ids of the provider's keys; see `Sender`."""
        return self._open().sender.list_key_ids()

    def reload_key(self) -> str | None:
        """Read the key again from its source; see `Sender`."""
        return self._open().sender.reload_key()

    def _open(self) -> "Connection":
        if self._connection is None:
            # Imported here: a command without a request needs no HTTP client.
            from trackerapi.wire.connection import Connection

            agent = f"trackerapi/{__version__} (command line)"
            self._connection = Connection(self._settings, agent)
        return self._connection

    def _find_creation(self, provider_job_id: str) -> Creation | None:
        return self.folder.find_creation(self.binding, provider_job_id)


def print_reasons(reasons: Mapping[str, str], outcome: str) -> None:
    """Print the reason of each job on stderr, for at most five jobs.

    Args:
        reasons: Reason by job id.
        outcome: Words between the job id and the reason, such as `is held`.
    """
    for job_id, reason in list(reasons.items())[:_MAX_REASONS]:
        print_message(f"job {job_id!r} {outcome}: {reason}")
