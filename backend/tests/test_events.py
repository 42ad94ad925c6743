"""Events over HTTP: single events, batches, repeated and rejected events."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from trackerapi_backend.instants import format_instant
from trackerapi_backend.jobs.new_event import read_event
from trackerapi_backend.jobs.recording import Report

from backend.tests.support.service import (
    OTHER_CUSTOMER,
    all_items,
    new_job,
    send_lines,
)

if TYPE_CHECKING:
    import httpx
    from trackerapi_backend.generated.models import EventInput


def event_of(job: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"provider_job_id": job["provider_job_id"], "kind": "info"} | fields


def test_event_is_answered_alike_when_repeated(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """The response to a repeated `event_id` shows the stored event."""
    event = event_of(job, event_id=str(uuid4()), message="first")
    answers = [
        api.post("/events", json=event),
        api.post("/events", json=event | {"message": "second"}),
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["id"] == event["event_id"]
    assert api.get(f"/jobs/{job['id']}").json()["event_count"] == 1


def test_event_without_id_gets_one_of_version_7(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """An event without an id gets a UUID of version 7."""
    stored = api.post("/events", json=event_of(job)).json()
    assert stored["event_id"][14] == "7"


def test_null_metadata_counts_as_missing(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """Null metadata is stored as an empty object, alone and in a batch."""
    stored = api.post("/events", json=event_of(job, event_metadata=None))
    batch = send_lines(api, [event_of(job, event_metadata=None)])
    assert (stored.status_code, stored.json()["event_metadata"]) == (201, {})
    assert (batch.json()["accepted"], batch.json()["rejected"]) == (1, [])


def test_invalid_metadata_is_named_by_its_pointer(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """The error of a value inside nullable metadata has the pointer of the value."""
    texts = api.post("/events", json=event_of(job, event_metadata="x")).json()
    nul = api.post("/events", json=event_of(job, event_metadata={"a": "\0"})).json()
    assert [error["pointer"] for error in texts["errors"]] == ["/event_metadata"]
    assert [error["pointer"] for error in nul["errors"]] == ["/event_metadata/a"]


def test_event_takes_name_for_tag(api: httpx.Client, job: dict[str, Any]) -> None:
    """`name` stands for `tag`, as a tag or a display name, and is stored as the tag."""
    for name in ("say_bye", "Say Bye"):
        stored = api.post("/events", json=event_of(job, name=name)).json()
        assert stored["tag"] == "say_bye"


def test_event_is_rejected_when_name_and_tag_differ(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """An event with different `name` and `tag` gets 422 with the pointer /name."""
    answer = api.post("/events", json=event_of(job, name="a", tag="b"))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/name"


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_parts_of_a_step_add_up_in_any_order_of_arrival(
    api: httpx.Client, job: dict[str, Any], order: tuple[int, ...]
) -> None:
    """Counts of three parts add up to one count in any order of arrival."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    events = [
        event_of(
            job,
            kind="progress",
            tag="say_hello",
            occurred_at=format_instant(start + timedelta(seconds=number)),
            **counted,
        )
        for number, counted in enumerate(
            (
                {"part": "left", "completed": 10, "total": 100},
                {"part": "right", "completed": 35},
                {"completed": 5},
            )
        )
    ]
    readings = []
    for number in order:
        stored = api.post("/events", json=events[number]).json()
        assert stored["part"] == events[number].get("part")
        readings.append(api.get(f"/jobs/{job['id']}").json()["percent"])
    counted = api.get(f"/jobs/{job['id']}").json()["steps"][0]
    # Compare the texts, since 100 == 100.0. The state must have floats, as the columns
    # have.
    assert repr((counted["completed"], counted["total"])) == "(50.0, 100.0)"
    assert counted["fraction"] == 0.5
    assert readings == sorted(readings)
    listed = api.get(f"/jobs/{job['id']}/events").json()["items"]
    assert [event["part"] for event in listed] == [
        events[number].get("part") for number in order
    ]


@pytest.mark.parametrize("part", ["", " ", "a\nb", "x" * 101, 1, None])
def test_part_has_the_form_of_a_tag(
    api: httpx.Client, job: dict[str, Any], part: object
) -> None:
    """A part name that is not a valid tag gets 422 with the pointer /part."""
    answer = api.post("/events", json=event_of(job, part=part))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/part"


def test_event_of_an_unknown_job_has_its_own_problem(api: httpx.Client) -> None:
    """An event of an unknown job has the problem `unknown-job`, also in a batch."""
    event = event_of({"provider_job_id": "nobody's"})
    alone = api.post("/events", json=event)
    [line] = send_lines(api, [event]).json()["rejected"]
    assert alone.status_code == 404
    assert alone.json()["type"] == "urn:trackerapi:problem:unknown-job"
    assert line["problem"]["type"] == alone.json()["type"]


