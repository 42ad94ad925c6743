"""The projection, on the table that the library runs too."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from trackerapi_backend.pages.numbers import number_text
from trackerapi_backend.projection import (
    JobState,
    Plan,
    advance,
    percent,
    project,
    shown_status,
)
from trackerapi_backend.steps import Fact, StepState

TABLE = Path(__file__).parents[2] / "tests/conformance/projection.json"
NUMBERS = TABLE.with_name("numbers.json")
CASES: list[dict[str, Any]] = json.loads(TABLE.read_text())["cases"]
START = datetime(2026, 1, 1, tzinfo=UTC)


def facts_of(case: dict[str, Any]) -> list[Fact]:
    """Return the events of a case, a second apart."""
    return [
        Fact(
            occurred_at=START + timedelta(seconds=second),
            event_id=second.to_bytes(16, "big"),
            received_at=START + timedelta(seconds=second),
            **event,
        )
        for second, event in enumerate(case["events"])
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_job_is_as_the_table_says(case: dict[str, Any]) -> None:
    """Percent after each event, and the statuses in the end, are the table's."""
    plan = Plan(points=case["points"], explicit_finish=case["finish"] == "explicit")
    facts, state, percents = facts_of(case), JobState(), []
    for fact in facts:
        state = advance(plan, state, [fact], lambda: facts)
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
def test_number_is_written_as_the_table_says(value: float, text: str) -> None:
    """The customer's page and the library write numbers alike."""
    assert number_text(value) == text
