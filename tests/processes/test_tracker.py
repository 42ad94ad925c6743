"""Trackers and jobs on a real backend: creation, reruns, settings, errors."""

import json
import logging
import math
import os
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.backend_jobs import deliver
from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import KEY, OWNER, Request, answering, http
from trackerapi import (
    AuthenticationError,
    BackendRejected,
    ConfigError,
    JobConfig,
    JobConfigManager,
    TrackerApi,
)
from trackerapi.jobs.job import job_block

KNOWN_JOB: dict[str, Any] = {
    "id": 7319642871808001,
    "provider_job_id": "job-1",
    "customer_id": 142,
    "tag": "my_job",
    "name": "my_job",
    "configuration_id": None,
    "finish": "auto",
    "status": "running",
    "percent": None,
    "steps": [],
    "metadata": {},
    "event_count": 1,
    "created_at": "2026-11-24T01:00:00Z",
    "started_at": "2026-11-24T01:00:01Z",
    "finished_at": None,
    "last_event_at": None,
    "last_occurred_at": None,
    "version": 2,
}


def test_calls_of_the_tutorial_end_in_a_succeeded_job(
    tracker: TrackerApi, config: JobConfig
) -> None:
    """The three steps of the tutorial's job give 28.57, 71.43 and 100 percent."""
    job_id = str(uuid.uuid4())

    tracker_job = tracker.create_job(
        provider_job_id=job_id, customer_id=142, tag=config.name
    )
    percents = []
    for step in config.step_configurations:
        tracker_job.send_event(kind="step", name=step.tag, metadata={"Message": "Hi"})
        deliver(tracker)
        percents.append(tracker.get_job(job_id).percent)

    known = tracker.get_job(job_id)
    assert percents == [28.57, 71.43, 100.0]
    assert (known.status, known.customer_id, known.tag) == (
        "succeeded",
        142,
        config.tag,
    )
    assert [step.status for step in known.steps] == ["done", "done", "done"]
    assert known.event_count == 3


def test_job_can_be_created_again_to_continue(
    tracker: TrackerApi, config: JobConfig
) -> None:
    """A second `create_job()` returns the same job with its earlier events."""
    job_id = str(uuid.uuid4())
    tracker.create_job(job_id, 142, config.tag).send_event(
        kind="step", name="say_hello"
    )
    deliver(tracker)

    again = tracker.create_job(job_id, 142, config.tag)

    assert again.fetch().percent == 28.57
    assert [event.tag for event in again.events()] == ["say_hello"]


@pytest.mark.parametrize("end", ["interrupt", "cancel", "fail"])
def test_rerun_shows_the_job_running_before_its_first_report(
    backend: RunningBackend, tracker: TrackerApi, config: JobConfig, end: str
) -> None:
    """After a stop of any kind, a second `create_job()` sets the job to running."""
    job_id = str(uuid.uuid4())
    job = tracker.create_job(job_id, 142, config.tag)
    job.send_event(kind="start", name="say_hello")
    getattr(job, end)()
    deliver(tracker)
    assert job.fetch().status in ("interrupted", "cancelled", "failed")

    with TrackerApi(backend.api_key, backend.base_url) as other:
        again = other.create_job(job_id, 142, config.tag)
        deliver(other)

    assert again.fetch().status == "running"


def test_rerun_counts_the_interrupted_step_as_a_new_attempt(
    backend: RunningBackend, tracker: TrackerApi, config: JobConfig
) -> None:
    """A rerun has the step statuses of the backend and counts a second attempt."""
    job_id = str(uuid.uuid4())
    job = tracker.create_job(job_id, 142, config.tag)
    job.send_event(kind="step", name="say_hello")
    job.send_event(kind="progress", name="random_number", fraction=0.6)
    job.interrupt("Another machine takes over.")
    deliver(tracker)
    stopped = job.fetch()
    assert (stopped.status, stopped.finished_at) == ("interrupted", None)

    with TrackerApi(backend.api_key, backend.base_url) as other:
        with other.run_job(job_id, 142, config.tag) as again:
            statuses = [again.steps[tag].status for tag in again.steps]
            progress = job_block(again).work.events.progress
            percent = progress.percent
            again.step("random_number").start()
            attempts = progress.step("random_number").attempts
        deliver(other)

    seen = again.fetch()
    assert (statuses, percent) == (["done", "pending", "pending"], stopped.percent)
    assert attempts == seen.steps[1].attempts == 2
    assert [event.kind for event in again.events()] == [
        *("step", "progress", "interrupt"),
        *("start", "start", "complete"),
    ]


