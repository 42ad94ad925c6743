"""`FakeTracker`: statuses, events, customer views and settings in tests."""

import os
import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trackerapi import (
    BackendRejected,
    Event,
    JobConfig,
    JobConfigManager,
    SettingsError,
    TrackerApi,
    UnknownStepError,
)
from trackerapi.jobs import watching
from trackerapi.testing import CustomerStep, CustomerView, FakeTracker, recording


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that opens a connection."""

    def refuse(*_: object) -> None:
        raise AssertionError("a test of `FakeTracker` opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def pipeline(study: str, **options: Any) -> None:
    """Run a job of two steps with a note, a detail and metadata."""
    with TrackerApi(**options) as made:
        with made.run_job(study, customer_id=142, tag="imaging") as job:
            with job.step("load") as step:
                step.note("Reading your images")
                step.detail(host="node-7")
                step.metadata |= {"Images": 3, "Scanner": "CT-2"}
            for _ in job.track(range(1000), step="report"):
                pass


def test_recorded_job_has_status_percent_and_steps(
    tracker: FakeTracker, config: JobConfig
) -> None:
    """`tracker.job()` returns status, percent, steps and attempts of a job."""
    pipeline("S1")

    job = tracker.job("S1")
    assert (job.finished, job.status, job.percent) == (True, "succeeded", 100.0)
    assert job.steps_done == ["load", "report"]
    assert job.steps == {"load": "done", "report": "done"}
    assert job.attempts == {"load": 1, "report": 1}
    assert (job.customer_id, job.tag, dict(job.metadata)) == (142, "imaging", {})
    assert [each.provider_job_id for each in tracker.jobs] == ["S1"]


def test_recorded_job_has_its_events_in_order(
    tracker: FakeTracker, config: JobConfig
) -> None:
    """`events` has kinds, texts, metadata and counts in the order of the reports."""
    pipeline("S1")

    events = tracker.job("S1").events
    assert [event.kind for event in events[:5]] == [
        *("start", "start", "info", "info", "step")
    ]
    assert events[2].message == "Reading your images"
    assert "node-7" in (events[3].detail or "")
    assert events[4].metadata == {"Images": 3, "Scanner": "CT-2"}
    counts = [e.completed for e in events if e.kind == "progress"]
    assert counts[-1] == 1000
    assert len(counts) == 2


def test_customer_view_has_texts_for_customers_only(
    tracker: FakeTracker, config: JobConfig
) -> None:
    """`customer_view()` has names, statuses, texts and declared metadata only."""
    pipeline("S1")

    assert tracker.job("S1").customer_view() == CustomerView(
        name="Imaging study",
        title=None,
        reference=None,
        status="succeeded",
        percent=100.0,
        steps=[
            CustomerStep(name="Read images", status="done", metadata={"Images": 3}),
            CustomerStep(name="Write report", status="done", metadata={}),
        ],
        texts=["Reading your images"],
    )


@pytest.mark.parametrize(
    ("language", "names"),
    [
        (None, ["Imaging", "Load", "Store", "Slices"]),
        ("en", ["Imaging", "Load", "Store", "Slices"]),
        ("de", ["Bildgebung", "Lesen", "Store", "Schichten"]),
        ("pt", ["Imagem", "Load", "Store", "Slices"]),
        ("pt-BR", ["Imagem", "Load", "Store", "Slices"]),
    ],
)
def test_customer_view_has_a_language(
    tracker: FakeTracker, language: str | None, names: list[str]
) -> None:
    """Names of job, steps and metadata come from the texts of the configuration."""
    key = {"name": "Slices", "kind": "number", "audience": "customer"}
    load = {"tag": "load", "name": "Load", "points": 1}
    texts = {
        "de": {
            "name": "Bildgebung",
            "steps": {"load": {"name": "Lesen"}},
            "metadata": {"Slices": "Schichten"},
        },
        "pt-BR": {"name": "Imagem"},
    }
    document = {
        "tag": "texts",
        "name": "Imaging",
        "step_configurations": [
            load | {"metadata_configurations": [key]},
            {"tag": "store", "name": "Store", "points": 1},
        ],
        "texts": texts,
    }
    config = JobConfigManager(configs=[document]).get_job_config("texts")
    job = TrackerApi().create_job("S1", 142, "texts", config=config)
    job.send_event("step", "load", {"Slices": 7})

    view = tracker.job("S1").customer_view(language)

    [slices] = view.steps[0].metadata
    assert [view.name, *(step.name for step in view.steps), slices] == names


def test_title_and_reference_of_the_first_creation_are_recorded(
    tracker: FakeTracker, config: JobConfig
) -> None:
    """Job, answer and customer view have the texts of the first creation."""
    made = TrackerApi()
    made.run_job("S1", 142, "imaging", title="Brain MRI, 12 May", reference="MR-7")

    again = made.create_job("S1", 142, "imaging", title="Other", reference="Other")

    job, answer = tracker.job("S1"), again.fetch()
    for seen in (job, answer, job.customer_view()):
        assert (seen.title, seen.reference) == ("Brain MRI, 12 May", "MR-7")


@pytest.mark.parametrize("title", [lambda study: f"Scan {study}", "Scan S1"])
def test_decorated_call_has_its_title(
    tracker: FakeTracker, config: JobConfig, title: Any
) -> None:
    """`as_job()` takes title and reference as texts or from the call's arguments."""
    decorate = TrackerApi().as_job(
        "imaging",
        provider_job_id=lambda study: study,
        customer_id=142,
        title=title,
        reference=lambda study: None if study == "S1" else study,
    )
    decorate(lambda study: study)("S1")

    job = tracker.job("S1")
    assert (job.title, job.reference) == ("Scan S1", None)


