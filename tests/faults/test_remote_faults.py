"""Whatever happens on the way to the backend, each event arrives once."""

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
"""How long the backend is down in mid-run; `scripts/prove.sh` asks for all of it."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault that lets nothing through.

    Attributes:
        apply: Lets a proxy fail for the length of a block.
        attempts: Requests after which it may end.
    """

    name: str
    apply: Callable[[FaultProxy], AbstractContextManager[None]]
    attempts: int = 3


def met_by_each(name: str, fault: Fault, attempts: int = 3) -> Trouble:
    """Return the trouble of a fault that each request meets."""
    return Trouble(name, lambda proxy: proxy.failing(fault), attempts)


DOWN = Trouble("down", lambda proxy: proxy.down(), attempts=0)
TROUBLES = [
    met_by_each("503", faults.unavailable),
    met_by_each("bare-503", faults.bare_unavailable),
    met_by_each("429", faults.busy(1), attempts=2),
    met_by_each("cut-request", faults.cut_request),
    met_by_each("cut-answer", faults.cut_answer),
    met_by_each("slow-drip", faults.dripping(0.01), attempts=1),
    met_by_each("black-hole", faults.black_hole, attempts=1),
    met_by_each("401", faults.key_refused, attempts=2),
    met_by_each("404-page", faults.html(404)),
    met_by_each("413-page", faults.html(413)),
    met_by_each("portal", faults.html(200)),
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda each: each.name)
def test_events_arrive_once_after_trouble_in_mid_run(
    lab: Lab, undisturbed: Pictures, trouble: Trouble
) -> None:
    """What is reported before, during and after the trouble arrives once, in order."""
    with lab.start("--flush", "30") as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        with trouble.apply(lab.proxy):
            before = len(lab.proxy.requests)
            job.let_on()
            job.await_gate("phase 3")
            lab.proxy.await_requests(trouble.attempts, since=before)
        job.let_on()
        job.run_through("reported")

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


@pytest.mark.parametrize("seconds", OUTAGES_SECONDS)
def test_events_arrive_once_after_an_outage_in_mid_run(
    lab: Lab, undisturbed: Pictures, seconds: float
) -> None:
    """A backend that is down for a while in mid-run costs no event."""
    with lab.start("--flush", "30") as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        with lab.proxy.down():
            job.let_on()
            job.await_gate("phase 3")
            threading.Event().wait(seconds)
        job.let_on()
        job.run_through("reported")

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


@pytest.mark.parametrize("trouble", [DOWN, *TROUBLES], ids=lambda each: each.name)
def test_job_in_trouble_from_start_to_end_is_the_same_job(
    lab: Lab, undisturbed: Pictures, trouble: Trouble
) -> None:
    """Output and status are unchanged, the exit waits not, a later sync brings all."""
    waiting = {"TRACKERAPI_SHUTDOWN_TIMEOUT": HOUR}
    with trouble.apply(lab.proxy), lab.start(**waiting) as job:
        exit_seconds = job.run_through()

    assert tuple(job.printed) == PRINTED
    # The backend is known to be down since the job was created.
    assert exit_seconds <= EXIT_SECONDS
    lab.sync()
    lab.assert_all_arrived(undisturbed)


@pytest.mark.parametrize("trouble", [DOWN, *TROUBLES[:2]], ids=lambda each: each.name)
def test_process_that_began_in_trouble_delivers_when_it_is_over(
    lab: Lab, undisturbed: Pictures, trouble: Trouble
) -> None:
    """A job that could not be created at its start is created by the same process."""
    with lab.start("--flush", "30") as job:
        with trouble.apply(lab.proxy):
            job.pass_gate("phase 1")
            job.await_gate("phase 2")
        job.let_on()
        job.run_through("phase 3")

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


def test_repeats_after_dropped_answers_count_once(
    lab: Lab, undisturbed: Pictures
) -> None:
    """Events that are sent again because an answer was lost are stored once."""
    # At a pace at which they need many requests.
    with lab.proxy.failing(faults.dropping_each(3)):
        with lab.start("--flush", "30", "--pace", "0.02") as job:
            job.run_through()

    sent = [event["event_id"] for event in sent_events(lab.proxy.requests)]
    assert len(sent) > len(set(sent))
    lab.assert_all_arrived(undisturbed)


def test_backend_that_takes_but_never_answers_delays_exit_by_the_stated_time(
    lab: Lab, undisturbed: Pictures
) -> None:
    """A backend that falls silent in mid-run holds the exit for 2 s at most."""
    with lab.start() as job:
        job.pass_gate("phase 1")
        with lab.proxy.failing(faults.black_hole):
            exit_seconds = job.run_through("phase 2")

    assert tuple(job.printed) == PRINTED
    assert exit_seconds <= EXIT_SECONDS
    lab.sync()
    lab.assert_all_arrived(undisturbed)