def test_batch_stores_valid_lines_beside_invalid_ones(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """A batch stores its valid lines; each rejection has its line and event id."""
    known, bad = event_of(job, event_id=str(uuid4())), str(uuid4())
    api.post("/events", json=known)
    report = send_lines(
        api,
        [
            known,
            b"{not json",
            event_of(job, event_id=bad, fraction=2),
            b"",
            event_of(job, tag="say_bye"),
            b"\xff\xfe",
            known,
        ],
    ).json()
    assert (report["accepted"], report["duplicates"]) == (1, 2)
    assert [(each["line"], each["event_id"]) for each in report["rejected"]] == [
        (2, None),
        (3, bad),
        (6, None),
    ]
    assert report["rejected"][1]["problem"]["errors"][0]["pointer"] == "/fraction"


def test_batch_may_be_compressed(api: httpx.Client, job: dict[str, Any]) -> None:
    """A batch compressed with gzip is stored."""
    body = b"\n".join(json.dumps(event_of(job)).encode() for _ in range(10))
    packed = [gzip.compress(body)]
    report = send_lines(api, packed, **{"Content-Encoding": "gzip"}).json()
    assert report["accepted"] == 10


def test_batch_in_any_order_ends_in_the_same_job(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """Batches in any order lead to the state in the order of `occurred_at`."""
    steps = [step["tag"] for step in job["steps"]]
    events = [
        event_of(job, kind="step", tag=tag, occurred_at=f"2026-01-01T00:00:0{n}Z")
        for n, tag in enumerate(steps)
    ]
    error = event_of(job, kind="error", occurred_at="2025-12-31T00:00:00Z")
    for batch in (events[2:], events[:2], [error]):
        send_lines(api, batch)
    now = api.get(f"/jobs/{job['id']}").json()
    assert (now["status"], now["percent"]) == ("succeeded", 100.0)
    assert now["finished_at"] == "2026-01-01T00:00:02Z"


def test_events_are_listed_in_order_of_arrival(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """All pages together have each event once, in the order of its sequence number."""
    send_lines(api, [event_of(job, message=f"m{n}") for n in range(5)])
    listed = all_items(api, f"/jobs/{job['id']}/events", limit=2)
    seen = [(item["sequence"], item["message"]) for item in listed]
    assert seen == [(n + 1, f"m{n}") for n in range(5)]


def test_batch_beside_another_provider_is_stored_once_and_in_order(
    api: httpx.Client, other_api: httpx.Client, job: dict[str, Any]
) -> None:
    """A batch that is stored in parts gets one response; events keep their order."""
    other_job = new_job(other_api, customer_id=OTHER_CUSTOMER)
    counted = {"kind": "progress", "tag": "say_hello", "total": 1000}
    lines = [
        event_of(job, **counted, event_id=str(uuid4()), completed=count)
        for count in range(1, 1001)
    ]
    other_api.post("/events", json=event_of(other_job)).raise_for_status()
    first = api.post("/events", json=lines[0]).raise_for_status()
    report = send_lines(api, lines).json()
    assert (report["accepted"], report["duplicates"]) == (999, 1)
    assert send_lines(api, lines).json()["duplicates"] == 1000
    listed = all_items(api, f"/jobs/{job['id']}/events", limit=200)
    assert first.json()["sequence"] == 1
    assert [item["completed"] for item in listed] == list(range(1, 1001))


def report_of(count: int) -> Report:
    """Return a report of events with given ids."""
    sent: EventInput = {"provider_job_id": "mr-1", "kind": "info"}
    ids = [str(uuid4()) for _ in range(count)]
    events = [read_event({**sent, "event_id": each}, now=0) for each in ids]
    return Report(7, events, only_job_id=3)


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, [0]), (250, [250]), (251, [250, 1]), (750, [250] * 3)]
)
def test_large_report_is_split_into_parts_in_order(
    count: int, sizes: list[int]
) -> None:
    """Each part has the provider, the only job and the next events of the report."""
    report = report_of(count)
    parts = report.split(250)
    assert [len(part.events) for part in parts] == sizes
    assert [event for part in parts for event in part.events] == report.events
    assert {(part.provider_id, part.only_job_id) for part in parts} == {(7, 3)}


@pytest.mark.parametrize("without_id", [0, 300, 999])
def test_report_with_an_event_without_id_is_one_part(without_id: int) -> None:
    """A report is not split if an event has no id: a repeat would store it twice."""
    report = report_of(1000)
    report.events[without_id].sent_event_id = None
    assert report.split(250) == [report]


OPTIONAL: dict[str, Any] = {
    "tag": "say_hello",
    "completed": 2.5,
    "total": 40.0,
    "fraction": 0.1,
    "part": "host-1",
    "message": "one",
    "detail": "two",
    "failed": 1.5,
    "max_attempts": 3,
}


