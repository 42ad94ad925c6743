"""The proof can tell: each thing that may go wrong makes its verdict a bad one."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.proving.record import Entry
from scripts.proving.verdict import Verdict, judge
from tests.support.running_backend import RunningBackend
from trackerapi import TrackerApi, TrackerJob


@pytest.fixture
def tracker(backend: RunningBackend, tmp_path: Path) -> Iterator[TrackerApi]:
    """Return a tracker that reports and asks."""
    key, url = backend.api_key, backend.base_url
    with TrackerApi(key, url, outbox=tmp_path / "outbox") as made:
        yield made


@pytest.fixture
def job(tracker: TrackerApi) -> TrackerJob:
    """Create a job to report on."""
    return tracker.create_job(f"verdict-{uuid.uuid4()}", 142, "no_configuration")


def report(job: TrackerJob, number: int, kind: str = "info") -> Entry:
    """Report an event; return what a job records of it."""
    event_id = job.send_event(kind=kind, metadata={"Number": number})
    return Entry(
        process_id=1,
        provider_job_id=job.provider_job_id,
        number=number,
        kind=kind,
        event_id=event_id,
    )


def verdict_on(tracker: TrackerApi, *record: Entry) -> Verdict:
    """Return the verdict once all is delivered."""
    assert tracker.flush().waiting == 0
    return judge(tracker, record)


def test_what_was_recorded_and_has_arrived_is_well(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """Nothing is wrong with events that arrived once and in order."""
    verdict = verdict_on(tracker, report(job, 1), report(job, 2))

    assert not verdict
    assert str(verdict) == "0 lost, 0 doubled"


def test_recorded_event_that_is_not_there_is_lost(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """An id that the backend does not have is a loss, and so is a job without any."""
    there = report(job, 1)
    lost = replace(there, event_id=str(uuid.uuid4()), number=2)
    elsewhere = replace(lost, provider_job_id="nobody has created this")
    verdict = verdict_on(tracker, there, lost, elsewhere)

    assert len(verdict.lost) == 2
    assert "2 lost" in str(verdict)


def test_progress_and_heartbeats_need_not_arrive_one_by_one(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """Of conflated kinds only those that arrived can be wrong."""
    there = report(job, 1)
    conflated = replace(there, kind="progress", event_id=str(uuid.uuid4()))

    assert not verdict_on(tracker, there, conflated)


def test_same_report_under_two_ids_is_doubled(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """A report that arrived twice is found though each id is there once."""
    verdict = verdict_on(tracker, report(job, 1), report(job, 1))

    assert len(verdict.doubled) == 1
    assert "1 doubled" in str(verdict)


def test_event_that_no_call_returned_for_is_unrecorded(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """What is at the backend and not in the record is told."""
    recorded = report(job, 1)
    report(job, 2)

    assert len(verdict_on(tracker, recorded).unrecorded) == 1


def test_events_in_another_order_than_called_are_misplaced(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """A record that is in another order than the stored events is found."""
    first, second = report(job, 1), report(job, 2)

    assert verdict_on(tracker, second, first).misplaced
