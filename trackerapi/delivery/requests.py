"""Requests that send records, and the results for each record in their answers."""

from collections.abc import Callable, Sequence
from typing import Final

from trackerapi.delivery.failing_records import FailingRecordSearch, SearchResult
from trackerapi.delivery.rejections import (
    TOO_LARGE,
    is_final_for_event,
    is_final_for_job,
    problem_of,
)
from trackerapi.delivery.sender import BatchResult, Rejection, Sender
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
    parse_record,
    split_lines,
)

_UNKNOWN_JOB: Final = 404


class RecordRequests:
    """Requests with events and creations of jobs; for one thread.

    Each call blocks until the sender has answered or reached its time limit.

    Args:
        sender: The client for delivery.
        counters: Counts the delivered events.

    Attributes:
        max_lines: Maximum number of lines in the next batch; halved after a batch that
            was too large or got no answer, doubled after a success.
        answer_count: Number of usable answers so far, rejections included.
    """

    def __init__(self, sender: Sender, counters: Counters) -> None:
        self._sender, self._counters = sender, counters
        self.max_lines = MAX_BATCH_LINES
        self.answer_count = 0

    def check_backend(self) -> None:
        """Send a request without records.

        Raises:
            BackendError: If the backend gives no usable answer.
        """
        self._sender.identify()

    def deliver_lines(self, lines: Sequence[bytes]) -> list[JournalEntry]:
        """Deliver the given records, in as many requests as needed.

        Args:
            lines: Records, each with its line end.

        Returns:
            Entries of the rejected records; entries of events of unknown jobs are
            deferred.

        Raises:
            BackendUnavailable: If no usable answer came; some records may have
                arrived.
            AuthenticationError: If the key was rejected.
        """
        rejected: list[JournalEntry] = []
        events: list[bytes] = []
        for line in lines:
            creation = parse_creation(line)
            if creation is None:
                events.append(line)
            elif creation.state != "done":
                try:
                    self.create_job(creation)
                except BackendRejected as error:
                    entry = JournalEntry(record=line, problem=problem_of(error))
                    rejected.append(entry)
        delivered = 0
        while events:
            count = count_that_fits(events, self.max_lines)
            batch = b"".join(events[:count])
            result = self.send_batch(batch, count)
            if result is None:
                continue
            rejected += rejected_entries(result, batch)
            delivered += result.accepted + result.duplicates
            del events[:count]
        self._counters.count_delivered(delivered)
        return rejected

    def deliver_all_but_failing(
        self, lines: Sequence[bytes], can_deliver_others: Callable[[], bool]
    ) -> SearchResult:
        """Deliver records, and search for the failing records among them.

        Args:
            lines: Records, each with its line end.
            can_deliver_others: Returns whether the backend accepts any record; see
                `FailingRecordSearch.run()`.

        Raises:
            BackendUnavailable: If the backend accepts no record, or was not reached.
        """
        max_lines = self.max_lines
        try:
            search = FailingRecordSearch(lines, self.deliver_lines, max_lines)
            return search.run(can_deliver_others)
        finally:
            # `max_lines` is restored: the search may have halved it at failing records,
            # although the network is not slow.
            self.max_lines = max(max_lines, self.max_lines)

    def is_answered(self, line: bytes) -> bool:
        """Send one record; return whether the backend has accepted or rejected it."""
        creation = parse_creation(line)
        try:
            if creation is None:
                self.send_batch(line, 1)
            else:
                self.create_job(creation)
        except BackendRejected:
            return True
        except BackendUnavailable:
            return False
        return True

    def create_job(self, creation: Creation) -> None:
        """Create a job, or attach to the existing job.

        Raises:
            BackendRejected: If the creation was rejected for its content.
            BackendUnavailable: If no usable answer came.
            AuthenticationError: If the key was rejected.
        """
        try:
            self._sender.create_job(creation.document)
        except AuthenticationError:
            raise
        except BackendError as error:
            if not is_final_for_job(error, len(creation.as_line())):
                raise BackendUnavailable(error.reason, error.exchange) from error
            self.answer_count += 1
            raise BackendRejected(error.reason, error.exchange) from error
        self.answer_count += 1

    def send_batch(self, batch: bytes, count: int) -> BatchResult | None:
        """Send a batch of events once.

        Args:
            batch: Events, each with its line end.
            count: Number of events.

        Returns:
            Result of the batch; None if the batch was too large, and `max_lines` is
            smaller now.

        Raises:
            BackendUnavailable: If no usable answer came.
            AuthenticationError: If the key was rejected.
        """
        try:
            result = self._sender.send(batch)
            check_result(result, batch, count)
        except AuthenticationError:
            raise
        except BackendError as error:
            is_too_large = error.status == TOO_LARGE and count > 1
            if is_too_large or is_final_for_event(error, len(batch)):
                if count == 1:
                    self.answer_count += 1
                    return BatchResult.rejecting_one(problem_of(error))
                self.max_lines = (count + 1) // 2
                return None
            if error.status is None and error.exchange.was_sent:
                # The network may be too slow for so many bytes within the time limit.
                self.max_lines = max(1, count // 2)
            raise BackendUnavailable(error.reason, error.exchange) from error
        self.max_lines = min(self.max_lines * 2, MAX_BATCH_LINES)
        self.answer_count += 1
        return result


def rejected_entries(result: BatchResult, batch: bytes) -> list[JournalEntry]:
    """Return journal entries for the rejected lines of a batch.

    An event of an unknown job is deferred: the job may be created later.
    """
    if not result.rejections:
        return []
    lines = split_lines(batch)
    return [
        JournalEntry(
            record=lines[rejection.index],
            problem=rejection.problem,
            is_deferred=rejection.problem.get("status") == _UNKNOWN_JOB,
        )
        for rejection in result.rejections
    ]


def check_result(result: BatchResult, batch: bytes, count: int) -> None:
    """Check that a result is about the batch that was sent.

    A faulty proxy may return the answer to another request.

    Raises:
        BackendUnavailable: If the result does not account for each line once, or names
            another event than the line has.
    """
    indexes = {rejection.index for rejection in result.rejections}
    answered = result.accepted + result.duplicates + len(result.rejections)
    # The backend skips blank lines, which damage may leave in a file.
    blank_count = (
        0 if answered == count else sum(not x.strip() for x in split_lines(batch))
    )
    if answered != count - blank_count or len(indexes) != len(result.rejections):
        raise BackendUnavailable("the answer does not account for every line")
    if indexes and not (min(indexes) >= 0 and max(indexes) < count):
        raise BackendUnavailable("the answer is about lines that were not sent")
    lines = split_lines(batch) if indexes else []
    if any(_names_other_event(each, lines[each.index]) for each in result.rejections):
        raise BackendUnavailable("the answer names another event than the line has")


def _names_other_event(rejection: Rejection, line: bytes) -> bool:
    """Return whether a rejection names another event than its line has."""
    sent = parse_record(line).get("event_id")
    # An id of None in the rejection: the backend could not read the line.
    return isinstance(sent, str) and rejection.event_id not in {None, sent}
