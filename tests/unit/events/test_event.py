"""Events: ids, times, and their line on disk and wire."""

import json
import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.contract_document import SCHEMAS, validator
from trackerapi.events.event import KINDS, Event, event_line
from trackerapi.events.stamps import new_stamp
from trackerapi.times import as_microseconds, as_rfc3339

EVENT = validator("EventInput")
MINIMAL: dict[str, Any] = {
    "event_id": "019ab4c2-7a10-7c3e-9d55-0f6a3b1c2d3e",
    "provider_job_id": "import-42",
    "kind": "info",
    "occurred_at": "2026-11-24T01:00:03.250000Z",
}


def test_ids_are_version_7_of_the_current_time() -> None:
    """A backend can sort by id and read the time of recording from the id."""
    event_id, occurred_at = new_stamp()

    uuid = UUID(event_id)
    milliseconds = uuid.int >> 80
    assert str(uuid) == event_id
    assert uuid.version == 7
    assert uuid.variant == "specified in RFC 4122"
    moment = datetime.fromisoformat(occurred_at)
    assert abs(milliseconds - moment.timestamp() * 1000) < 1000
    assert occurred_at.endswith("Z")


def test_stamps_rise_strictly_within_a_thread() -> None:
    """The order of (time, id) is the order of recording, however fast it is."""
    stamps = [new_stamp() for _ in range(20_000)]

    by_time_and_id = [(occurred_at, event_id) for event_id, occurred_at in stamps]
    assert by_time_and_id == sorted(set(by_time_and_id))
    assert [event_id for event_id, _ in stamps] == sorted({s[0] for s in stamps})


def test_stamps_of_threads_are_unique_and_rise_in_each() -> None:
    """Threads that record at once neither share an id nor go back in time."""
    stamps: list[list[tuple[str, str]]] = [[] for _ in range(8)]
    together = threading.Barrier(len(stamps))

    def record(mine: list[tuple[str, str]]) -> None:
        together.wait()
        mine.extend(new_stamp() for _ in range(2_000))

    threads = [threading.Thread(target=record, args=(mine,)) for mine in stamps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for mine in stamps:
        assert mine == sorted(mine)
        assert [s[1] for s in mine] == sorted(s[1] for s in mine)
    assert len({s[0] for mine in stamps for s in mine}) == 8 * 2_000


def test_time_is_never_before_earlier_times_of_the_job() -> None:
    """An attached job does not go back behind its own past."""
    later = datetime.now(UTC) + timedelta(hours=1)
    past = datetime(2020, 1, 1, tzinfo=UTC)

    at_least_later = datetime.fromisoformat(new_stamp(as_microseconds(later))[1])
    assert at_least_later == later
    assert datetime.fromisoformat(new_stamp(as_microseconds(past))[1]).year > 2020


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 11, 24, 1, 0, 3, tzinfo=UTC), "2026-11-24T01:00:03Z"),
        (
            datetime(2026, 11, 24, 1, 0, 3, 250, timezone(timedelta(hours=2))),
            "2026-11-23T23:00:03.000250Z",
        ),
    ],
)
def test_time_is_written_in_utc(moment: datetime, text: str) -> None:
    """Every time on the wire has one form."""
    assert as_rfc3339(moment) == text


def test_time_without_offset_is_rejected() -> None:
    """The clock of a naive time is not guessed."""
    with pytest.raises(ValueError, match="a time needs an offset"):
        as_rfc3339(datetime(2026, 11, 24))  # noqa: DTZ001


NAMES = st.text("abcß \N{GRINNING FACE}_-", min_size=1).filter(str.strip)
EVENTS = st.builds(
    Event,
    event_id=st.uuids(version=4).map(str),
    provider_job_id=NAMES,
    kind=st.sampled_from(list(KINDS)) | NAMES,
    occurred_at=st.datetimes(timezones=st.just(UTC)).map(as_rfc3339),
    tag=st.none() | NAMES,
    metadata=st.none() | st.dictionaries(NAMES, st.integers(0, 9) | NAMES),
    completed=st.none() | st.floats(0, 2**53 - 1),
    total=st.none() | st.integers(0, 2**53 - 1),
    fraction=st.none() | st.floats(0, 1),
    part=st.none() | NAMES,
    retrying=st.booleans(),
    message=st.none() | NAMES,
    detail=st.none() | NAMES,
)


@given(EVENTS)
def test_line_is_one_json_object_of_the_contract(event: Event) -> None:
    """The line on disk is the body that the backend takes."""
    line = event_line(event)

    assert b"\n" not in line
    members = json.loads(line)
    EVENT.validate(members)
    assert members["event_id"] == event.event_id
    assert members.get("message") == event.message
    assert members.get("retrying", False) is event.retrying


def test_line_holds_only_given_members() -> None:
    """Absent members of an event cost no bytes."""
    assert json.loads(event_line(Event(**MINIMAL))) == MINIMAL


def test_line_names_every_member_of_the_contract() -> None:
    """No member of an event is lost on its way."""
    full = Event(
        **MINIMAL,
        tag="load",
        metadata={"Message": "Hello"},
        completed=1,
        total=2,
        fraction=0.5,
        part="worker-2",
        retrying=True,
        message="for the customer",
        detail="for the provider",
    )

    # `name` is another spelling of `tag`.
    members = SCHEMAS["EventInput"]["properties"].keys() - {"name"}
    assert json.loads(event_line(full)).keys() == members
    assert EVENT.is_valid(json.loads(event_line(full)))


def test_line_rejects_a_number_that_json_lacks() -> None:
    """A NaN never reaches the disk, where no reader could take it."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        event_line(Event(**MINIMAL, fraction=float("nan")))


def test_known_kinds_are_those_of_the_contract() -> None:
    """The library and the contract list the same kinds."""
    described = SCHEMAS["EventInput"]["description"]
    listed = described.partition("Known kinds: ")[2].partition(";")[0]

    assert listed.replace("\n", " ").split(", ") == list(KINDS)