def test_failure_shows_the_customer_no_traceback(
    tracker: FakeTracker, config: JobConfig
) -> None:
    """The traceback of a failed job is in its events, not in its customer view."""
    with pytest.raises(OSError, match="marker"):
        with TrackerApi().run_job("S1", 142, "imaging") as job, job.step("load"):
            raise OSError("marker")

    failed = tracker.job("S1")
    assert not failed.finished
    assert failed.steps == {"load": "failed", "report": "not_run"}
    assert "marker" in str(failed.events)
    assert "marker" not in str(failed.customer_view())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"api_key": "<your api key>", "base_url": "<url for tracker app backend>"},
        {"api_key": "trk_1_2_3", "base_url": "https://tracker.example.org"},
        {"api_key_file": "/run/secrets/none", "ca_file": "/etc/none.pem"},
        {"mode": "offline", "outbox": "/nowhere"},
    ],
)
def test_given_addresses_and_keys_are_ignored(
    tracker: FakeTracker, config: JobConfig, options: dict[str, Any]
) -> None:
    """Address, key, CA file, mode and outbox of a script are ignored in a test."""
    pipeline("S1", **options)

    assert tracker.job("S1").finished


def test_other_settings_are_validated(tracker: FakeTracker) -> None:
    """An invalid `shutdown_timeout` raises SettingsError, as in production."""
    with pytest.raises(SettingsError, match="shutdown_timeout"):
        TrackerApi(shutdown_timeout=-1)


def test_script_that_is_off_reports_nothing(tracker: FakeTracker) -> None:
    """A TrackerApi with mode `off` records no job."""
    TrackerApi(mode="off").create_job("S1", 142, "imaging").send_event(kind="start")

    assert tracker.jobs == []


def test_typo_raises_in_a_test(tracker: FakeTracker, config: JobConfig) -> None:
    """A typo that production only logs raises in a test."""
    job = TrackerApi(strict=False).create_job("S1", 142, "imaging")

    with pytest.raises(UnknownStepError, match="did you mean 'load'"):
        job.send_event(kind="step", name="laod")
    with pytest.raises(ValueError, match="metadata"):
        job.send_event(kind="step", name="load", metadata={"x": object()})


