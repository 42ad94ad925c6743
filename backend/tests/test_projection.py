"""Projection: single rules, and long random histories."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trackerapi_backend.projection.job import (
    JobState,
    Plan,
    advance,
    percent,
    project,
    shown_status,
)
from trackerapi_backend.projection.snapshot import (
    from_document,
    is_current,
    to_document,
)
from trackerapi_backend.projection.statuses import JobStatus, StepStatus
from trackerapi_backend.projection.step import Fact, StepState

from backend.tests.support.histories import ListedFact, ListedHistory, facts_of

TUTORIAL_PLAN = Plan(points={"say_hello": 10, "random_number": 15, "say_bye": 10})


def step(tag: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "step", "tag": tag, **fields}


def test_percent_of_the_tutorial() -> None:
    """Three steps of the tutorial lead to 28.57, 71.43 and 100 percent."""
    facts = facts_of(*(step(tag) for tag in TUTORIAL_PLAN.points or ()))
    percentages = [
        percent(TUTORIAL_PLAN, project(TUTORIAL_PLAN, facts[:n])) for n in (1, 2, 3)
    ]
    assert percentages == [28.57, 71.43, 100.0]
    assert project(TUTORIAL_PLAN, facts).status is JobStatus.SUCCEEDED


def test_percent_stays_below_100_until_the_job_has_succeeded() -> None:
    """A job with all steps done stays at 99.99 before it has succeeded."""
    plan = Plan(points={"a": 1}, explicit_finish=True)
    state = project(plan, facts_of(step("a")))
    assert (percent(plan, state), state.status) == (99.99, JobStatus.RUNNING)


def test_percent_weighs_steps_alike_when_none_has_points() -> None:
    """If all points are 0, each step has the same weight."""
    plan = Plan(points={"a": 0, "b": 0, "c": 0})
    assert percent(plan, project(plan, facts_of(step("b")))) == 33.33


def test_percent_counts_the_largest_fraction_reported() -> None:
    """A smaller count after a larger count does not lower the percentage."""
    plan = Plan(points={"a": 1, "b": 1})
    report = {"kind": "progress", "tag": "a"}
    facts = facts_of(report | {"fraction": 0.5}, report | {"completed": 1, "total": 10})
    state = project(plan, facts)
    assert percent(plan, state) == 25.0
    assert (state.steps["a"].completed, state.steps["a"].total) == (1, 10)


def count(completed: float | None = None, **fields: Any) -> dict[str, Any]:
    return {"kind": "progress", "tag": "a", "completed": completed, **fields}


@pytest.mark.parametrize(
    ("events", "completed", "total", "percentage"),
    [
        ([count(10, part="x", total=100), count(30, part="y")], 40, 100, 20.0),
        ([count(30, part="y"), count(10, part="x", total=100)], 40, 100, 20.0),
        ([count(30, part="x", total=100), count(20, part="x")], 30, 100, 15.0),
        ([count(30, total=100), count(30, part="x")], 60, 100, 30.0),
        ([count(30, part="x", total=100), count(30)], 60, 100, 30.0),
        ([count(9, part="x", total=30), count(9, part="y", total=90)], 18, 90, 30.0),
        ([count(9, part="x", total=90), count(9, total=30), count(9)], 18, 30, 30.0),
        ([count(10, part="x"), count(10, part="y")], 20, None, 0.0),
        ([count(10, part="x", total=0), count(10, part="y", total=40)], 20, 40, 25.0),
        ([count(40, part="x", total=60), count(40, part="y")], 80, 60, 50.0),
        ([count(part="x", fraction=0.5), count(1, part="y", total=8)], 1, 8, 25.0),
        ([count(10, total=40), count(5)], 5, None, 12.5),
    ],
    ids=[
        "parts add up",
        "the order of parts has no effect",
        "the largest count of a part",
        "a count without part, then a part",
        "a part, then a count without part",
        "the newest total is shown",
        "the smallest total replaces a missing total",
        "no total",
        "a total of 0 is ignored",
        "the fraction is at most 1",
        "a reported fraction",
        "the newest count without parts",
    ],
)
def test_parts_of_a_step_add_up(
    events: list[dict[str, Any]],
    completed: float,
    total: float | None,
    percentage: float,
) -> None:
    """A step adds the counts of its parts and divides the sum by the smallest total."""
    plan = Plan(points={"a": 1, "b": 1})
    state = project(plan, facts_of(*events))
    a_step = state.steps["a"]
    assert (a_step.completed, a_step.total) == (completed, total)
    assert percent(plan, state) == percentage


@pytest.mark.parametrize("end", ["step", "skip", "complete"])
def test_progress_after_the_end_of_a_step_is_not_counted(end: str) -> None:
    """A step counts progress until its first end, in any order of arrival."""
    plan = Plan(points={"a": 1, "b": 1})
    facts = facts_of(
        count(3, total=9), {"kind": end, "tag": "a"}, count(1, total=2), step("a")
    )
    for arriving in permutations(facts):
        state, arrived = JobState(), list[Fact]()
        for fact in arriving:
            arrived.append(fact)
            state = advance(plan, state, [fact], ListedHistory(arrived))
        assert state == project(plan, facts)
        assert (state.steps["a"].completed, state.steps["a"].total) == (3, 9)


def test_snapshot_has_no_counts_of_steps_without_progress() -> None:
    """A stored step without progress has no counts; a settled step keeps its counts."""
    plan = Plan(points={"a": 1, "b": 1})
    counted = [count(1, part=f"worker-{n}", total=500) for n in range(500)]
    state = project(plan, facts_of(*counted, step("a"), step("b")))
    document = to_document(state)
    assert [len(row) for row in document["steps"].values()] == [15, 10]
    assert document["steps"]["a"][-1] == {f"worker-{n}": 1 for n in range(500)}
    shown = from_document(document).steps["a"]
    assert (shown.completed, shown.total, shown.fraction) == (500, 500, 1.0)


def test_snapshot_of_format_4_can_be_shown_but_is_not_current() -> None:
    """A snapshot of format 4 lacks the report counts of steps, and is not current."""
    plan = Plan(points={"a": 1, "b": 1})
    counted = count(3, part="x", total=9, failed=1)
    waiting = {"kind": "error", "tag": "a", "retrying": True, "max_attempts": 5}
    state = project(plan, facts_of(counted, waiting, {"kind": "start", "tag": "b"}))
    document = to_document(state)
    document["steps"] = {
        tag: [*row[:7], *row[10:]] for tag, row in document["steps"].items()
    }
    del document["pause"]
    document["form"] = 4
    shown = from_document(document)
    assert not is_current(document)
    assert [each.interval for each in shown.steps.values()] == [None, None]
    for tag, each in state.steps.items():
        bare = replace(each, report_count=0, first_report_at=None, last_report_at=None)
        assert shown.steps[tag] == bare


def test_job_fails_at_100_when_an_error_follows_success() -> None:
    """An error after success makes the job failed, but the job stays at 100 percent."""
    state = project(TUTORIAL_PLAN, facts_of({"kind": "complete"}, {"kind": "error"}))
    assert (percent(TUTORIAL_PLAN, state), state.status) == (100.0, JobStatus.FAILED)


def test_job_is_reopened_by_work_after_a_failure() -> None:
    """A `start` of a step after a failure makes the job run again."""
    error = {"kind": "error", "tag": "say_bye"}
    start = {"kind": "start", "tag": "say_bye"}
    failed = project(TUTORIAL_PLAN, facts_of(start, error))
    resumed = project(TUTORIAL_PLAN, facts_of(start, error, start))
    assert (failed.status, resumed.status) == (JobStatus.FAILED, JobStatus.RUNNING)
    assert resumed.steps["say_bye"].attempts == 2
    assert resumed.finished_at is None


def test_cancelled_job_is_not_reopened_by_work() -> None:
    """Events of steps do not reopen a cancelled job."""
    work = [{"kind": kind, "tag": "a"} for kind in ("start", "progress", "step")]
    state = project(TUTORIAL_PLAN, facts_of({"kind": "cancel"}, *work))
    assert state.status is JobStatus.CANCELLED


def test_cancelled_job_is_reopened_by_its_own_start() -> None:
    """A `start` of the job reopens a cancelled job."""
    state = project(TUTORIAL_PLAN, facts_of({"kind": "cancel"}, {"kind": "start"}))
    assert (state.status, state.finished_at) == (JobStatus.RUNNING, None)


def test_retrying_step_waits_while_its_job_lives() -> None:
    """A step between two attempts is pending, and failed after the end of its job."""
    error = {"kind": "error", "tag": "say_hello", "retrying": True}
    alive = project(TUTORIAL_PLAN, facts_of(error))
    ended = project(TUTORIAL_PLAN, facts_of(error, {"kind": "error"}))
    assert alive.status is JobStatus.RUNNING
    assert shown_status(alive, alive.steps["say_hello"]) is StepStatus.PENDING
    assert shown_status(ended, ended.steps["say_hello"]) is StepStatus.FAILED


def test_unreached_step_is_not_run_once_the_job_has_succeeded() -> None:
    """A step without events is `not_run` once the job has succeeded."""
    state = project(TUTORIAL_PLAN, facts_of({"kind": "complete"}))
    assert shown_status(state, StepState()) is StepStatus.NOT_RUN


@pytest.mark.parametrize(
    ("end", "begun", "waiting"),
    [
        ("error", StepStatus.RUNNING, StepStatus.FAILED),
        ("cancel", StepStatus.CANCELLED, StepStatus.CANCELLED),
        ("complete", StepStatus.RUNNING, StepStatus.FAILED),
        ("info", StepStatus.RUNNING, StepStatus.PENDING),
        ("interrupt", StepStatus.PENDING, StepStatus.PENDING),
    ],
)
def test_end_of_the_job_shows_in_its_open_steps(
    end: str, begun: StepStatus, waiting: StepStatus
) -> None:
    """The end of a job determines the shown status of its open steps."""
    state = project(
        TUTORIAL_PLAN,
        facts_of(
            {"kind": "start", "tag": "say_hello"},
            {"kind": "error", "tag": "random_number", "retrying": True},
            {"kind": end},
        ),
    )
    shown = [shown_status(state, state.steps[tag]) for tag in state.steps]
    untouched = shown_status(state, StepState())
    assert shown == [begun, waiting]
    is_to_come = end in ("info", "interrupt")
    assert untouched is (StepStatus.PENDING if is_to_come else StepStatus.NOT_RUN)


def test_resumed_job_awaits_its_steps_again() -> None:
    """Work after a failure makes a step without events pending again."""
    error, start = {"kind": "error"}, {"kind": "start", "tag": "say_hello"}
    state = project(TUTORIAL_PLAN, facts_of(error, start))
    assert shown_status(state, StepState()) is StepStatus.PENDING


def test_time_far_ahead_is_shown_as_received() -> None:
    """An `occurred_at` an hour ahead is shown as the time of receipt."""
    ahead = 60 * 60 * 1_000_000
    fact = ListedFact(
        occurred_at=ahead, event_id=b"\0" * 16, received_at=1, kind="start"
    )
    state = project(TUTORIAL_PLAN, [fact])
    assert (state.started_at, state.last_occurred_at) == (1, ahead)


KINDS = [
    *("start", "progress", "step", "skip", "error"),
    *("complete", "cancel", "interrupt", "info"),
]
EVENTS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(KINDS),
        "tag": st.sampled_from([None, "a", "b", "c", "unknown"]),
        "fraction": st.none() | st.none() | st.floats(0, 1),
        "completed": st.none() | st.integers(0, 9) | st.floats(0, 2**53 - 1),
        "total": st.none() | st.integers(0, 9) | st.floats(0, 2**53 - 1),
        "part": st.sampled_from([None, None, "x", "y", "z"]),
        "retrying": st.booleans(),
    }
)
POINTS = st.dictionaries(st.sampled_from("abc"), st.integers(0, 10**6), min_size=1)
PLANS = st.builds(Plan, points=st.none() | POINTS, explicit_finish=st.booleans())


@settings(max_examples=150, deadline=None)
@given(plan=PLANS, events=st.lists(EVENTS, max_size=40), data=st.data())
def test_long_histories_end_alike_in_any_order_and_batches(
    plan: Plan, events: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Any order and any batches lead to the same state, and percent never falls."""
    facts = facts_of(*events)
    arriving = data.draw(st.permutations(facts))
    state, percentage, arrived = JobState(), percent(plan, JobState()), list[Fact]()
    while arriving:
        size = data.draw(st.integers(1, 5))
        batch, arriving = arriving[:size], arriving[size:]
        arrived += batch
        before = from_document(to_document(state))
        state = advance(plan, before, batch, ListedHistory(list(arrived)))
        now = percent(plan, state)
        assert percentage is None or (now is not None and now >= percentage)
        percentage = now
    assert state == project(plan, facts)
