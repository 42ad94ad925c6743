"""Usual interval between reports: of a job itself, and learnt from earlier jobs."""

from __future__ import annotations

import random
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trackerapi_backend.cli.database import open_store
from trackerapi_backend.instants import format_instant, to_micros, utc_now
from trackerapi_backend.jobs.creation import create_job
from trackerapi_backend.jobs.intervals import MAX_OFFLINE, find_usual_interval
from trackerapi_backend.jobs.new_event import read_event
from trackerapi_backend.jobs.providers import create_customer
from trackerapi_backend.jobs.recording import Report, record_reports
from trackerapi_backend.projection.job import JobState, Plan, advance, project
from trackerapi_backend.projection.snapshot import from_document, to_document
from trackerapi_backend.settings import storage_from
from trackerapi_backend.store import jobs as stored_jobs
from trackerapi_backend.store import providers as stored_providers

from backend.tests.support.histories import START, ListedFact, ListedHistory
from backend.tests.support.service import STEPS, variables_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from trackerapi_backend.projection.step import Fact
    from trackerapi_backend.store import Store

SECOND = 1_000_000
AT_ONCE = timedelta()
TIMES = st.lists(st.integers(0, 10**6), max_size=30)


@pytest.fixture
def store(tmp_path: Path, database_url: str | None) -> Iterator[Store]:
    """A new store with two providers, on each engine."""
    storage = storage_from({}, variables_of(tmp_path, database_url))
    with closing(open_store(storage, migrate=True)) as store:
        with store.transaction() as db:
            for name in ("One", "Two"):
                provider_id = stored_providers.create_provider(db, name, now=utc_now())
                create_customer(db, provider_id, provider_id)
        yield store


class Kind:
    """A kind of job in a store: creates jobs, records their events.

    Args:
        store: Store of the jobs.
        tag: Tag of the configuration.
        provider_id: Provider of the jobs.
    """

    def __init__(self, store: Store, tag: str = "import", provider_id: int = 1) -> None:
        self._store, self._tag, self._provider_id = store, tag, provider_id
        self._count = 0

    def new_job(self, **members: Any) -> str:
        """Create a job; `members` change its configuration. Return its name."""
        self._count += 1
        name = f"{self._tag}-{self._count}"
        steps = {"tag": self._tag, "name": "Import", "step_configurations": STEPS}
        job: Any = {
            "provider_job_id": name,
            "customer_id": self._provider_id,
            "tag": self._tag,
            "configuration": steps | members,
        }
        with self._store.transaction() as db:
            create_job(db, self._provider_id, job, name_hmac=b"", now=utc_now())
        return name

    def record(
        self, name: str, events: Sequence[dict[str, Any]], *, after: timedelta = AT_ONCE
    ) -> None:
        """Record events of a job that arrive now, or after a time."""
        now = to_micros(utc_now() + after)
        read = [
            read_event({"provider_job_id": name, **event}, now=now)  # type: ignore[typeddict-item]
            for event in events
        ]
        with self._store.transaction() as db:
            record_reports(db, [Report(self._provider_id, read)])

    def succeed(self, interval: float, *, tag: str = "load", **members: Any) -> None:
        """Run a job to its success, with reports of a step at an interval."""
        name = self.new_job(**members)
        self.record(name, [*reports(tag, interval, 4), {"kind": "complete"}])

    def usual(self, name: str) -> float | None:
        """Return the usual interval of a job."""

        def find(db: Any) -> float | None:
            job = stored_jobs.find_job_by_provider_job_id(db, self._provider_id, name)
            assert job is not None
            state = from_document(job.state)
            return find_usual_interval(db, job, state)

        return self._store.read(find)


def reports(
    tag: str, interval: float, count: int, start: datetime = START
) -> list[dict[str, Any]]:
    """Return reports of a step, which runs afterwards."""
    return [
        {
            "kind": "progress",
            "tag": tag,
            "occurred_at": format_instant(start + timedelta(seconds=interval * n)),
        }
        for n in range(count)
    ]


def test_step_with_few_reports_has_the_interval_of_earlier_jobs(store: Store) -> None:
    """A step with fewer than five reports has the usual interval of earlier jobs."""
    kind = Kind(store)
    kind.succeed(30)
    name = kind.new_job()
    assert kind.usual(name) is None
    read = []
    for event in reports("load", 10, 6):
        kind.record(name, [event])
        read.append(kind.usual(name))
    assert read == [30, 30, 30, 30, 10, 10]


