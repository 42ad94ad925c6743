"""Events of a job handle, and their effect in a real backend."""

import math
import pickle
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tests.support.backend_jobs import deliver
from tests.support.running_backend import RunningBackend
from trackerapi import (
    JobConfig,
    TrackerApi,
    TrackerJob,
    UnknownStepError,
)
from trackerapi.jobs.job import job_block

FARTHEST = datetime.max  # noqa: DTZ901 - is given an offset below
WEST = timezone(timedelta(hours=-12))


def test_handle_without_a_request_reports_to_its_job(
    tracker: TrackerApi, job: TrackerJob, config: JobConfig
) -> None:
    """`tracker.job()` with an id and a display name as tag reports to the job."""
    other = tracker.job(job.provider_job_id, tag=config.name)
    other.send_event(kind="step", name="Say Hello")
    deliver(tracker)

    assert other.config == config
    assert other.fetch().percent == 28.57


def test_event_arrives_with_all_its_fields(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """The backend stores each argument of `send_event()` unchanged."""
    moment = datetime.now(UTC) - timedelta(minutes=1)
    event_id = job.send_event(
        kind="progress",
        tag="say_hello",
        metadata={"Random Number": 7, "Good": True, "Name": "Ä"},
        completed=5,
        total=20,
        message="for the customer",
        detail="for the provider",
        occurred_at=moment,
    )
    job.send_event(kind="error", name="say_hello", retrying=True)
    job.send_event(kind="progress", name="say_hello", fraction=0.5)
    deliver(tracker)

    first, second, third = job.events()
    assert (first.event_id, first.kind, first.tag) == (
        event_id,
        "progress",
        "say_hello",
    )
    assert first.event_metadata == {"Random Number": 7, "Good": True, "Name": "Ä"}
    assert (first.completed, first.total, first.fraction) == (5, 20, None)
    assert (first.message, first.detail) == ("for the customer", "for the provider")
    assert first.occurred_at == moment
    assert (second.retrying, third.fraction) == (True, 0.5)
    assert [event.sequence for event in (first, second, third)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("start", "running"),
        ("info", "pending"),
        ("heartbeat", "pending"),
        ("word of my own", "pending"),
        ("error", "failed"),
        ("cancel", "cancelled"),
        ("complete", "succeeded"),
    ],
)
def test_kind_without_a_step_is_about_the_job(
    tracker: TrackerApi,
    job: TrackerJob,
    kind: str,
    status: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The kind of an event without a step determines the status of the job."""
    job.send_event(kind=kind)
    deliver(tracker)

    assert job.fetch().status == status
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("kind", "status"),
    [("start", "running"), ("step", "done"), ("skip", "skipped"), ("error", "failed")],
)
def test_kind_with_a_step_is_about_the_step(
    tracker: TrackerApi, job: TrackerJob, kind: str, status: str
) -> None:
    """The kind of an event with a step determines the status of the step."""
    job.send_event(kind=kind, name="say_hello")
    deliver(tracker)

    assert job.fetch().steps[0].status == status


def test_unknown_step_is_sent_and_warned_about_once(
    tracker: TrackerApi, job: TrackerJob, caplog: pytest.LogCaptureFixture
) -> None:
    """Events of an unknown step are stored; one warning names the nearest step."""
    job.send_event(kind="step", name="say_helo")
    job.send_event(kind="step", name="say_helo")
    deliver(tracker)

    assert [event.tag for event in job.events()] == ["say_helo", "say_helo"]
    assert job.fetch().percent == 0
    (message,) = caplog.messages
    assert "'say_helo'" in message
    assert "did you mean 'say_hello'?" in message


def test_misspelt_kind_is_sent_and_warned_about_once(
    tracker: TrackerApi, job: TrackerJob, caplog: pytest.LogCaptureFixture
) -> None:
    """Events of a misspelt kind have no effect; one warning names the nearest kind."""
    job.send_event(kind="Complete")
    job.send_event(kind="Complete")
    deliver(tracker)

    (message,) = caplog.messages
    assert "there is no event kind 'Complete' (did you mean 'complete'?)" in message
    assert job.fetch().status == "pending"


@pytest.mark.parametrize(
    ("kind", "name", "reason"),
    [
        ("step", None, "a 'step' event needs a step: pass name=...; recorded"),
        ("progress", None, "a 'progress' event needs a step: pass name=...; recorded"),
        ("cancel", "say_hello", "'cancel' is about the whole job: leave out name=..."),
        ("interrupt", "say_hello", "'interrupt' is about the whole job: leave out"),
    ],
)
def test_kind_without_effect_is_sent_and_warned_about_once(
    job: TrackerJob,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    name: str | None,
    reason: str,
) -> None:
    """A step event without a step, or a job event with a step, logs one warning."""
    job.send_event(kind=kind, name=name)
    job.send_event(kind=kind, name=name)

    (message,) = caplog.messages
    assert reason in message


def test_arguments_of_an_event_may_be_positional(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """`send_event()` takes kind, step and metadata as positional arguments."""
    job.send_event("step", "Say Hello", {"Number": 7})
    job.send_event("info", None, {"Number": 8})
    job.send_event("info")
    deliver(tracker)

    assert [(e.kind, e.tag, e.event_metadata) for e in job.events()] == [
        ("step", "say_hello", {"Number": 7}),
        ("info", None, {"Number": 8}),
        ("info", None, {}),
    ]


@pytest.mark.parametrize("spelling", ["say_bye", "Say Bye"])
def test_complete_of_the_last_step_ends_the_job(
    tracker: TrackerApi,
    job: TrackerJob,
    caplog: pytest.LogCaptureFixture,
    spelling: str,
) -> None:
    """After all steps, `complete` with the last step ends the job as succeeded."""
    job.send_event(kind="step", name="say_hello")
    job.send_event(kind="step", name="random_number")
    job.send_event(kind="complete", name=spelling)
    deliver(tracker)

    seen = job.fetch()
    assert (seen.status, seen.percent) == ("succeeded", 100.0)
    progress = job_block(job).work.events.progress
    assert (progress.status, progress.percent) == ("succeeded", 100.0)
    assert caplog.messages == []


def test_complete_of_a_step_leaves_a_job_with_an_explicit_finish_running(
    tracker: TrackerApi, config: JobConfig
) -> None:
    """With `finish="explicit"`, `complete` of all steps leaves the job at 99.99 %."""
    job = tracker.create_job(str(uuid.uuid4()), 142, config.tag, finish="explicit")
    for step in config.step_configurations:
        job.send_event(kind="complete", name=step.tag)
    deliver(tracker)

    seen = job.fetch()
    assert (seen.status, seen.percent) == ("running", 99.99)


def test_strict_raises_instead_of_logging(
    backend: RunningBackend, config: JobConfig
) -> None:
    """With `strict=True`, a typo or a NaN raises, and no event is sent."""
    with TrackerApi(backend.api_key, backend.base_url, strict=True) as tracker:
        job = tracker.create_job(str(uuid.uuid4()), 142, config.tag)
        with pytest.raises(UnknownStepError) as caught:
            job.send_event(kind="step", name="say_helo")
        with pytest.raises(UnknownStepError):
            job.send_event(kind="Complete")
        with pytest.raises(ValueError, match="'Score'"):
            job.send_event(kind="info", metadata={"Score": math.nan})

        assert caught.value.suggestion == "say_hello"
        assert list(job.events()) == []


def test_unfit_metadata_is_changed_marked_and_warned_about(
    tracker: TrackerApi, job: TrackerJob, caplog: pytest.LogCaptureFixture
) -> None:
    """NaN is sent as null; the event and one warning name the changed key."""
    job.send_event(kind="info", metadata={"Score": math.nan, "Count": 5})
    deliver(tracker)

    (event,) = job.events()
    assert event.event_metadata == {
        "Score": None,
        "Count": 5,
        "trackerapi_changed": ["Score"],
    }
    assert "'Score'" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"kind": "step", "name": "a", "tag": "b"}, ValueError),
        ({"kind": ""}, ValueError),
        ({"kind": "a\nb"}, ValueError),
        ({"kind": 5}, TypeError),
        ({"kind": "step", "name": 5}, TypeError),
        ({"kind": "step", "tag": " "}, ValueError),
        ({"kind": "info", "metadata": ["a"]}, TypeError),
        ({"kind": "progress", "completed": -1}, ValueError),
        ({"kind": "progress", "completed": 2**54}, ValueError),
        ({"kind": "progress", "total": "5"}, TypeError),
        ({"kind": "progress", "completed": True}, TypeError),
        ({"kind": "progress", "fraction": 1.1}, ValueError),
        ({"kind": "progress", "fraction": math.nan}, ValueError),
        ({"kind": "info", "message": 5}, TypeError),
        ({"kind": "info", "occurred_at": datetime(2026, 1, 1)}, ValueError),  # noqa: DTZ001
        ({"kind": "info", "occurred_at": "2026-01-01"}, TypeError),
        (
            {"kind": "info", "occurred_at": FARTHEST.replace(tzinfo=WEST)},
            ValueError,
        ),
        ({"kind": "error", "retrying": "no"}, TypeError),
        ({"kind": "info", "mesage": "typo"}, TypeError),
    ],
)
def test_event_with_a_wrong_argument_raises_before_it_is_sent(
    job: TrackerJob, arguments: dict[str, Any], error: type[Exception]
) -> None:
    """A wrong argument raises in `send_event()`, and no event is sent."""
    with pytest.raises(error):
        job.send_event(**arguments)

    assert list(job.events()) == []


def test_fraction_slightly_above_one_is_accepted(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """Fractions such as 1 + 1e-12 are stored as 1.0: sums of floats may exceed 1."""
    job.send_event(kind="progress", name="say_hello", fraction=math.fsum([0.1] * 10))
    job.send_event(kind="progress", name="say_bye", fraction=1 + 1e-12)
    deliver(tracker)

    assert [event.fraction for event in job.events()] == [1.0, 1.0]


def test_handle_cannot_be_pickled_and_names_the_alternative(job: TrackerJob) -> None:
    """Pickling a handle raises TypeError, which names `tracker.job()` instead."""
    with pytest.raises(TypeError, match=r"tracker.job\('"):
        pickle.dumps(job)
