"""What one process has: all of delivery but its thread, so that a test makes the turns.

Several of them in one test stand for several processes: a lock on a file belongs to
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
    """A process that reports into a folder.

    Args:
        folder: The outbox.
        sender: What carries.
        binding: Where its records are to go, and whose they are.
        limit_bytes: Size of what may wait.
        fsync: As in `OutboxOptions`.
        strict: As in `OutboxOptions`.

    Attributes:
        told: Problems that were told.
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
        self.told: list[DeliveryProblem] = []
        self.problems = Problems(self.told.append)
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
    def told_kinds(self) -> list[str]:
        """Kinds of the problems that were told."""
        return [problem.kind for problem in self.told]

    def append(self, *lines: bytes) -> None:
        """Record lines."""
        for line in lines:
            assert self.outbox.append(line)

    def run_pass(self) -> None:
        """Do all that is due, and what waits for its job, without delay.

        Raises:
            BackendError: As `Rounds.carry_all()` does.
        """
        self.passes.search_again()
        self.passes.claim_leftovers()
        self.passes.deliver_batches()

    def deliver(self, most_rounds: int = 50) -> None:
        """Make rounds until nothing waits any more."""
        for _ in range(most_rounds):
            self.run_pass()
            if not self.waits():
                return
        raise AssertionError(f"something still waits after {most_rounds} rounds")

    def waits(self) -> bool:
        """Tell whether something waits: in a file, in memory, or for its job."""
        return (
            self.outbox.undelivered_count > 0
            or any(not file.is_delivered for file in self.passes.leftovers)
            or self.passes.has_deferred_records()
            or not self.passes.is_search_complete
        )

    def files(self) -> list[OutboxFile]:
        """Return all files that it has open."""
        return self.passes.files()

    def leave(self) -> None:
        """End in order."""
        self.passes.release(self.outbox.close())

    def die(self) -> None:
        """End as by `kill -9`: the system closes the descriptors, and no more."""
        for file in self.files():
            file.close()
