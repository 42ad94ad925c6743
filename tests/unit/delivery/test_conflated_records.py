"""Conflated progress records in the outbox: rate, and order with other events."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.outbox_folders import records
from tests.support.scripted_server import KEY, NOWHERE
from tests.support.waiting import SLACK_SECONDS, await_true
from trackerapi import (
    TrackerApi,
)


def test_progress_writes_a_record_a_second_at_most(
    outbox: Path,
) -> None:
    """A loop of updates writes the first, the last, and at most one record a second."""
    count = 100_000
    began = time.monotonic()
    with TrackerApi(KEY, NOWHERE, mode="offline", outbox=outbox) as tracker:
        job = tracker.job("loop")
        for done in range(count):
            job.send_event(kind="progress", name="one", completed=done, total=count)
            if done % 10 == 0:
                job.send_event(kind="heartbeat")
    seconds = time.monotonic() - began

    written = records(outbox)
    progress = [each["completed"] for each in written if each["kind"] == "progress"]
    assert len(progress) <= seconds + 2
    assert len(written) - len(progress) <= seconds + 2
    assert progress == sorted(progress)
    assert (progress[0], progress[-1]) == (0, count - 1)


def test_newest_progress_is_written_within_a_second_offline(outbox: Path) -> None:
    """The last progress is written by the timer thread, without another report."""
    with TrackerApi(KEY, NOWHERE, mode="offline", outbox=outbox) as tracker:
        job = tracker.job("offline")
        for _ in range(100):
            newest = job.send_event(kind="progress", name="one", fraction=0.5)

        await_true(
            lambda: records(outbox)[-1]["event_id"] == newest, 1.0 + SLACK_SECONDS
        )


@pytest.mark.parametrize(
    "following",
    [
        {"kind": "step", "name": "one"},
        {"kind": "error", "name": "one", "retrying": True},
        {"kind": "info", "name": "one"},
        {"kind": "complete"},
    ],
    ids=str,
)
def test_newest_progress_is_written_before_the_next_event(
    outbox: Path, following: dict[str, Any]
) -> None:
    """The last progress of a step precedes the next event of the step or the job."""
    with TrackerApi(KEY, NOWHERE, mode="offline", outbox=outbox) as tracker:
        job = tracker.job("order")
        for done in range(5):
            job.send_event(kind="progress", name="one", completed=done)
        last = job.send_event(**following)
        written = records(outbox)

    assert [each.get("completed") for each in written] == [0, 4, None]
    assert written[-1]["event_id"] == last
    times = [each["occurred_at"] for each in written]
    assert times == sorted(times)


@pytest.mark.parametrize("end", ["close", "flush", "with"])
def test_last_progress_of_each_step_and_job_is_written_at_the_end(
    outbox: Path, end: str
) -> None:
    """At a flush or close, the last progress of each step and job is written."""
    wanted: set[str] = set()
    with TrackerApi(KEY, NOWHERE, mode="offline", outbox=outbox) as tracker:
        for job_id in ("left", "right"):
            job = tracker.job(job_id)
            for step in ("one", "two", None):
                for done in range(10):
                    last = job.send_event(kind="progress", name=step, completed=done)
                wanted.add(last)
        if end == "close":
            tracker.close()
        elif end == "flush":
            tracker.flush(timeout=0)
            assert wanted <= {each["event_id"] for each in records(outbox)}

    assert wanted <= {each["event_id"] for each in records(outbox)}
    assert len(records(outbox)) <= 12 + 6