def test_tracker_that_is_not_strict_records_a_typo(
    tracker: FakeTracker, config: JobConfig
) -> None:
    """With `strict = False` on the tracker, only a strict script raises for a typo."""
    job = TrackerApi().create_job("S1", 142, "imaging")
    strict = TrackerApi(strict=True).create_job("S2", 142, "imaging")
    tracker.strict = False

    job.send_event(kind="step", name="laod")
    with pytest.raises(UnknownStepError):
        strict.send_event(kind="step", name="laod")
    assert tracker.job("S1").events[0].tag == "laod"
    assert tracker.job("S1").steps_done == []


def test_event_dropped_by_before_send_is_not_recorded(
    tracker: FakeTracker, config: JobConfig
) -> None:
    """An event that `before_send` drops is not recorded."""

    def before_send(event: Event) -> Event | None:
        return None if event.kind == "info" else event

    job = TrackerApi(before_send=before_send).create_job("S1", 142, "imaging")
    job.send_event(kind="info", message="dropped")
    job.send_event(kind="step", name="load")

    assert [event.kind for event in tracker.job("S1").events] == ["step"]


def test_percent_includes_each_count(tracker: FakeTracker, config: JobConfig) -> None:
    """`percent` includes each count, even if several are reported within one second."""
    job = TrackerApi().create_job("S1", 142, "imaging")
    step = job.step("report", total=1000)
    for _ in range(500):
        step.advance()

    assert tracker.job("S1").percent == 37.5
    step.advance(250)
    assert tracker.job("S1").percent == 56.25


def test_read_calls_are_answered_from_memory(
    tracker: FakeTracker, config: JobConfig
) -> None:
    """Read calls return jobs, events and reports from memory, in the public types."""
    made = TrackerApi()
    job = made.create_job("S1", 142, "imaging", metadata={"ward": 3})
    job.send_event(kind="step", name="load", message="Done", metadata={"Images": 3})
    made.create_job("S2", 143, "other")

    answer = made.get_job("S1")
    assert (answer.status, answer.percent, answer.metadata) == (
        "running",
        25.0,
        {"ward": 3},
    )
    assert job.fetch() == answer
    assert [(step.status, step.attempts) for step in answer.steps] == [
        ("done", 1),
        ("pending", 0),
    ]
    assert answer.started_at == answer.steps[0].finished_at == answer.last_occurred_at
    assert [(e.sequence, e.kind, e.message) for e in job.events()] == [
        (1, "step", "Done")
    ]
    assert [each.provider_job_id for each in made.list_jobs()] == ["S2", "S1"]
    assert [j.id for j in made.list_jobs(customer_id=142, status=["running"])] == [1]
    later = datetime.now(UTC) + timedelta(hours=1)
    assert list(made.list_jobs(created_since=later)) == []
    assert "ingest" in made.verify_api_key().scopes
    assert made.register_job_config(config).document == config.as_document()
    assert job.share_link().startswith("https://tracker.invalid/s/")
    assert made.flush().waiting == 0
    assert made.delivery().delivered == 3
    with pytest.raises(BackendRejected, match="no job 'S3'"):
        made.get_job("S3")