def test_late_interruption_does_not_stop_the_rerun(
    backend: RunningBackend, config: JobConfig, tmp_path: Path
) -> None:
    """An interruption delivered after the start of the rerun does not stop the job."""
    job_id, key, url = str(uuid.uuid4()), backend.api_key, backend.base_url
    with TrackerApi(key, url) as tracker:
        tracker.create_job(job_id, 142, config.tag).send_event(kind="start")
    late = tmp_path / "late"
    with TrackerApi(key, url, mode="offline", outbox=late) as stopped:
        stopped.job(job_id).interrupt()

    with TrackerApi(key, url) as tracker:
        again = tracker.create_job(job_id, 142, config.tag)
    with TrackerApi(key, url, outbox=late) as tracker:
        deliver(tracker)

    assert again.fetch().status == "running"
    assert {event.kind for event in again.events()} == {"start", "interrupt"}


def test_new_job_is_not_started_by_its_creation(tracker: TrackerApi) -> None:
    """A job that was created twice, but never started, is pending."""
    job_id = str(uuid.uuid4())
    tracker.create_job(job_id, 142, "untold")
    again = tracker.create_job(job_id, 142, "untold")
    deliver(tracker)

    assert (again.fetch().status, again.fetch().event_count) == ("pending", 0)


def test_attached_job_does_not_go_back_in_time(
    tracker: TrackerApi, config: JobConfig
) -> None:
    """An event of a rerun is not earlier than the events of the first run."""
    job_id = str(uuid.uuid4())
    ahead = datetime.now(UTC) + timedelta(minutes=2)
    first = tracker.create_job(job_id, 142, config.tag)
    first.send_event(kind="info", occurred_at=ahead)
    deliver(tracker)

    again = tracker.create_job(job_id, 142, config.tag)
    again.send_event(kind="info")
    deliver(tracker)

    times = [event.occurred_at for event in again.events()]
    assert times == sorted(times)
    assert times[1] >= times[0]


def test_attaching_to_a_succeeded_job_warns(
    tracker: TrackerApi, config: JobConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """`create_job()` for a succeeded job logs that the job has succeeded."""
    job_id = str(uuid.uuid4())
    tracker.create_job(job_id, 142, config.tag).send_event(kind="complete")
    deliver(tracker)

    tracker.create_job(job_id, 142, config.tag)

    assert "has already succeeded" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"provider_job_id": ""}, ValueError),
        ({"provider_job_id": "x" * 201}, ValueError),
        ({"provider_job_id": 5}, TypeError),
        ({"customer_id": "142"}, TypeError),
        ({"customer_id": True}, TypeError),
        ({"customer_id": 0}, ValueError),
        ({"customer_id": 2**53}, ValueError),
        ({"tag": "\n"}, ValueError),
        ({"finish": "never"}, ValueError),
        ({"title": ""}, ValueError),
        ({"title": "a\nb"}, ValueError),
        ({"title": "x" * 201}, ValueError),
        ({"title": 5}, TypeError),
        ({"reference": " "}, ValueError),
        ({"reference": "x" * 101}, ValueError),
        ({"reference": 5}, TypeError),
        ({"finnish": "auto"}, TypeError),
    ],
)
def test_job_with_a_wrong_argument_raises_before_any_request(
    arguments: dict[str, Any], error: type[Exception]
) -> None:
    """A wrong argument raises TypeError or ValueError although no backend runs."""
    good = {"provider_job_id": "job-1", "customer_id": 142, "tag": "import"}

    with TrackerApi("key", "http://127.0.0.1:9") as tracker:
        with pytest.raises(error):
            tracker.create_job(**{**good, **arguments})


def test_unknown_setting_raises() -> None:
    """An unknown argument of `TrackerApi` raises TypeError."""
    with pytest.raises(TypeError, match="timeout"):
        TrackerApi("key", "http://127.0.0.1:9", timeout=5)  # type: ignore[call-arg]


