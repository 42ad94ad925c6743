"""Failures of network and backend: each event arrives exactly once."""

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest

from tests.support import faults
from tests.support.fault_proxy import Fault, FaultProxy, sent_events
from tests.support.proof_runs import (
    EXIT_SECONDS,
    FLUSHED,
    HOUR,
    PRINTED,
    Lab,
    Pictures,
)

OUTAGES_SECONDS = (10.0, 30.0) if os.environ.get("WHOLE_OUTAGES") else (2.0,)
"""Durations of outages, in seconds; `scripts/prove.sh` sets WHOLE_OUTAGES."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Failure of network or backend that a test causes for a while.

    Attributes:
        apply: Returns a context manager: the proxy fails while its block runs.
        attempts: Number of requests after which the failure may end.
    """

    name: str
    apply: Callable[[FaultProxy], AbstractContextManager[None]]
    attempts: int = 3


def on_each_request(name: str, fault: Fault, attempts: int = 3) -> Failure:
    """Return a failure in which `fault` handles each request."""
    return Failure(name, lambda proxy: proxy.failing(fault), attempts)


DOWN = Failure("down", lambda proxy: proxy.down(), attempts=0)
FAILURES = [
    on_each_request("503", faults.unavailable),
    on_each_request("bare-503", faults.bare_unavailable),
    on_each_request("429", faults.busy(1), attempts=2),
    on_each_request("cut-request", faults.cut_request),
    on_each_request("cut-answer", faults.cut_answer),
    on_each_request("slow-drip", faults.dripping(0.01), attempts=1),
    on_each_request("black-hole", faults.black_hole, attempts=1),
    on_each_request("401", faults.key_refused, attempts=2),
    on_each_request("404-page", faults.html(404)),
    on_each_request("413-page", faults.html(413)),
    on_each_request("portal", faults.html(200)),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda each: each.name)
def test_events_arrive_once_after_a_failure_in_mid_run(
    lab: Lab, undisturbed: Pictures, failure: Failure
) -> None:
    """Events from before, during and after the failure arrive once and in order."""
    with lab.start("--flush", "30") as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        with failure.apply(lab.proxy):
            before = len(lab.proxy.requests)
            job.open_gate()
            job.await_gate("phase 3")
            lab.proxy.await_requests(failure.attempts, since=before)
        job.open_gate()
        job.run_through("reported")

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


@pytest.mark.parametrize("seconds", OUTAGES_SECONDS)
def test_events_arrive_once_after_an_outage_in_mid_run(
    lab: Lab, undisturbed: Pictures, seconds: float
) -> None:
    """Events reported while the backend is unreachable arrive after the outage."""
    with lab.start("--flush", "30") as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        with lab.proxy.down():
            job.open_gate()
            job.await_gate("phase 3")
            threading.Event().wait(seconds)
        job.open_gate()
        job.run_through("reported")

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


@pytest.mark.parametrize("failure", [DOWN, *FAILURES], ids=lambda each: each.name)
def test_job_with_a_failure_from_start_to_end_runs_unchanged(
    lab: Lab, undisturbed: Pictures, failure: Failure
) -> None:
    """Output and exit status are unchanged; a sync afterwards delivers all events."""
    waiting = {"TRACKERAPI_SHUTDOWN_TIMEOUT": HOUR}
    with failure.apply(lab.proxy), lab.start(**waiting) as job:
        exit_seconds = job.run_through()

    assert tuple(job.printed) == PRINTED
    # The creation of the job has failed, so the exit does not wait for the backend.
    assert exit_seconds <= EXIT_SECONDS
    lab.sync()
    lab.assert_all_arrived(undisturbed)


@pytest.mark.parametrize("failure", [DOWN, *FAILURES[:2]], ids=lambda each: each.name)
def test_process_started_during_a_failure_delivers_after_it(
    lab: Lab, undisturbed: Pictures, failure: Failure
) -> None:
    """A job whose creation failed at first is created after the failure."""
    with lab.start("--flush", "30") as job:
        with failure.apply(lab.proxy):
            job.pass_gate("phase 1")
            job.await_gate("phase 2")
        job.open_gate()
        job.run_through("phase 3")

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


def test_repeats_after_dropped_answers_count_once(
    lab: Lab, undisturbed: Pictures
) -> None:
    """Events with a dropped answer are sent again, and the backend stores them once."""
    # A slow pace spreads the events over many requests.
    with lab.proxy.failing(faults.dropping_each(3)):
        with lab.start("--flush", "30", "--pace", "0.02") as job:
            job.run_through()

    sent = [event["event_id"] for event in sent_events(lab.proxy.requests)]
    assert len(sent) > len(set(sent))
    lab.assert_all_arrived(undisturbed)


def test_silent_backend_delays_exit_by_the_documented_time_only(
    lab: Lab, undisturbed: Pictures
) -> None:
    """A backend that stops answering delays the exit by at most EXIT_SECONDS."""
    with lab.start() as job:
        job.pass_gate("phase 1")
        with lab.proxy.failing(faults.black_hole):
            exit_seconds = job.run_through("phase 2")

    assert tuple(job.printed) == PRINTED
    assert exit_seconds <= EXIT_SECONDS
    lab.sync()
    lab.assert_all_arrived(undisturbed)
