"""Lines of an outbox file: ids, jobs, batches and the order of events."""

import pytest

from tests.support.lines import creation_line, event_id_of, event_line, event_lines
from trackerapi.outbox.records import (
    MAX_BATCH_BYTES,
    MAX_BATCH_LINES,
    batches,
    first_batch,
    first_time,
    identity,
    is_creation,
    parse_creation,
    parse_record,
    sort_events,
    split_lines,
)

DAMAGED = [b"\n", b"garbage\n", b"\x00\xff\n", b"[]\n", b"5\n", b'"create_job"\n']


def test_event_has_its_own_id_and_job() -> None:
    """The record id of an event is its `event_id`."""
    line = event_line(job="import-42")

    assert identity(line) == (event_id_of(line), "import-42")
    assert not is_creation(line)
    assert parse_creation(line) is None


def test_creation_has_the_id_of_its_job() -> None:
    """Two creations of a job have the same record id, even in different states."""
    waiting, done = creation_line("import-42"), creation_line("import-42", "done")

    assert identity(waiting) == identity(done) == ("create_job import-42", "import-42")
    assert is_creation(waiting)


def test_creation_with_blanks_is_parsed() -> None:
    """A creation with blanks and another order of its members is parsed."""
    line = b'{ "state": "held", "create_job": {"provider_job_id": "x"} }\n'

    creation = parse_creation(line)

    assert creation is not None
    assert (creation.provider_job_id, creation.state) == ("x", "held")


@pytest.mark.parametrize("line", DAMAGED)
def test_damaged_line_has_an_id_and_no_job(line: bytes) -> None:
    """A damaged line has an id that begins with "damaged", no job and no time."""
    record_id, job_id = identity(line)

    assert record_id.startswith("damaged ")
    assert job_id == ""
    assert parse_creation(line) is None
    assert first_time([line]) is None


def test_carriage_return_ends_no_line() -> None:
    """Only a line feed ends a record; a carriage return is part of the record."""
    assert split_lines(b"one\rstill one\ntwo\ntorn") == [b"one\rstill one\n", b"two\n"]


def test_first_batch_ends_before_a_creation() -> None:
    """A batch has either events only or one creation."""
    events, creation = event_lines(2), creation_line()
    chunk = b"".join([*events, creation, *events])

    assert first_batch(chunk, 10) == (b"".join(events), 2)
    assert first_batch(chunk, 1) == (events[0], 1)
    assert first_batch(chunk[len(b"".join(events)) :], 10) == (creation, 1)
    assert first_batch(b"".join(events), 10) == (b"".join(events), 2)


def test_batches_stay_within_the_limits_of_a_request() -> None:
    """No batch exceeds the limit of lines; only a single line exceeds that of bytes."""
    many = [b"x\n"] * (MAX_BATCH_LINES + 1)
    large = [b"x" * MAX_BATCH_BYTES + b"\n", b"y\n", b"y\n"]

    assert [len(batch) for batch in batches(many)] == [MAX_BATCH_LINES, 1]
    assert list(batches(large)) == [large[:1], large[1:]]
    assert list(batches([])) == []


def test_events_are_ordered_by_time_then_id() -> None:
    """Events are sorted by time, then id; events without a valid time come first."""
    late = event_line(event_id="a", occurred_at="2026-11-24T13:00:00+01:00")
    early = event_line(event_id="b", occurred_at="2026-11-24T11:59:59Z")
    same = event_line(event_id="0", occurred_at="2026-11-24T12:00:00Z")
    damaged = event_line(event_id="c", occurred_at="yesterday")
    events = map(parse_record, [late, early, same, damaged])

    assert [event["event_id"] for event in sort_events(events)] == ["c", "b", "0", "a"]