def test_usual_interval_is_the_median_of_recent_jobs(store: Store) -> None:
    """Old, failed and single odd jobs do not change the interval."""
    kind = Kind(store)
    kind.succeed(5000)
    for interval in (20, 20, 20, 3000, *[40] * 17):
        kind.succeed(interval)
    for end in ("error", "cancel", "interrupt"):
        name = kind.new_job()
        kind.record(name, [*reports("load", 7, 4), {"kind": end}])
    name = kind.new_job()
    kind.record(name, reports("load", 1, 2))
    assert kind.usual(name) == 40
    for _ in range(11):
        kind.succeed(60)
    assert kind.usual(name) == 60


def test_interval_is_of_a_step_tag_and_provider(store: Store) -> None:
    """Each step, tag and provider has a separate interval; revisions share it."""
    kind, other = Kind(store), Kind(store, "export")
    kind.succeed(30)
    other.succeed(50)
    running = {}
    provider_id = store.read(lambda db: stored_providers.find_provider(db, "Two"))
    assert provider_id is not None
    for each in (kind, other, Kind(store, provider_id=provider_id)):
        name = each.new_job(name="A new revision")
        each.record(name, reports("load", 1, 1))
        running[each] = name
    assert [each.usual(name) for each, name in running.items()] == [30, 50, None]
    stored = kind.new_job()
    kind.record(stored, reports("store", 1, 1))
    assert kind.usual(stored) is None
    kind.record(stored, reports("load", 1, 1))
    assert kind.usual(stored) == 30
    kind.succeed(8, tag="store")
    assert kind.usual(stored) == 8
    fewer = kind.new_job(step_configurations=STEPS[1:])
    kind.record(fewer, reports("store", 1, 1))
    assert kind.usual(fewer) == 8


def test_step_with_a_single_report_teaches_nothing(store: Store) -> None:
    """A job with one report of a step has no interval; simultaneous reports have 0."""
    kind = Kind(store)
    first = kind.new_job()
    kind.record(first, [*reports("load", 1, 1), {"kind": "complete"}])
    name = kind.new_job()
    kind.record(name, reports("load", 1, 1))
    assert kind.usual(name) is None
    kind.succeed(0)
    assert kind.usual(name) == 0


def test_very_long_state_of_an_earlier_job_is_not_read(store: Store) -> None:
    """A job with 1,000 parts of long names has no effect on the usual interval."""
    kind = Kind(store)
    kind.succeed(30)
    long = kind.new_job()
    parts = [
        event | {"part": f"{number:0100}", "completed": 1}
        for number, event in enumerate(reports("load", 7, 1000))
    ]
    kind.record(long, [*parts, {"kind": "complete"}])
    name = kind.new_job()
    kind.record(name, reports("load", 1, 1))
    assert kind.usual(name) == 30


@pytest.mark.parametrize("interval", [5, 200_000, 10**7])
def test_interval_of_a_clock_that_has_jumped_does_not_count(
    store: Store, interval: int
) -> None:
    """Reports do not count if they span over a week more than the age of the job.

    The same reports count once the backend has known the job as long.
    """
    kind = Kind(store, f"jump-{interval}")
    name = kind.new_job()
    # Times in the future would count as times of receipt.
    start = utc_now() - timedelta(seconds=4 * interval)
    kind.record(name, reports("load", interval, 5, start))
    is_long = 4 * interval * SECOND > MAX_OFFLINE
    assert kind.usual(name) == (None if is_long else interval)
    kind.record(name, [{"kind": "info"}], after=timedelta(seconds=4 * interval))
    assert kind.usual(name) == interval


