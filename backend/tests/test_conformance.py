"""Projection of the backend, checked against the table that also tests the library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trackerapi_backend.pages.numbers import number_text
from trackerapi_backend.projection.job import (
    JobState,
    Plan,
    advance,
    percent,
    project,
    shown_status,
)
from trackerapi_backend.projection.statuses import JobStatus
from trackerapi_backend.projection.step import StepState

from backend.tests.support.histories import ListedHistory, facts_of

TABLE = Path(__file__).parents[2] / "tests/conformance/projection.json"
NUMBERS = TABLE.with_name("numbers.json")
CASES: list[dict[str, Any]] = json.loads(TABLE.read_text())["cases"]
CELLS: dict[str, Any] = json.loads(TABLE.read_text())["cells"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_job_is_as_in_the_table(case: dict[str, Any]) -> None:
    """The percentage after each event and the final statuses match the table."""
    plan = Plan(points=case["points"], explicit_finish=case["finish"] == "explicit")
    facts, state, percents = facts_of(*case["events"]), JobState(), []
    for fact in facts:
        state = advance(plan, state, [fact], ListedHistory(facts))
        percents.append(percent(plan, state))

    steps = {tag: state.steps.get(tag, StepState()) for tag in case["points"] or ()}
    assert percents == case["percents"]
    assert state.status.value == case["status"]
    assert {
        tag: shown_status(state, step).value for tag, step in steps.items()
    } == case["steps"]
    for tag, count in case.get("attempts", {}).items():
        assert steps[tag].attempts == count
    assert state == project(plan, reversed(facts))


@pytest.mark.parametrize(("value", "text"), json.loads(NUMBERS.read_text()))
def test_number_is_written_as_in_the_table(value: float, text: str) -> None:
    """A number on the customer's page has the text in `numbers.json`."""
    assert number_text(value) == text


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_late_events_and_batches_end_in_the_same_state(case: dict[str, Any]) -> None:
    """Events in reverse order, or in two batches, lead to the same state."""
    plan = Plan(points=case["points"], explicit_finish=case["finish"] == "explicit")
    facts = facts_of(*case["events"])
    ended = project(plan, facts)
    one_by_one = [[fact] for fact in reversed(facts)]
    for batches in (one_by_one, [facts[1::2], facts[::2]], [facts[::2], facts[1::2]]):
        state, arrived = JobState(), []
        for batch in batches:
            arrived += batch
            state = advance(plan, state, batch, ListedHistory(arrived))
        assert state == ended


@pytest.mark.parametrize("before", CELLS["before"])
@pytest.mark.parametrize("row", CELLS["rows"], ids=lambda row: str(row["event"]))
def test_event_turns_each_status_into_that_of_the_table(
    row: dict[str, Any], before: str
) -> None:
    """Each event changes each status as in the table; a success stays at 100 %."""
    tag = row["event"].get("tag")
    plan = Plan(points={tag: 1} if tag == "last" else {"a": 1, "b": 1})
    facts = facts_of(*[*CELLS["before"][before], row["event"]])
    state = project(plan, facts[:-1])
    assert state.status.value == before.split(maxsplit=1)[0]

    after = advance(plan, state, facts[-1:], ListedHistory(facts))

    assert after.status.value == row["after"].get(before, state.status.value)
    has_succeeded = "succe" in before or after.status is JobStatus.SUCCEEDED
    assert (percent(plan, after) == 100.0) is has_succeeded
    is_over = after.status not in ("pending", "running", "interrupted")
    assert (after.finished_at is not None) is is_over
