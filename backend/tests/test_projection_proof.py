"""Proof of the projection for every history of up to four events.

A history has four places in time, each with one event or none. An order of arrival
is a path from the empty history that adds one event a time, so every path consists
of steps "one event arrives at the rest of its history". All such steps are checked
for all histories, which covers every order of arrival, and every point on the way,
without walking the paths; no symmetry is assumed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from typing import Any

import pytest
from trackerapi_backend.projection import (
    Fact,
    JobState,
    Plan,
    advance,
    percent,
    project,
)
from trackerapi_backend.snapshots import from_document, to_document

START = datetime(2026, 1, 1, tzinfo=UTC)
PLACES = 4

STEP_EVENTS: list[dict[str, Any]] = [
    {"kind": "start"},
    {"kind": "progress", "fraction": 0.4},
    {"kind": "step"},
    {"kind": "skip"},
    {"kind": "error"},
    {"kind": "error", "retrying": True},
]
JOB_KINDS = ("start", "error", "complete", "cancel", "info", "heartbeat", "odd")
ALPHABET: list[dict[str, Any]] = [
    *(event | {"tag": tag} for event in STEP_EVENTS for tag in ("a", "b")),
    {"kind": "step", "tag": "unknown"},
    *({"kind": kind} for kind in JOB_KINDS),
]

PLANS = [
    pytest.param(Plan(points={"a": 10, "b": 25}), id="configured"),
    pytest.param(Plan(points={"a": 0, "b": 0}, explicit_finish=True), id="explicit"),
    pytest.param(Plan(points=None), id="unconfigured"),
]


def fact_at(place: int, event: dict[str, Any]) -> Fact:
    """Return the event as it happens at a place in time."""
    at = START + timedelta(seconds=place)
    # Ids fall while times rise: an order that forgot the time would show.
    event_id = bytes([PLACES - place]) * 16
    return Fact(occurred_at=at, event_id=event_id, received_at=at, **event)


CHOICES = [
    [None, *(fact_at(place, event) for event in ALPHABET)] for place in range(PLACES)
]


@pytest.mark.parametrize("plan", PLANS)
def test_state_depends_on_the_set_of_events_alone(plan: Plan) -> None:
    """Whichever event arrives last, the state is the set's, and percent never fell."""
    nothing = JobState()
    reached = {(None,) * PLACES: (nothing, percent(plan, nothing))}
    # "None" comes first at each place: the rest of a history precedes it.
    for history in product(*CHOICES):
        facts = [fact for fact in history if fact is not None]
        if not facts:
            continue
        state = project(plan, facts)
        assert from_document(to_document(state)) == state
        now = percent(plan, state)
        reached[history] = (state, now)
        for place, last in enumerate(history):
            if last is None:
                continue
            rest = (*history[:place], None, *history[place + 1 :])
            before, then = reached[rest]
            assert advance(plan, before, [last], partial(iter, facts)) == state
            assert then is None or (now is not None and now >= then)
    assert len(reached) == (len(ALPHABET) + 1) ** PLACES
