"""Requests with records that lie in no file, and what the answers mean for them."""

from collections.abc import Callable, Sequence
from typing import Final

from trackerapi.delivery.failing_records import Parted, part
from trackerapi.delivery.receipts import check
from trackerapi.delivery.rejections import (
    TOO_LARGE,
    is_final_for_event,
    is_final_for_job,
    problem_of,
)
from trackerapi.delivery.sender import BatchResult, Sender
from trackerapi.errors import (
    AuthenticationError,
    BackendError,
    BackendRejected,
    BackendUnavailable,
)
from trackerapi.outbox.counters import Counters
from trackerapi.outbox.held import JournalEntry
from trackerapi.outbox.records import (
    MAX_BATCH_LINES,
    Creation,
    count_that_fits,
    parse_creation,
    split_lines,
)

_UNKNOWN_JOB: Final = 404


class LineCarrier:
    """Carries records that lie in no file; for one thread.

    Args:
        sender: Where to.
        counters: Told of what is delivered.
    """

    def __init__(self, sender: Sender, counters: Counters) -> None:
        self._sender, self._counters = sender, counters
        self._most_lines = MAX_BATCH_LINES
        self._answers = 0  # usable ones, whatever they say

    def deliver_lines(self, lines: Sequence[bytes]) -> list[JournalEntry]:
        """Deliver records that lie in no file; return those that were refused.

        Raises:
            BackendUnavailable: If no usable answer came.
            AuthenticationError: If the key was refused.
        """
        refused: list[JournalEntry] = []
        events: list[bytes] = []
        for line in lines:
            creation = parse_creation(line)
            if creation is None:
                events.append(line)
            elif creation.state != "done":
                try:
                    self._create(creation)
                except BackendRejected as error:
                    problem = problem_of(error)
                    refused.append(JournalEntry(record=line, problem=problem))
        delivered = 0
        while events:
            count = count_that_fits(events, self._most_lines)
            batch = b"".join(events[:count])
            receipt = self._attempt(batch, count)
            if receipt is None:
                continue
            refused += refused_lines(receipt, batch)
            delivered += receipt.accepted + receipt.duplicates
            del events[:count]
        self._counters.count_delivered(delivered)
        return refused

    def _part(self, lines: Sequence[bytes], takes_others: Callable[[], bool]) -> Parted:
        """Send records apart from those that fail; see `part()`."""
        most_lines = self._most_lines
        try:
            return part(lines, self.deliver_lines, takes_others, most_lines)
        finally:
            # These failures say nothing about how fast the network is.
            self._most_lines = max(most_lines, self._most_lines)

    def _is_answered(self, line: bytes) -> bool:
        """Send a record; return whether the backend took or refused it."""
        creation = parse_creation(line)
        try:
            if creation is None:
                self._attempt(line, 1)
            else:
                self._create(creation)
        except BackendRejected:
            return True
        except BackendUnavailable:
            return False
        return True

    def _create(self, creation: Creation) -> None:
        """Create a job.

        Raises:
            BackendRejected: If the job was refused for its content.
        """
        try:
            self._sender.create_job(creation.document)
        except AuthenticationError:
            raise
        except BackendError as error:
            size = len(creation.as_line())
            if not is_final_for_job(error, size):
                raise BackendUnavailable(error.reason, error.exchange) from error
            self._answers += 1
            raise BackendRejected(error.reason, error.exchange) from error
        self._answers += 1

    def _attempt(self, batch: bytes, count: int) -> BatchResult | None:
        """Send once; None if it has to be tried again with fewer lines."""
        try:
            receipt = self._sender.send(batch)
            check(receipt, batch, count)
        except AuthenticationError:
            raise
        except BackendError as error:
            is_split = error.status == TOO_LARGE and count > 1
            if is_split or is_final_for_event(error, len(batch)):
                if count == 1:
                    self._answers += 1
                    return BatchResult.refusing_one(problem_of(error))
                self._most_lines = (count + 1) // 2
                return None
            if error.status is None and error.exchange.was_sent:
                # A line too slow for so much; less may get through in time.
                self._most_lines = max(1, count // 2)
            raise BackendUnavailable(error.reason, error.exchange) from error
        self._most_lines = min(self._most_lines * 2, MAX_BATCH_LINES)
        self._answers += 1
        return receipt


def refused_lines(receipt: BatchResult, batch: bytes) -> list[JournalEntry]:
    """Return the records of a batch that the receipt names, with the reasons."""
    if not receipt.rejections:
        return []
    lines = split_lines(batch)
    return [
        JournalEntry(
            record=lines[rejection.index],
            problem=rejection.problem,
            is_deferred=rejection.problem.get("status") == _UNKNOWN_JOB,
        )
        for rejection in receipt.rejections
    ]