def test_every_set_of_members_is_stored_as_it_is_sent(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """Each event of a batch has the members of its line; the others are null."""
    sets = [set(some) for n in range(10) for some in combinations(OPTIONAL, n)]
    sent = [{name: OPTIONAL[name] for name in some} for some in sets]
    for lines in (sent, sent[:3], sent[-1:], [sent[0], *sent[-3:]]):
        batch = [event_of(job, **members) for members in lines]
        assert send_lines(api, batch).json()["accepted"] == len(lines)
        listed = all_items(api, f"/jobs/{job['id']}/events")[-len(lines) :]
        stored = [{name: event[name] for name in OPTIONAL} for event in listed]
        assert stored == [dict.fromkeys(OPTIONAL) | members for members in lines]


MEMBERS = {"failed": 2.5, "max_attempts": 3}


@pytest.mark.parametrize("detail", ["", "two\nlines"], ids=["plain line", "other line"])
def test_failed_units_and_attempts_are_stored(
    api: httpx.Client, job: dict[str, Any], detail: str
) -> None:
    """An event and its step have `failed` and `max_attempts`; null if not sent."""
    more = {"detail": detail} if detail else {}
    lines = [
        event_of(
            job, kind="progress", tag="say_hello", completed=4, failed=2.5, **more
        ),
        event_of(job, kind="progress", tag="say_hello", completed=5, failed=1, **more),
        event_of(
            job, kind="error", tag="say_hello", retrying=True, max_attempts=3, **more
        ),
        event_of(job, kind="start", tag="say_bye", **more),
    ]
    assert send_lines(api, lines).json()["accepted"] == 4

    stored = api.get(f"/jobs/{job['id']}/events").json()["items"]
    seen = [(each["failed"], each["max_attempts"]) for each in stored]
    assert seen == [(2.5, None), (1, None), (None, 3), (None, None)]
    first, *_, last = api.get(f"/jobs/{job['id']}").json()["steps"]
    assert {name: first[name] for name in MEMBERS} == MEMBERS
    assert (last["failed"], last["max_attempts"]) == (None, None)


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"failed": -1}, "/failed"),
        ({"failed": "1"}, "/failed"),
        ({"failed": 2**53}, "/failed"),
        ({"max_attempts": 0}, "/max_attempts"),
        ({"max_attempts": 1.5}, "/max_attempts"),
        ({"max_attempts": 2**53}, "/max_attempts"),
    ],
)
def test_failed_units_and_attempts_out_of_range_are_rejected(
    api: httpx.Client, job: dict[str, Any], members: dict[str, Any], pointer: str
) -> None:
    """A value of another type or out of range gets 422, alone and in a batch."""
    line = event_of(job, kind="progress", tag="say_hello", **members)
    answer = api.post("/events", json=line)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer
    [rejected] = send_lines(api, [line]).json()["rejected"]
    assert rejected["problem"]["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(("line_count", "status"), [(1000, 200), (1001, 413)])
def test_batch_has_at_most_a_thousand_lines(
    api: httpx.Client, line_count: int, status: int
) -> None:
    """A batch of 1,000 lines is accepted, and a batch of 1,001 lines gets 413."""
    assert send_lines(api, [b"{}"] * line_count).status_code == status


FAR_AHEAD = (
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T12:00:00-11:59",
    "2999-01-01T00:00:00Z",
)


@pytest.mark.parametrize("occurred_at", FAR_AHEAD)
@pytest.mark.parametrize("in_batch", [False, True])
def test_time_more_than_a_year_ahead_is_stored_as_received(
    api: httpx.Client, job: dict[str, Any], occurred_at: str, in_batch: bool
) -> None:
    """An `occurred_at` more than a year ahead is replaced by the time of receipt."""
    event = event_of(job, kind="start", tag="say_hello", occurred_at=occurred_at)
    if in_batch:
        assert send_lines(api, [event]).json()["accepted"] == 1
    else:
        assert api.post("/events", json=event).status_code == 201
    [stored] = api.get(f"/jobs/{job['id']}/events").json()["items"]
    now = api.get(f"/jobs/{job['id']}").json()
    assert stored["occurred_at"] == stored["received_at"] == now["last_occurred_at"]


def test_time_less_than_a_year_ahead_is_stored_as_sent(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """An `occurred_at` less than a year ahead is stored unchanged."""
    ahead = format_instant(datetime.now(UTC) + timedelta(days=360))
    stored = api.post("/events", json=event_of(job, occurred_at=ahead)).json()
    assert stored["occurred_at"] == ahead


def test_new_id_that_comes_twice_in_a_batch_is_stored_once(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """Of three lines with the same id, in any letter case, the first is stored."""
    event_id = str(uuid4())
    event = event_of(job, kind="progress", tag="say_hello", fraction=0.5)
    lines = [
        event | {"event_id": event_id, "message": "first"},
        event | {"event_id": event_id, "message": "second", "fraction": 1.0},
        event | {"event_id": event_id.upper(), "message": "third", "fraction": 1.0},
    ]
    report = send_lines(api, lines).json()
    assert (report["accepted"], report["duplicates"]) == (1, 2)
    [stored] = api.get(f"/jobs/{job['id']}/events").json()["items"]
    assert stored["message"] == "first"
    now = api.get(f"/jobs/{job['id']}").json()
    assert (now["event_count"], now["steps"][0]["fraction"]) == (1, 0.5)


def test_lines_without_a_time_keep_their_order(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """After 200 counts in one batch, the step shows the count of the last line."""
    counted = {"kind": "progress", "tag": "say_hello", "total": 200}
    lines = [event_of(job, **counted, completed=count) for count in range(1, 201)]
    assert send_lines(api, lines).json()["accepted"] == 200
    [step, *_] = api.get(f"/jobs/{job['id']}").json()["steps"]
    assert step["completed"] == 200


def test_step_has_at_most_1000_parts(api: httpx.Client, job: dict[str, Any]) -> None:
    """The event of part 1,001 is rejected; known parts and other steps count on."""
    counted = {"kind": "progress", "tag": "say_hello", "completed": 1, "total": 5000}
    lines = [event_of(job, **counted, part=f"host-{number}") for number in range(1000)]
    assert send_lines(api, lines).json()["accepted"] == 1000
    uncounted = {"kind": "progress", "tag": "say_hello", "failed": 1}
    known, new = (event_of(job, **uncounted, part=f"host-{n}") for n in (7, 1000))
    answer = send_lines(api, [known, new]).json()
    assert (answer["accepted"], [each["line"] for each in answer["rejected"]]) == (
        1,
        [2],
    )
    report = send_lines(
        api,
        [
            event_of(job, **counted, part="one-more"),
            event_of(job, **counted | {"completed": 2}, part="host-7"),
            event_of(job, **counted | {"tag": "say_bye"}, part="one-more"),
            event_of(job, part="one-more"),
        ],
    ).json()
    assert report["accepted"] == 3
    [rejected] = report["rejected"]
    assert rejected["line"] == 1
    assert rejected["problem"]["errors"][0]["pointer"] == "/part"
    alone = api.post("/events", json=event_of(job, **counted, part="one-more"))
    assert alone.status_code == 422
    [step, *_] = api.get(f"/jobs/{job['id']}").json()["steps"]
    assert step["completed"] == 1001


def test_repeated_part_without_a_count_is_a_duplicate_in_a_full_step(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """Progress after the end of a step is a duplicate when it is repeated.

    Its part is no part of the step, so the limit of parts does not apply.
    """
    counted = {"kind": "progress", "tag": "say_hello", "completed": 1, "total": 5000}
    start = datetime(2026, 1, 1, tzinfo=UTC)
    early, end, late = (
        {"occurred_at": format_instant(start + timedelta(seconds=seconds))}
        for seconds in range(3)
    )
    after_end = event_of(job, **counted, **late, part="late", event_id=str(uuid4()))
    sent = [
        [after_end, event_of(job, kind="step", tag="say_hello", **end)],
        [event_of(job, **counted, **early, part=f"host-{n}") for n in range(1000)],
    ]
    for lines in sent:
        assert send_lines(api, lines).json()["accepted"] == len(lines)
    one_more = event_of(job, **counted, **early, part="one-more", event_id=str(uuid4()))
    report = send_lines(api, [after_end, one_more]).json()
    assert report["duplicates"] == 1
    assert [line["event_id"] for line in report["rejected"]] == [one_more["event_id"]]
    repeated = api.post("/events", json=after_end)
    assert (repeated.status_code, repeated.json()["part"]) == (201, "late")
    new = event_of(job, **counted, **late, part="later")
    assert api.post("/events", json=new).status_code == 201
    [step, *_] = api.get(f"/jobs/{job['id']}").json()["steps"]
    assert step["completed"] == 1000


def test_negative_zero_is_stored_as_zero(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """A count of -0.0 is 0.0 in the response, in the list and in the step."""
    zero = {"completed": -0.0, "total": -0.0, "fraction": -0.0}
    sent = event_of(job, kind="progress", tag="say_hello", **zero)
    stored = api.post("/events", json=sent).json()
    [listed] = api.get(f"/jobs/{job['id']}/events").json()["items"]
    [step, *_] = api.get(f"/jobs/{job['id']}").json()["steps"]
    for shown in (stored, listed, step):
        # Compare the texts, since 0.0 == -0.0.
        assert [repr(shown[name]) for name in zero] == ["0.0", "0.0", "0.0"]
