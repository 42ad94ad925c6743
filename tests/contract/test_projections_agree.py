"""Projections of library and backend on random histories of events."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from trackerapi_backend.projection.job import (
    JobState,
    Plan,
    advance,
    percent,
    shown_status,
)
from trackerapi_backend.projection.step import StepState

from backend.tests.support.histories import ListedFact, ListedHistory
from trackerapi.events.projection import JobProgress, StepProgress

KINDS = [
    "start",
    "progress",
    "step",
    "skip",
    "error",
    "complete",
    "cancel",
    "interrupt",
    "info",
    "heartbeat",
    "lunch",
]
UNITS = st.none() | st.integers(0, 20) | st.floats(0, 1e6)
EVENTS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from([*KINDS, "progress", "progress"]),
        "tag": st.sampled_from([None, "a", "b", "c", "unknown"]),
    },
    optional={
        "fraction": st.none() | st.floats(0, 1),
        "completed": UNITS,
        "total": UNITS,
        "part": st.sampled_from([None, "x", "y"]),
        "retrying": st.booleans(),
        "failed": UNITS,
        "max_attempts": st.none() | st.integers(1, 5),
    },
)
POINTS = st.dictionaries(st.sampled_from("abc"), st.integers(0, 10**6))


@settings(max_examples=400, deadline=None)
@given(
    points=st.none() | POINTS,
    is_explicit=st.booleans(),
    events=st.lists(EVENTS, max_size=40),
)
def test_both_projections_agree_after_each_event(
    points: dict[str, int] | None, is_explicit: bool, events: list[dict[str, Any]]
) -> None:
    """Percentage, statuses, fractions, counts and attempts agree after each event."""
    plan, state = Plan(points=points, explicit_finish=is_explicit), JobState()
    progress = JobProgress(points, is_explicit=is_explicit)
    for second, event in enumerate(events):
        details = {n: v for n, v in event.items() if n not in ("kind", "tag")}
        # Job handles skip `take()` for a repeated event without details.
        if details or not progress.repeats(event["kind"], event["tag"]):
            progress.take(event["kind"], event["tag"], details)
        at, event_id = second * 1_000_000, second.to_bytes(16, "big")
        fact = ListedFact(occurred_at=at, event_id=event_id, received_at=at, **event)
        state = advance(plan, state, [fact], ListedHistory([]))

        assert progress.percent == percent(plan, state)
        assert progress.status == state.status.value
        for tag in points or ():
            ours = progress.steps.get(tag, StepProgress())
            theirs = state.steps.get(tag, StepState())
            assert progress.shown_status(tag) == shown_status(state, theirs).value
            members = ("fraction", "completed", "total", "attempts", "failed")
            for member in (*members, "max_attempts"):
                assert getattr(ours, member) == getattr(theirs, member), member
