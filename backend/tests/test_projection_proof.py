"""Proof of the projection for all histories of up to three, four or five events.

A history has three to five positions in time. Each position has one event or no event.
The tests take each event of each history as the last arrival: `advance()` folds it onto
the state of the other events. Any order of arrival is a chain of such arrivals, so the
tests cover every order.

Events also arrive in batches. The events of a batch may lie before and after the events
that are already folded. For histories of up to three events, the tests take every
subset of the events as the last batch.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from trackerapi_backend.projection.job import (
    JobState,
    Plan,
    advance,
    percent,
    project,
)
from trackerapi_backend.projection.snapshot import from_document, to_document

from backend.tests.support.histories import ListedFact, ListedHistory

if TYPE_CHECKING:
    from trackerapi_backend.projection.step import Fact, Key

STEP_EVENTS: list[dict[str, Any]] = [
    {"kind": "start"},
    {"kind": "progress", "fraction": 0.4},
    {"kind": "step"},
    {"kind": "skip"},
    {"kind": "error"},
    {"kind": "error", "retrying": True},
]
JOB_KINDS = ("start", "error", "complete", "cancel", "interrupt", "info")
ALPHABET: list[dict[str, Any]] = [
    *(event | {"tag": tag} for event in STEP_EVENTS for tag in ("a", "b")),
    *({"kind": kind} for kind in JOB_KINDS),
]
# All events, with those that count as another event or have no effect. The alphabet is
# large, so the histories are short.
EVERY_EVENT: list[dict[str, Any]] = [
    *ALPHABET,
    *({"kind": "complete", "tag": tag} for tag in ("a", "b")),
    *({"kind": kind, "tag": "a"} for kind in ("cancel", "interrupt")),
    {"kind": "step", "tag": "unknown"},
    {"kind": "heartbeat"},
    {"kind": "odd"},
]
# A job without a configuration treats all tags alike, so one tag is enough.
ALPHABET_OF_ONE_TAG = [event for event in ALPHABET if event.get("tag") in (None, "a")]

PROGRESS: dict[str, Any] = {"kind": "progress", "tag": "a"}
ALPHABET_OF_PARTS: list[dict[str, Any]] = [
    *(
        PROGRESS | counted
        for counted in (
            {"part": "x", "completed": 1, "total": 4},
            {"part": "x", "completed": 3},
            {"part": "y", "completed": 2, "total": 0},
            {"part": "y", "fraction": 0.4},
            {"completed": 2, "total": 3},
            {"completed": 1},
        )
    ),
    {"kind": "step", "tag": "a"},
]
# Events that arrive late when several workers report one step.
ALPHABET_OF_WORKERS: list[dict[str, Any]] = [
    *(
        {"kind": kind, "tag": tag, "part": part} | counts
        for kind, counts in (("start", {}), ("progress", {"completed": 1, "total": 2}))
        for tag, part in (("a", "x"), ("a", "y"), ("b", "x"))
    ),
    {"kind": "error", "tag": "a"},
    {"kind": "interrupt"},
    {"kind": "cancel"},
    {"kind": "error"},
    {"kind": "complete"},
]

CASES = [
    pytest.param(Plan(points={"a": 10, "b": 25}), ALPHABET, 4, id="configured"),
    # An explicit finish only removes one transition, so three events are enough.
    pytest.param(
        Plan(points={"a": 0, "b": 0}, explicit_finish=True),
        ALPHABET,
        3,
        id="explicit finish",
    ),
    pytest.param(Plan(points=None), ALPHABET_OF_ONE_TAG, 4, id="unconfigured"),
    pytest.param(Plan(points={"a": 10, "b": 25}), EVERY_EVENT, 3, id="every event"),
    # The effect of a count depends on all earlier counts, so the histories are longer.
    pytest.param(Plan(points={"a": 10, "b": 25}), ALPHABET_OF_PARTS, 5, id="parts"),
    pytest.param(Plan(points={"a": 1, "b": 1}), ALPHABET_OF_WORKERS, 4, id="workers"),
    pytest.param(Plan(points=None), ALPHABET_OF_WORKERS, 4, id="workers, no plan"),
]


class CountingHistory(ListedHistory):
    """History that counts the look-ups of progress."""

    look_ups = 0

    def next_progress(self, tag: str | None, after: Key | None) -> Fact | None:
        """Return the first progress with a tag after a key."""
        self.look_ups += 1
        return super().next_progress(tag, after)


def fact_at(place: int, event: dict[str, Any]) -> Fact:
    """Return the fact of an event at a position in time."""
    at = place * 1_000_000
    # Ids fall while times rise, so a projection in the order of ids would fail.
    event_id = (2**64 - place).to_bytes(15, "big") + bytes(
        [ord(event.get("part") or "0")]
    )
    return ListedFact(occurred_at=at, event_id=event_id, received_at=at, **event)


def copy_of(state: JobState) -> JobState:
    """Return an equal state: `advance()` changes the state that it is given."""
    return from_document(to_document(state))


@pytest.mark.parametrize(("plan", "alphabet", "places"), CASES)
def test_state_depends_on_the_set_of_events_alone(
    plan: Plan, alphabet: list[dict[str, Any]], places: int
) -> None:
    """The state does not depend on the order of arrival; percent never falls."""
    choices = [[fact_at(place, event) for event in alphabet] for place in range(places)]
    # A history has a number for each position: an event of the alphabet, or 0 for no
    # event. `product()` yields smaller numbers first, so the history without one of
    # its events is in `reached` before the whole history.
    histories = product(range(len(alphabet) + 1), repeat=places)
    nothing = next(histories)
    reached = {nothing: (JobState(), percent(plan, JobState()))}
    for history in histories:
        taken = [place for place in range(places) if history[place]]
        facts = [choices[place][history[place] - 1] for place in taken]
        state = project(plan, facts)
        assert from_document(to_document(state)) == state
        now = percent(plan, state)
        reached[history] = (state, now)
        for last, place in zip(facts, taken, strict=True):
            before, then = reached[(*history[:place], 0, *history[place + 1 :])]
            after = advance(plan, copy_of(before), [last], ListedHistory(facts))
            assert after == state
            assert then is None or (now is not None and now >= then)
    assert len(reached) == (len(alphabet) + 1) ** places


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(Plan(points={"a": 10, "b": 25}), id="configured"),
        pytest.param(Plan(points=None), id="unconfigured"),
    ],
)
def test_state_does_not_depend_on_batches(plan: Plan) -> None:
    """The state does not depend on the grouping of events into batches."""
    choices = [
        [None, *(fact_at(at, event) for event in EVERY_EVENT)] for at in range(3)
    ]
    # `product()` yields None first, so the state of each subset is in `states` before
    # the state of the whole history.
    states: dict[tuple[Fact | None, ...], JobState] = {}
    for history in product(*choices):
        facts = [fact for fact in history if fact is not None]
        state = states[history] = project(plan, facts)
        for arrives in product((False, True), repeat=3):
            rest = tuple(
                None if is_new else fact
                for fact, is_new in zip(history, arrives, strict=True)
            )
            batch = [fact for fact in facts if fact not in rest]
            before = copy_of(states[rest])
            assert advance(plan, before, batch, ListedHistory(facts)) == state


def test_late_progress_of_a_running_step_reads_no_event() -> None:
    """Four workers with overlapping seconds never make `advance()` fold all events."""
    plan = Plan(points={"a": 1, "b": 1})
    first = fact_at(0, {"kind": "start", "tag": "a"})
    state = advance(plan, JobState(), [first], ListedHistory([]))
    facts = [
        fact_at(place, PROGRESS | {"part": part, "completed": place, "total": 400})
        for place in range(1, 101)
        for part in ("w", "x", "y", "z")
    ]
    by_worker = sorted(facts, key=lambda fact: str(fact.part))
    for fact in by_worker:
        state = advance(plan, state, [fact], ListedHistory([]))
    assert state == project(plan, [first, *facts])
    assert (state.steps["a"].completed, state.steps["a"].fraction) == (400, 1.0)


def test_fold_with_many_look_ups_reads_all_events_instead() -> None:
    """A late event in a job of 40 steps and 40 failures makes few look-ups."""
    tags = [f"step-{number}" for number in range(40)]
    plan = Plan(points=dict.fromkeys(tags, 1))
    facts: list[Fact] = []
    for _ in range(40):
        facts.append(fact_at(len(facts), {"kind": "interrupt"}))
        for tag in tags:
            facts.append(fact_at(len(facts), {"kind": "progress", "tag": tag}))
    state = project(plan, facts[1:])
    history = CountingHistory(facts)
    assert advance(plan, state, facts[:1], history) == project(plan, facts)
    assert history.look_ups <= 100