def test_explicit_configuration_and_finish_are_used(
    tracker: TrackerApi, config: JobConfig
) -> None:
    """With `finish="explicit"`, the job succeeds by `complete` only."""
    job = tracker.create_job(
        str(uuid.uuid4()),
        142,
        config.tag,
        config=config,
        finish="explicit",
        metadata={"Host": "node-7"},
    )
    for step in config.step_configurations:
        job.send_event(kind="step", name=step.tag)
    deliver(tracker)

    assert (job.fetch().status, job.fetch().percent) == ("running", 99.99)
    assert job.fetch().metadata == {"Host": "node-7"}
    job.send_event(kind="complete")
    deliver(tracker)
    assert (job.fetch().status, job.fetch().percent) == ("succeeded", 100.0)


def test_title_and_reference_of_the_first_creation_stay(
    tracker: TrackerApi, config: JobConfig
) -> None:
    """The job keeps title and reference when it is created again with others."""
    job_id, first = str(uuid.uuid4()), {"title": "MRI: Zoë ≥ 2", "reference": "MR-7"}

    job = tracker.create_job(job_id, 142, config.tag, **first)
    again = tracker.create_job(job_id, 142, config.tag, title="Other", reference="B")

    for seen in (
        job.fetch(),
        again.fetch(),
        *tracker.list_jobs(provider_job_id=job_id),
    ):
        assert (seen.title, seen.reference) == ("MRI: Zoë ≥ 2", "MR-7")


def test_configuration_of_another_tag_is_rejected(
    tracker: TrackerApi, config: JobConfig
) -> None:
    """A tag that differs from the tag of `config` raises ValueError."""
    with pytest.raises(ValueError, match="is neither tag nor name of config"):
        tracker.create_job(str(uuid.uuid4()), 142, "another", config=config)


def test_ambiguous_display_name_is_rejected(tracker: TrackerApi) -> None:
    """A name of two configurations raises ConfigError, which names their tags."""
    step = {"tag": "one", "name": "One", "points": 1}
    JobConfigManager(
        configs=[
            {"tag": tag, "name": "Twin", "step_configurations": [step]}
            for tag in ("left", "right")
        ]
    )

    with pytest.raises(ConfigError, match="'left', 'right'"):
        tracker.create_job(str(uuid.uuid4()), 142, "Twin")


def test_job_without_a_configuration_has_no_percent(tracker: TrackerApi) -> None:
    """The percentage of a job without a configuration is None."""
    job = tracker.create_job(str(uuid.uuid4()), 142, f"undescribed-{uuid.uuid4()}")
    job.send_event(kind="step", name="whatever")
    deliver(tracker)

    assert job.config is None
    assert job.fetch().percent is None
    assert job.fetch().event_count == 1


def test_strict_raises_for_a_job_of_an_unknown_customer(
    backend: RunningBackend, config: JobConfig
) -> None:
    """The BackendRejected error names the customer and has the request id."""
    with TrackerApi(backend.api_key, backend.base_url, strict=True) as tracker:
        with pytest.raises(BackendRejected) as caught:
            tracker.create_job(str(uuid.uuid4()), 999_999, config.tag)

    assert caught.value.status == 404
    assert "999999" in str(caught.value)
    assert caught.value.request_id


def test_strict_raises_for_a_job_that_belongs_to_another_customer(
    backend: RunningBackend, config: JobConfig
) -> None:
    """A job id of another customer raises BackendRejected with status 409."""
    job_id = str(uuid.uuid4())
    with TrackerApi(backend.api_key, backend.base_url, strict=True) as tracker:
        tracker.create_job(job_id, 142, config.tag)

        with pytest.raises(BackendRejected) as caught:
            tracker.create_job(job_id, 1, config.tag)

    assert caught.value.status == 409


def test_strict_raises_for_a_rejected_key(
    backend: RunningBackend, config: JobConfig
) -> None:
    """With `strict` and a rejected key, `create_job()` raises AuthenticationError."""
    with TrackerApi("not-a-key", backend.base_url, strict=True) as tracker:
        with pytest.raises(AuthenticationError):
            tracker.verify_api_key()
        with pytest.raises(AuthenticationError):
            tracker.create_job(str(uuid.uuid4()), 142, config.tag)


