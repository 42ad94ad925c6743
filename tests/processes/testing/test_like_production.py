"""Comparison of the tracker in memory with a real tracker and backend."""

import inspect
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import httpx
import pytest

from tests.support.backend_jobs import deliver
from tests.support.running_backend import RunningBackend
from trackerapi import JobConfig, TrackerApi, TrackerJob
from trackerapi.composition import PARTS_FACTORY, make_parts
from trackerapi.delivery.delivery import Delivery
from trackerapi.jobs.reporter import Reporter
from trackerapi.testing import FakeTracker, recording
from trackerapi.testing.memory_calls import MemoryCalls
from trackerapi.testing.memory_delivery import MemoryDelivery
from trackerapi.wire.calls import Calls
from trackerapi.wire.watch_calls import WatchCalls

GIVEN_BY_THE_BACKEND = {
    *("id", "configuration_id", "created_at", "version"),
    *("started_at", "finished_at", "last_event_at", "last_occurred_at"),
}
"""Members of answers that the backend generates, such as ids and times."""


def smooth(job: TrackerJob) -> None:
    """Complete all steps without a failure."""
    with job:
        with job.step("load") as step:
            step.note("Reading your images")
            step.metadata |= {"Images": 3, "Scanner": "CT-2"}
        for _ in job.track(range(10), step="report"):
            pass


def retried(job: TrackerJob) -> None:
    """Succeed in the second attempt, with one failed item."""
    with job, job.step("load") as step:
        for attempt in step.attempts(2, wait_seconds=0):
            with attempt:
                if not attempt.is_last:
                    raise OSError("busy")
        step.item_failed("x", customer="One image could not be read")


def failed(job: TrackerJob) -> None:
    """Fail a step after 5 of 10 units."""
    with suppress(OSError), job, job.step("report", total=10) as step:
        step.advance(5)
        raise OSError("broken")


def cancelled(job: TrackerJob) -> None:
    """Cancel the job in its second step."""
    with suppress(KeyboardInterrupt), job:
        job.skip("load", reason="There is nothing to read")
        with job.step("report") as step:
            step.fraction = 0.25
            raise KeyboardInterrupt


def half_way(job: TrackerJob) -> None:
    """Leave the job running, with its second step at 1 of 4 units."""
    job.step("load").done()
    job.step("report", total=4).advance()


def interrupted(job: TrackerJob) -> None:
    """Interrupt the job in its second step, then start the job again."""
    job.step("load").done()
    job.step("report", total=4).advance()
    job.interrupt("Another job goes first.")
    job.send_event("start")


def paused(job: TrackerJob) -> None:
    """Interrupt the job in its first step, without a new start."""
    job.step("load").start()
    job.interrupt()


def original(job: TrackerJob) -> None:
    """End the job by a `complete` event of its last step."""
    job.send_event("step", "load", {"Images": 3})
    job.send_event("complete", "report")


SCENARIOS = [
    *(smooth, retried, failed, cancelled, half_way),
    *(interrupted, paused, original),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_answers_are_those_of_the_backend(
    scenario: Callable[[TrackerJob], None], backend: RunningBackend, config: JobConfig
) -> None:
    """The tracker in memory returns the same job and events as the backend."""
    job_id = str(uuid.uuid4())

    def answers_of(tracker: TrackerApi) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        options: dict[str, Any] = {
            "config": config,
            "finish": "explicit",
            "title": "Brain MRI",
            "reference": "MR-7",
        }
        job = tracker.create_job(job_id, backend.customer_id, config.tag, **options)
        scenario(job)
        deliver(tracker)
        events = [asdict(event) for event in job.events()]
        return asdict(job.fetch()), events

    with TrackerApi(backend.api_key, backend.base_url) as real:
        theirs, their_events = answers_of(real)
    with recording():
        ours, our_events = answers_of(TrackerApi())

    for answer in (ours, theirs):
        for name in GIVEN_BY_THE_BACKEND:
            answer.pop(name)
        for step in answer["steps"]:
            step.pop("started_at")
            step.pop("finished_at")
    assert ours == theirs
    members = ("kind", "tag", "event_metadata", "completed", "total", "message")
    assert [[event[name] for name in members] for event in our_events] == [
        [event[name] for name in members] for event in their_events
    ]


def test_customer_view_has_the_texts_of_the_page(
    backend: RunningBackend, config: JobConfig
) -> None:
    """Each text of `customer_view()` is on the customer's page."""
    job_id = str(uuid.uuid4())
    with recording() as tracker:
        texts = {"title": "Brain MRI, 12 May", "reference": "MR-7"}
        made = TrackerApi().create_job(job_id, backend.customer_id, "imaging", **texts)
        smooth(made)
        view = tracker.job(job_id).customer_view()
    with TrackerApi(backend.api_key, backend.base_url) as real:
        job = real.create_job(
            job_id, backend.customer_id, "imaging", config=config, **texts
        )
        smooth(job)
        deliver(real)
        with httpx.Client(follow_redirects=True, timeout=60) as customer:
            page = customer.get(job.share_link()).text

    shown = [view.name, f"{view.percent:g} %", *view.texts]
    shown += [step.name for step in view.steps]
    shown += [f"{name}:" for step in view.steps for name in step.metadata]
    assert shown[0:3] == ["Imaging study", "100 %", "Reading your images"]
    assert (view.title, view.reference) == ("Brain MRI, 12 May", "MR-7")
    shown += [view.title, view.reference]
    assert "Images:" in shown
    for text in shown:
        assert text in page
    assert "CT-2" not in page + str(view)


@pytest.mark.parametrize(
    "name", [name for name in vars(MemoryCalls) if not name.startswith("_")]
)
def test_call_has_the_parameters_of_the_real_one(name: str) -> None:
    """Each method of `MemoryCalls` has the parameters of the real method."""
    real = Calls if hasattr(Calls, name) else WatchCalls
    ours, theirs = getattr(MemoryCalls, name), getattr(real, name)

    assert list(inspect.signature(ours).parameters) == list(
        inspect.signature(theirs).parameters
    )


def test_every_method_of_delivery_is_overridden() -> None:
    """`MemoryDelivery` overrides each public method of `Delivery`."""
    public = {name for name in vars(Delivery) if not name.startswith("_")}

    assert public <= vars(MemoryDelivery).keys()


def test_real_parts_are_made_in_one_module(tracker: FakeTracker) -> None:
    """During a recording, `PARTS_FACTORY.make` differs from `make_parts()`."""
    assert PARTS_FACTORY.make is not make_parts
    assert tracker.jobs == []


def test_without_a_test_the_real_parts_are_made() -> None:
    """Without a recording, `PARTS_FACTORY.make` makes the real parts."""
    assert PARTS_FACTORY.make is make_parts
    parts = PARTS_FACTORY.make.__module__

    assert parts == "trackerapi.composition"
    assert isinstance(TrackerApi(mode="off")._reporter, Reporter)