def test_usual_interval_does_not_depend_on_the_order_of_arrival(store: Store) -> None:
    """Shuffled events of several jobs lead to the same interval, with late ones too."""
    intervals = (10, 20, 35, 90)
    learnt = []
    for seed in range(4):
        kind, chance = Kind(store, f"kind-{seed}"), random.Random(seed)  # noqa: S311
        events = [
            (name, event)
            for interval in intervals
            for name in [kind.new_job()]
            for event in [*reports("load", interval, 7), {"kind": "complete"}]
        ]
        chance.shuffle(events)
        for first in range(0, len(events), 5):
            for name in {name for name, _ in events[first : first + 5]}:
                batch = [each for of, each in events[first : first + 5] if of == name]
                kind.record(name, batch)
        running = kind.new_job()
        kind.record(running, reports("load", 1, 1))
        learnt.append(kind.usual(running))
    assert learnt == [median(intervals)] * 4


@settings(max_examples=100, deadline=None)
@given(times=TIMES, data=st.data())
def test_interval_of_a_step_is_that_of_its_times(
    times: list[int], data: st.DataObject
) -> None:
    """The mean interval depends only on the times of the events, in any batches."""
    plan = Plan(points={"a": 1, "b": 1})
    kinds = st.sampled_from(["start", "progress", "info", "error", "step", "custom"])
    facts: list[Fact] = [
        ListedFact(
            occurred_at=at,
            event_id=number.to_bytes(16, "big"),
            received_at=number,
            kind=data.draw(kinds),
            tag="a",
        )
        for number, at in enumerate(times)
    ]
    state = fold_in_batches(plan, facts, data)
    gaps = [after - before for before, after in pairwise(sorted(times))]
    step = state.steps.get("a")
    interval = None if step is None else step.interval
    assert interval == (pytest.approx(sum(gaps) / len(gaps)) if gaps else None)


@pytest.mark.parametrize("count_ahead", [0, 1, 5, 10])
def test_reports_of_a_clock_ahead_count_by_their_receipts(count_ahead: int) -> None:
    """A clock that is a day ahead, and is then set right, changes no interval."""
    day = 24 * 60 * 60 * SECOND
    facts: list[Fact] = [
        ListedFact(
            occurred_at=10 * number * SECOND + (day if number < count_ahead else 0),
            event_id=number.to_bytes(16, "big"),
            received_at=10 * number * SECOND,
            kind="progress",
            tag="a",
        )
        for number in range(10)
    ]
    state = project(Plan(points={"a": 1}), facts)
    assert state.steps["a"].interval == 10 * SECOND


@settings(max_examples=150, deadline=None)
@given(
    receipts=st.lists(st.integers(0, 200).map(lambda n: n * SECOND), max_size=20),
    data=st.data(),
)
def test_pause_ends_with_the_first_receipt_after_it(
    receipts: list[int], data: st.DataObject
) -> None:
    """The latest pause depends only on receipts, not on batches of their events."""
    facts: list[Fact] = [
        ListedFact(
            occurred_at=data.draw(st.integers(0, at)),
            event_id=number.to_bytes(16, "big"),
            received_at=at,
            kind="progress",
            tag="a",
        )
        for number, at in enumerate(sorted(receipts))
    ]
    plan = Plan(points={"a": 1})
    pause = fold_in_batches(plan, facts, data).pause
    ends = [
        after
        for before, after in pairwise(sorted(receipts))
        if after - before > 60 * SECOND
    ]
    assert (pause and pause.ended_at) == (ends[-1] if ends else None)
    if pause is not None:
        first = [fact for fact in facts if fact.received_at == pause.ended_at]
        assert pause.first_at == min(fact.occurred_at for fact in first)


def fold_in_batches(plan: Plan, facts: list[Fact], data: st.DataObject) -> JobState:
    """Return the state after batches of facts; check it against `project()`."""
    state, left = JobState(), facts
    while left:
        size = data.draw(st.integers(1, 6))
        arrived = facts[: len(facts) - len(left) + size]
        state = advance(plan, state, left[:size], ListedHistory(arrived))
        state = from_document(to_document(state))
        left = left[size:]
    assert state == project(plan, facts)
    return state


def test_job_without_configuration_has_no_interval(store: Store) -> None:
    """A job without steps has no usual interval, however often it reports."""
    name = "untold"
    job: Any = {"provider_job_id": name, "customer_id": 1, "tag": "untold"}
    with store.transaction() as db:
        create_job(db, 1, job, name_hmac=b"", now=datetime.now(UTC))
    kind = Kind(store, "untold")
    kind.record(name, reports("load", 10, 9))
    assert kind.usual(name) is None