def test_warnings_reach_stderr_without_any_set_up(backend: RunningBackend) -> None:
    """Without a logging set-up, a warning is one line on stderr."""
    script = (
        "from trackerapi import TrackerApi\n"
        "tracker = TrackerApi()\n"
        f"job = tracker.create_job({str(uuid.uuid4())!r}, 142, 'undescribed')\n"
        "job.send_event(kind='Complete')\n"
    )
    settings = {
        "TRACKERAPI_BASE_URL": backend.base_url,
        "TRACKERAPI_API_KEY_FILE": backend.api_key_file,
    }
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **settings},
        check=True,
        capture_output=True,
        text=True,
    )

    assert "did you mean 'complete'?" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_key_shows_in_no_repr_and_no_log(
    backend: RunningBackend, config: JobConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """The secret of the key appears in no repr and in no log, even at DEBUG."""
    caplog.set_level(logging.DEBUG)

    with TrackerApi(backend.api_key, backend.base_url) as tracker:
        job = tracker.create_job(str(uuid.uuid4()), 142, config.tag)
        job.send_event(kind="info")
        shown = [repr(tracker), repr(job), repr(tracker.client), repr(tracker.admin)]

    secret = backend.api_key.split("_")[2]
    assert secret not in " ".join([*shown, caplog.text])


def test_metadata_of_a_job_is_fitted_like_that_of_an_event(
    tracker: TrackerApi, caplog: pytest.LogCaptureFixture
) -> None:
    """NaN in the metadata of a job is stored as null; a list raises TypeError."""
    wrong: Any = ["node-7"]
    with pytest.raises(TypeError, match="metadata must be a mapping, got list"):
        tracker.create_job("misfit-1", 142, "import", metadata=wrong)

    job = tracker.create_job("misfit-2", 142, "import", metadata={"Score": math.nan})

    assert job.fetch().metadata == {"Score": None, "trackerapi_changed": ["Score"]}
    assert "job 'misfit-2': metadata key 'Score': does not fit JSON" in caplog.text
    assert "stored as null" in caplog.text


def test_misspelt_job_tag_is_warned_about_once_and_refused_when_strict(
    tracker: TrackerApi,
    backend: RunningBackend,
    config: JobConfig,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A misspelt tag is warned about once, or raises ConfigError with `strict`."""
    misspelt = config.tag[:-1]
    for job_id in ("misspelt-1", "misspelt-2"):
        tracker.create_job(job_id, 142, misspelt)

    assert caplog.text.count(f"did you mean {config.tag!r}?") == 1
    strict = TrackerApi(backend.api_key, backend.base_url, strict=True)
    with strict, pytest.raises(ConfigError, match="did you mean"):
        strict.create_job("misspelt-3", 142, misspelt)


@pytest.mark.parametrize(
    ("occurred", "arrived", "expected"),
    [
        ("9999-12-31T23:59:59.999999Z", "2026-11-24T01:00:00Z", "now"),
        ("9999-12-31T23:59:59.999999Z", None, "now"),
        ("2999-01-01T00:00:00Z", "2026-11-24T01:00:00Z", "now"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T00:00:00Z", "9999"),
        (None, None, "now"),
    ],
)
def test_clock_of_a_job_does_not_follow_a_wrong_one(
    occurred: str | None, arrived: str | None, expected: str
) -> None:
    """An event time far after its arrival at the backend is not used for new events."""
    known = {**KNOWN_JOB, "last_occurred_at": occurred, "last_event_at": arrived}

    def answer(request: Request) -> bytes:
        if request.target == "/jobs":
            return http(200, known)
        if request.target == "/events/batch":
            count = len(request.body.splitlines())
            return http(200, {"accepted": count, "duplicates": 0, "rejected": []})
        return http(200, OWNER)

    began = datetime.now(UTC)
    with answering(answer) as server:
        with TrackerApi(KEY, server.url) as tracker:
            job = tracker.create_job("job-1", 142, "my_job")
            job.send_event(kind="info")
            deliver(tracker)
        sent = [
            json.loads(line)
            for request in server.requests
            if request.target == "/events/batch"
            for line in request.body.splitlines()
        ]
    times = [event["occurred_at"] for event in sent]
    if expected == "9999":
        assert set(times) == {"9999-12-31T23:59:59.999999Z"}
    else:
        assert all(
            began <= datetime.fromisoformat(time) <= datetime.now(UTC) for time in times
        )
