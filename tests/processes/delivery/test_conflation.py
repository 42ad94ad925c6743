"""Progress events that newer progress replaces before delivery."""

import threading
from collections import Counter

import pytest

from tests.support.backend_jobs import deliver, stored
from tests.support.gateway import Gateway
from tests.support.scripted_server import Request
from tests.support.waiting import SLACK_SECONDS
from trackerapi import (
    TrackerApi,
    TrackerJob,
)


@pytest.mark.parametrize("kind", ["progress", "heartbeat"])
def test_newest_of_its_kind_arrives_within_a_second(
    gateway: Gateway, job: TrackerJob, kind: str
) -> None:
    """The last of 100 progress or heartbeat events is sent within one second."""
    arrived = threading.Event()
    newest = ""

    def fault(request: Request) -> None:
        if newest and newest.encode() in request.body:
            arrived.set()

    gateway.fault = fault
    with TrackerApi(gateway.backend.api_key, gateway.url) as tracker:
        handle = tracker.job(job.provider_job_id)
        handle.send_event(kind="info")
        # Connect and deliver once first: the time of the start is not measured.
        deliver(tracker)
        for _ in range(100):
            newest = handle.send_event(kind=kind, message="newest")

        assert arrived.wait(1.0 + SLACK_SECONDS)


def test_event_of_another_step_does_not_wait_for_progress(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """Old progress of one step is left out; events of another step are all stored."""
    for done in range(100):
        job.send_event(kind="progress", name="say_hello", completed=done, total=200)
        job.send_event(kind="info", name="say_bye")
    deliver(tracker)

    kinds = Counter(event.kind for event in stored(tracker, job))
    assert kinds["info"] == 100
    assert kinds["progress"] < 50
    assert job.fetch().steps[0].completed == 99
