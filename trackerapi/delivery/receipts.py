"""Whether a batch answer is about the batch that was sent."""

from trackerapi.delivery.sender import BatchResult, Rejection
from trackerapi.errors import BackendUnavailable
from trackerapi.outbox.records import parse_record, split_lines


def check(receipt: BatchResult, batch: bytes, count: int) -> None:
    """Refuse an answer that is about another batch than the one that was sent.

    Raises:
        BackendUnavailable: If it does not account for each line once.
    """
    refused = {rejection.index for rejection in receipt.rejections}
    told = receipt.accepted + receipt.duplicates + len(receipt.rejections)
    # A blank line, as damage may leave one, is none to the backend.
    blank_count = 0 if told == count else sum(not x.strip() for x in split_lines(batch))
    if told != count - blank_count or len(refused) != len(receipt.rejections):
        raise BackendUnavailable("the answer does not account for every line")
    if refused and not (min(refused) >= 0 and max(refused) < count):
        raise BackendUnavailable("the answer is about lines that were not sent")
    lines = split_lines(batch) if refused else []
    if any(_is_of_another(each, lines[each.index]) for each in receipt.rejections):
        raise BackendUnavailable("the answer names another event than the line has")


def _is_of_another(rejection: Rejection, line: bytes) -> bool:
    """Return whether a rejection names another event than the line that it is about."""
    sent = parse_record(line).get("event_id")
    # The backend names no event where it could not read the line, nor do we.
    return isinstance(sent, str) and rejection.event_id not in {None, sent}
