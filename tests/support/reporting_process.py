"""Parts of one process without the delivery thread: tests run each pass themselves.

Several instances in one test act as several processes: a lock on a file belongs to
the descriptor, not to the process.
"""

from pathlib import Path
from typing import Final

from trackerapi.delivery.conflation import Conflation
from trackerapi.delivery.passes import DeliveryParts, DeliveryPasses
from trackerapi.delivery.sender import Sender
from trackerapi.outbox.counters import Counters
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.folder import OutboxFolder
from trackerapi.outbox.header import Binding
from trackerapi.outbox.outbox import Outbox, OutboxOptions
from trackerapi.problems import DeliveryProblem, Problems

BINDING: Final = Binding(base_url="http://backend.test", key_id="3kTMd9aZ")
PLENTY: Final = 1024**3


class ReportingProcess:
    """Outbox and delivery of one process.

    Args:
        folder: Outbox folder; None for records in memory only.
        sender: Sender of the batches.
        binding: Backend address and key of the records.
        limit_bytes: Maximum size of the undelivered records.
        fsync: As in `OutboxOptions`.
        strict: As in `OutboxOptions`.

    Attributes:
        reported: Reported problems, oldest first.
    """

    def __init__(
        self,
        folder: Path | None,
        sender: Sender,
        *,
        binding: Binding = BINDING,
        limit_bytes: int = PLENTY,
        fsync: bool = False,
        strict: bool = False,
    ) -> None:
        self.reported: list[DeliveryProblem] = []
        self.problems = Problems(self.reported.append)
        self.counters = Counters()
        options = OutboxOptions(
            folder=folder, limit_bytes=limit_bytes, fsync=fsync, strict=strict
        )
        self.outbox = Outbox(options, binding, self.problems, self.counters)
        self.parts = DeliveryParts(
            sender=lambda: sender,
            folder=OutboxFolder(folder) if folder else None,
            outbox=self.outbox,
            conflation=Conflation(self.outbox.append),
            problems=self.problems,
            counters=self.counters,
        )
        self.passes = DeliveryPasses(self.parts)

    @property
    def reported_kinds(self) -> list[str]:
        """Kinds of the reported problems, oldest first."""
        return [problem.kind for problem in self.reported]

    def append(self, *lines: bytes) -> None:
        """Append records to the outbox."""
        for line in lines:
            assert self.outbox.append(line)

    def run_pass(self) -> None:
        """Run one delivery pass, including deferred records that are not due yet.

        Raises:
            BackendError: See `DeliveryPasses.deliver_batches()`.
        """
        self.passes.search_again()
        self.passes.claim_leftovers()
        self.passes.deliver_batches()

    def deliver(self, max_passes: int = 50) -> None:
        """Run passes until no record is undelivered; fail after `max_passes` passes."""
        for _ in range(max_passes):
            self.run_pass()
            if not self.has_undelivered():
                return
        raise AssertionError(f"records are undelivered after {max_passes} passes")

    def has_undelivered(self) -> bool:
        """Return whether records are undelivered: in files, in memory or deferred."""
        return (
            self.outbox.undelivered_count > 0
            or any(not file.is_delivered for file in self.passes.leftovers)
            or self.passes.has_deferred_records()
            or not self.passes.is_search_complete
        )

    def files(self) -> list[OutboxFile]:
        """Return all open files."""
        return self.passes.files()

    def close(self) -> None:
        """Close the outbox and release the files, as a normal exit does."""
        self.passes.release(self.outbox.close())

    def kill(self) -> None:
        """Close the file descriptors only, as the system does after SIGKILL."""
        for file in self.files():
            file.close()