def test_watch_follows_the_recorded_job(
    tracker: FakeTracker, config: JobConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`watch()` yields states with growing versions, to the end of the job."""
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.01)
    made = TrackerApi()
    job = made.create_job("S1", customer_id=142, tag=config.tag)
    states = made.watch("S1")

    assert next(states).status == "pending"
    job.step("load").done()
    assert next(states).status == "running"
    job.complete()
    assert [state.status for state in states] == ["succeeded"]


def test_call_without_an_answer_raises_not_implemented(tracker: FakeTracker) -> None:
    """`admin.create_api_key()` and `client` raise NotImplementedError."""
    made = TrackerApi()

    with pytest.raises(NotImplementedError, match="no answer to create_api_key"):
        made.admin.create_api_key("nightly")
    with pytest.raises(NotImplementedError, match="client"):
        _ = made.client


def test_restart_continues_its_job(tracker: FakeTracker, config: JobConfig) -> None:
    """A second `create_job()` with the same id continues with the recorded steps."""
    TrackerApi().create_job("S1", 142, "imaging").step("load").done()
    job = TrackerApi().create_job("S1", 142, "Imaging study")

    assert job.steps["load"].status == "done"
    assert job.steps["report"].is_ready
    with pytest.raises(BackendRejected, match="for another customer"):
        TrackerApi().create_job("S1", 143, "imaging")


def test_counts_of_attached_workers_are_added(
    tracker: FakeTracker, config: JobConfig
) -> None:
    """Counts that two attached workers report for one step are added."""
    job = TrackerApi().create_job("S1", 142, "imaging")
    for part in ("left", "right"):
        worker = TrackerApi().attach(job.token(), part=part)
        step = worker.step("report", total=10)
        step.advance(2)

    assert tracker.job("S1").percent == 30.0


def test_threads_report_into_one_job(tracker: FakeTracker, config: JobConfig) -> None:
    """All 800 events of four threads are recorded."""
    job = TrackerApi().create_job("S1", 142, "imaging")

    def report() -> None:
        for number in range(200):
            job.send_event(kind="info", message=str(number))

    threads = [threading.Thread(target=report) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(tracker.job("S1").events) == 800


def test_reports_of_the_test_process_write_no_file(
    tracker: FakeTracker, config: JobConfig, outbox: Path, tmp_path: Path
) -> None:
    """Reports of the test's own process write no file."""
    pipeline("S1")

    assert list(tmp_path.iterdir()) == []


def test_tracker_reports_to_the_active_recording(config: JobConfig) -> None:
    """A TrackerApi that outlives a recording reports to the active recording only."""
    with recording() as first:
        kept = TrackerApi()
        kept.create_job("S1", 142, "imaging")
    kept.create_job("S2", 142, "imaging").send_event(kind="start")
    with recording() as second:
        kept.create_job("S3", 142, "imaging")

    assert [job.provider_job_id for job in first.jobs] == ["S1"]
    assert [job.provider_job_id for job in second.jobs] == ["S3"]


def test_recordings_can_be_nested(config: JobConfig) -> None:
    """A job is recorded by the innermost active recording."""
    with recording() as outer:
        pipeline("S1")
        with recording() as inner:
            pipeline("S2")
        pipeline("S3")

    assert [job.provider_job_id for job in outer.jobs] == ["S1", "S3"]
    assert [job.provider_job_id for job in inner.jobs] == ["S2"]


def test_recording_restores_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of `recording()` restores the environment and real trackers."""
    monkeypatch.setenv("TRACKERAPI_MODE", "off")
    with recording():
        assert os.environ["TRACKERAPI_MODE"] == "offline"
        assert repr(TrackerApi()) == "TrackerApi(base_url='https://tracker.invalid')"

    assert os.environ["TRACKERAPI_MODE"] == "off"
    assert "TRACKERAPI_OUTBOX" not in os.environ
    assert repr(TrackerApi()) == "TrackerApi(base_url='off:')"


def test_unknown_job_error_names_those_that_reported(
    tracker: FakeTracker, config: JobConfig
) -> None:
    """The LookupError for an unknown job lists the jobs that reported."""
    pipeline("S1")

    with pytest.raises(LookupError, match="of a job 'S2'; jobs with reports: 'S1'"):
        tracker.job("S2")
    assert repr(tracker) == "FakeTracker(jobs=['S1'])"
    assert "status='succeeded', percent=100.0" in repr(tracker.job("S1"))


def test_job_without_a_configuration_has_no_percent(tracker: FakeTracker) -> None:
    """Without a configuration, percent is None; `steps_done` has the reported steps."""
    job = TrackerApi().create_job("S1", 142, "imaging")
    job.send_event(kind="step", name="load")

    seen = tracker.job("S1")
    assert (seen.percent, seen.steps, seen.steps_done) == (None, {}, ["load"])
    assert seen.customer_view().name == "imaging"


def test_job_that_was_never_created_is_available(tracker: FakeTracker) -> None:
    """`tracker.job()` returns a job that was only reported on, without a customer."""
    TrackerApi().job("S1").note("Reading your images")

    job = tracker.job("S1")
    assert (job.customer_id, job.tag, job.status) == (None, None, "pending")
