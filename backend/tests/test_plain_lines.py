"""Plain lines: each accepted line is valid by the schema and gives the same event."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trackerapi_backend.instants import to_micros, utc_now
from trackerapi_backend.jobs.new_event import read_event
from trackerapi_backend.jobs.plain_lines import read_plain_line
from trackerapi_backend.requests.contract import check, document, named_schema
from trackerapi_backend.requests.json_text import parse_json

NOW = to_micros(utc_now())
EVENT_ID = "019ab4c2-7a10-7c3e-9d55-0f6a3b1c2d3e"
FULL: dict[str, Any] = {
    "event_id": EVENT_ID,
    "provider_job_id": "mr-2041",
    "kind": "progress",
    "tag": "load",
    "name": "load",
    "event_metadata": {
        "rows": 12,
        "share": 0.5,
        "note": "größer",
        "ok": True,
        "x": None,
    },
    "occurred_at": "2026-11-30T21:00:00.123456+01:00",
    "completed": 10,
    "total": 40.5,
    "fraction": 0.25,
    "part": "worker 1",
    "retrying": True,
    "message": "One quarter is done.",
    "detail": "host a",
    "failed": 2,
    "max_attempts": 3,
}

TEXTS = st.sampled_from(
    [
        *(
            "",
            " ",
            "a",
            " a",
            "a ",
            "\N{NO-BREAK SPACE}a",
            "a\tb",
            "a\nb",
            "\0",
            "\ud800",
        ),
        *("\N{LINE SEPARATOR}", "\N{RIGHT-TO-LEFT OVERRIDE}", "\\", '"', "x" * 101),
        *("x" * 100, "x" * 201, "x" * 2001, "x" * 16001, "\N{GRINNING FACE}" * 100),
    ]
)
NUMBERS = st.sampled_from(
    [0, -0.0, 1, 1.0, 0.1, -1, 1e300, 2**53 - 1, 2**53, 2**64, -(2**53) + 1, 2.0**53]
)
TIMES = st.sampled_from(
    [
        *("2026-11-30T21:00:00Z", "2026-11-30t21:00:00z", "2026-11-30 21:00:00Z"),
        *("2026-11-30T21:00:00", "2026-11-30T21:00:60Z", "2026-11-30T23:59:60Z"),
        *("2026-11-30T21:00:00.1234567Z", "2026-11-30T21:00:00.1Z", "2026-11-30"),
        *("2026-11-30T21:00:00+24:00", "2026-11-30T21:00:00+00:60", "20261130T210000Z"),
        *(
            "2026-W48-1T21:00:00Z",
            "2026-11-30T24:00:00Z",
            "2026-11-30T21:00:00,5Z",
            "2026-11-30T21:00Z",
        ),
        *(
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "2099-01-01T00:00:00Z",
        ),
        *("2026-02-30T00:00:00Z", "0000-01-01T00:00:00Z", "२०२६-11-30T21:00:00Z", ""),
    ]
)
EVENT_IDS = st.sampled_from(
    [
        *(EVENT_ID, EVENT_ID.upper(), EVENT_ID.replace("-", ""), f"{{{EVENT_ID}}}", ""),
        *(
            EVENT_ID.replace("0", " "),
            EVENT_ID[::-1],
            "019ab4c2-7a10-7c3e-9d550-f6a3b1c2d3e",
        ),
        *(
            EVENT_ID.replace("a", "g"),
            "0" * 36,
            "-" * 36,
            "019ab4c27-a10-7c3e-9d55-0f6a3b1c2d3e",
        ),
    ]
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2)
    ),
    max_leaves=4,
)
METADATA = st.dictionaries(TEXTS, JSON_VALUES, max_size=3) | st.just(
    {f"key {number}": number for number in range(51)}
)
MEMBERS = {
    **dict.fromkeys(("provider_job_id", "kind", "tag", "name", "part"), TEXTS),
    **dict.fromkeys(("message", "detail"), TEXTS),
    **dict.fromkeys(("completed", "total", "fraction", "failed"), NUMBERS),
    "max_attempts": NUMBERS,
    "event_id": EVENT_IDS,
    "occurred_at": TIMES,
    "event_metadata": METADATA,
    "retrying": st.booleans(),
}


@st.composite
def lines(draw: st.DrawFn) -> str:
    """Return a line that is valid but for a few members, of the right type or not."""
    sent: dict[str, Any] = {"provider_job_id": "mr-2041", "kind": "progress"}
    for name in draw(st.lists(st.sampled_from(sorted(MEMBERS)), max_size=3)):
        sent[name] = draw(MEMBERS[name] | JSON_VALUES)
    if draw(st.integers(0, 9)) == 0:
        sent[draw(TEXTS)] = "unknown"
    return json.dumps(sent, ensure_ascii=draw(st.booleans()))


@given(lines())
def test_plain_line_gives_the_event_of_the_schema(line: str) -> None:
    """The schema accepts each line that is plain, and the event is the same."""
    text = line.encode(errors="surrogatepass")
    event = read_plain_line(text, now=NOW, line=3)
    if event is None:
        return
    sent = parse_json(text)
    check(named_schema("EventInput"), sent)
    slowly = read_event(sent, now=NOW, line=3)
    if event.sent_event_id is None:
        slowly.event_id = event.event_id
    assert repr(event) == repr(slowly)


@pytest.mark.parametrize(
    "left_out", ["", *sorted(FULL.keys() - {"provider_job_id", "kind"})]
)
def test_usual_line_is_plain(left_out: str) -> None:
    """A line with any of the members, in their usual form, does not need the schema."""
    sent = {name: value for name, value in FULL.items() if name != left_out}
    event = read_plain_line(json.dumps(sent).encode(), now=NOW, line=0)
    assert event is not None
    slowly = read_event(sent, now=NOW)  # type: ignore[arg-type]
    if left_out == "event_id":
        slowly.event_id = event.event_id
    assert repr(event) == repr(slowly)


def test_cases_have_all_members_of_the_contract() -> None:
    """A new member of `EventInput` needs a decision about plain lines."""
    members = document()["components"]["schemas"]["EventInput"]["properties"]
    assert members.keys() == FULL.keys() == MEMBERS.keys()
