"""Verdict of the kill tests: lost, doubled, unrecorded and misplaced events."""

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
    """Return a tracker that reports and reads."""
    key, url = backend.api_key, backend.base_url
    with TrackerApi(key, url, outbox=tmp_path / "outbox") as made:
        yield made


@pytest.fixture
def job(tracker: TrackerApi) -> TrackerJob:
    """Create a job without a configuration."""
    return tracker.create_job(f"verdict-{uuid.uuid4()}", 142, "no_configuration")


def report(job: TrackerJob, number: int, kind: str = "info") -> Entry:
    """Report an event; return its entry, as the job writes it into the record."""
    event_id = job.send_event(kind=kind, metadata={"Number": number})
    return Entry(
        process_id=1,
        provider_job_id=job.provider_job_id,
        number=number,
        kind=kind,
        event_id=event_id,
    )


def verdict_on(tracker: TrackerApi, *record: Entry) -> Verdict:
    """Return the verdict after a complete delivery."""
    assert tracker.flush().waiting == 0
    return judge(tracker, record)


def test_recorded_events_that_arrived_are_no_fault(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """The verdict is empty if all recorded events were stored once and in order."""
    verdict = verdict_on(tracker, report(job, 1), report(job, 2))

    assert not verdict
    assert str(verdict) == "0 lost, 0 doubled"


def test_recorded_event_that_the_backend_lacks_is_lost(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """A recorded id that the backend lacks counts as lost, also of an unknown job."""
    there = report(job, 1)
    lost = replace(there, event_id=str(uuid.uuid4()), number=2)
    elsewhere = replace(lost, provider_job_id="nobody has created this")
    verdict = verdict_on(tracker, there, lost, elsewhere)

    assert len(verdict.lost) == 2
    assert "2 lost" in str(verdict)


def test_conflated_progress_need_not_arrive(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """A missing progress event is not counted: delivery conflates progress."""
    there = report(job, 1)
    conflated = replace(there, kind="progress", event_id=str(uuid.uuid4()))

    assert not verdict_on(tracker, there, conflated)


def test_same_report_with_two_ids_is_doubled(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """A report stored under two ids is counted as doubled."""
    verdict = verdict_on(tracker, report(job, 1), report(job, 1))

    assert len(verdict.doubled) == 1
    assert "1 doubled" in str(verdict)


def test_stored_event_without_an_entry_is_unrecorded(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """A stored event without an entry in the record is counted as unrecorded."""
    recorded = report(job, 1)
    report(job, 2)

    assert len(verdict_on(tracker, recorded).unrecorded) == 1


def test_events_stored_in_another_order_than_recorded_are_misplaced(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """Entries in another order than the stored events are counted as misplaced."""
    first, second = report(job, 1), report(job, 2)

    assert verdict_on(tracker, second, first).misplaced
