"""Events: kinds, fields, and the line on disk and wire."""

import json
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.contract_document import SCHEMAS, validator
from trackerapi.events.event import KINDS, Event, event_line
from trackerapi.times import as_rfc3339

EVENT = validator("EventInput")
MINIMAL: dict[str, Any] = {
    "event_id": "019ab4c2-7a10-7c3e-9d55-0f6a3b1c2d3e",
    "provider_job_id": "import-42",
    "kind": "info",
    "occurred_at": "2026-11-24T01:00:03.250000Z",
}


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
    """`event_line()` returns one JSON object that the contract admits as an event."""
    line = event_line(event)

    assert b"\n" not in line
    members = json.loads(line)
    EVENT.validate(members)
    assert members["event_id"] == event.event_id
    assert members.get("message") == event.message
    assert members.get("retrying", False) is event.retrying


def test_line_holds_only_given_members() -> None:
    """The line of an event has no members that were not given."""
    assert json.loads(event_line(Event(**MINIMAL))) == MINIMAL


def test_line_names_every_member_of_the_contract() -> None:
    """The line of an event with all members has every member of the contract."""
    full = Event(
        **MINIMAL,
        tag="load",
        metadata={"Message": "Hello"},
        completed=1,
        total=2,
        fraction=0.5,
        part="worker-2",
        retrying=True,
        failed=1,
        max_attempts=3,
        message="for the customer",
        detail="for the provider",
    )

    # `name` is another spelling of `tag`.
    members = SCHEMAS["EventInput"]["properties"].keys() - {"name"}
    assert json.loads(event_line(full)).keys() == members
    assert EVENT.is_valid(json.loads(event_line(full)))


def test_line_rejects_a_number_that_json_lacks() -> None:
    """`event_line()` raises ValueError for a fraction of NaN."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        event_line(Event(**MINIMAL, fraction=float("nan")))


def test_known_kinds_are_those_of_the_contract() -> None:
    """The library and the contract list the same kinds."""
    described = SCHEMAS["EventInput"]["description"]
    listed = described.partition("Known kinds: ")[2].partition(";")[0]

    assert listed.replace("\n", " ").split(", ") == list(KINDS)
