"""Types of the public calls: checked by type checkers, never run.

`mypy --strict` and pyright in strict mode read this file. An `assert_type` fails if
the type of its call is lost or changed. Each `type: ignore` has to hide an error.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import assert_type

from trackerapi_client.api.jobs import list_jobs
from trackerapi_client.models import JobPage, Problem

from trackerapi import (
    AsyncTrackerApi,
    AsyncTrackerJob,
    AsyncTrackerStep,
    AuthenticationError,
    BackendError,
    BackendRejected,
    BackendUnavailable,
    ConfigError,
    DeliveryProblem,
    DeliveryReport,
    Event,
    Job,
    JobConfig,
    JobConfigManager,
    JobStep,
    OutboxError,
    SettingsError,
    StepConfiguration,
    TrackerApi,
    TrackerError,
    TrackerJob,
    TrackerStep,
    UnknownStepError,
    current_job,
    current_step,
    step,
)
from trackerapi.integrations.logging import TrackerHandler
from trackerapi.integrations.tqdm import tqdm, trange
from trackerapi.models import (
    ApiKey,
    ApiKeyOwner,
    AuditEntry,
    Customer,
    Erasure,
    JobEvent,
    NewApiKey,
    ProviderProfile,
    RegisteredJobConfig,
    ShareLink,
)
from trackerapi.testing import CustomerView, FakeTracker, RecordedJob, recording


def configurations() -> JobConfig:
    """Load a file, and add configurations from code."""
    manager = JobConfigManager(configurations_file="./job_configurations.json")
    JobConfigManager(configurations_file=Path("job_configurations.json"))
    JobConfigManager(configs=[{"tag": "my_job"}])
    assert_type(manager.tags, tuple[str, ...])
    config = assert_type(manager.get_job_config("my_job"), JobConfig)
    assert_type(manager.add_job_config(config), JobConfig)
    assert_type(config.step_configurations, tuple[StepConfiguration, ...])
    assert_type(config.step_configurations[0].tag, str)
    assert_type(config.step_configurations[0].name, str)
    assert_type(config.step_configurations[0].points, int)
    return config


def delivery() -> None:
    """Set up delivery, with callbacks, and read its reports."""

    def before_send(event: Event) -> Event | None:
        return None if event.kind == "info" else event

    def on_problem(problem: DeliveryProblem) -> None:
        assert_type(problem.kind, str)
        assert_type(problem.message, str)

    tracker = TrackerApi(
        mode="offline",
        outbox=Path("outbox"),
        shutdown_timeout=0.5,
        fsync=True,
        outbox_limit_bytes=1_000_000,
        before_send=before_send,
        on_problem=on_problem,
        progress="auto",
        progress_seconds=30,
    )
    TrackerApi(progress="on")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TrackerApi(mode="onlin")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    report = assert_type(tracker.flush(timeout=5), DeliveryReport)
    assert_type(tracker.delivery(), DeliveryReport)
    assert_type(report.waiting, int)
    assert_type(report.dropped, Mapping[str, int])
    assert_type(report.oldest_waiting_at, datetime | None)
    assert_type(report.last_error, str | None)


def reports(moment: datetime) -> TrackerJob:
    """Create jobs and send events with each argument."""
    tracker = TrackerApi(api_key="<your api key>", base_url="<url>")
    with TrackerApi(strict=True, ca_file=Path("ca.pem"), timeout_seconds=5) as same:
        assert_type(same, TrackerApi)
    job = tracker.create_job(provider_job_id="id", customer_id=142, tag="My Job")
    assert_type(job, TrackerJob)
    tracker.create_job("id", 142, "my_job", config=configurations(), finish="explicit")
    tracker.create_job("id", 142, "my_job", title="Brain MRI", reference=None)
    tracker.run_job("id", 142, "my_job", title=None, reference="MR-7")
    assert_type(tracker.job("id", tag="my_job"), TrackerJob)
    event_id = job.send_event(kind="step", name="say_hello", metadata={"Number": 1})
    assert_type(event_id, str)
    job.send_event("step", "say_hello", {"Number": 1})
    job.send_event(kind="progress", tag="load", completed=1, total=2.5)
    job.send_event(kind="error", name="load", retrying=True, detail="traceback")
    job.send_event(kind="info", message="words", occurred_at=moment)
    return job


def blocks(tracker: TrackerApi, files: list[Path]) -> None:
    """Report by blocks, loops and attempts, and read the current handles."""
    with tracker.run_job("id", customer_id=142, tag="my_job") as job:
        assert_type(job, TrackerJob)
        with job.step("load", total=10, on_failure="It cannot be read") as load:
            assert_type(load, TrackerStep)
            load.metadata["Images"] = 3
            load.total = 20
            load.fraction = 0.5
            load.detail("text", host="node-7")
            for attempt in load.attempts(3, on=(OSError,)):
                with attempt:
                    assert_type(attempt.number, int)
            for file in load.track(files, weight=lambda file: file.stat().st_size):
                assert_type(file, Path)
        for name in job.track(map(str, files), step="segment", total=3):
            assert_type(name, str)
        assert_type(job.steps["load"].is_ready, bool)
        assert_type(job.token(), str)
        job.complete(remarks="Two were left out")
    assert_type(tracker.attach("token", part="worker"), TrackerJob)
    assert_type(current_job(), TrackerJob)
    assert_type(current_step(), TrackerStep)


def decorators(tracker: TrackerApi) -> None:
    """Decorate functions without changing their types."""

    @step("load")
    def load(study: str) -> int:
        return len(study)

    @tracker.as_job("my_job", provider_job_id=str.lower, customer_id=142)
    async def pipeline(study: str) -> int:
        return load(study)

    @tracker.as_job(
        "my_job", provider_job_id="id", customer_id=7, title=str.upper, reference="MR-7"
    )
    def titled(study: str) -> int:
        return load(study)

    @tracker.job("my_job", provider_job_id="id", customer_id=len, metadata={"Key": 1})
    def older_spelling(study: str) -> int:
        return load(study)

    async def main() -> None:
        assert_type(await pipeline("S1"), int)

    assert_type(older_spelling("S1"), int)
    assert_type(titled("S1"), int)

    assert_type(load("S1"), int)
    assert_type(asyncio.run(main()), None)
    with step("report") as report:
        assert_type(report, TrackerStep)


def read_calls(tracker: TrackerApi, job: TrackerJob, moment: datetime) -> None:
    """Call each read call of `TrackerApi` and of a job handle."""
    assert_type(tracker.get_job("id"), Job)
    assert_type(tracker.watch("id", until_done=False), Generator[Job])
    assert_type(job.fetch().steps, tuple[JobStep, ...])
    assert_type(job.fetch().percent, float | None)
    jobs = tracker.list_jobs(customer_id=142, status=["failed"], created_since=moment)
    assert_type(jobs, Iterator[Job])
    assert_type(tracker.verify_api_key(), ApiKeyOwner)
    stored = tracker.register_job_config(configurations())
    assert_type(stored, RegisteredJobConfig)
    assert_type(job.events(), Iterator[JobEvent])
    assert_type(job.share_link(expires_at=moment), str)
    assert_type(job.share_link(label="For the ward", language="de"), str)
    assert_type(job.share_links(), Iterator[ShareLink])
    assert_type(job.revoke_share_link(1), ShareLink)


def administration(tracker: TrackerApi) -> None:
    """Create and list keys and customers, and expire a key."""
    assert_type(tracker.admin.create_api_key("nightly", ["ingest"]), NewApiKey)
    assert_type(tracker.admin.list_api_keys(), Iterator[ApiKey])
    assert_type(tracker.admin.expire_api_key("3kTMd9aZ"), ApiKey)
    assert_type(tracker.admin.list_audit_entries(), Iterator[AuditEntry])
    assert_type(tracker.admin.create_customer(reference="ward-3"), Customer)
    assert_type(tracker.admin.list_customers(), Iterator[Customer])
    assert_type(tracker.admin.erase_job(1), Erasure)
    assert_type(tracker.admin.erase_customer(1), Erasure)
    assert_type(tracker.admin.get_provider_profile(), ProviderProfile)
    assert_type(
        tracker.admin.update_provider_profile(time_zone="Europe/Berlin", accent=None),
        ProviderProfile,
    )


async def administration_in_a_loop(tracker: AsyncTrackerApi) -> None:
    """Read and change the profile in an event loop."""
    admin = tracker.admin
    assert_type(await admin.get_provider_profile(), ProviderProfile)
    assert_type(await admin.erase_job(1), Erasure)
    assert_type(await admin.erase_customer(1), Erasure)
    assert_type(await admin.update_provider_profile(language="de"), ProviderProfile)


def watch_in_a_loop(tracker: AsyncTrackerApi) -> AsyncGenerator[Job]:
    """Watch a job in an event loop."""
    return assert_type(tracker.watch("id"), AsyncGenerator[Job])


async def in_a_loop(stream: AsyncIterator[bytes], moment: datetime) -> None:
    """Report and read in an event loop."""
    async with AsyncTrackerApi(strict=True, fsync=True) as tracker:
        assert_type(tracker, AsyncTrackerApi)
        async with tracker.run_job("id", 142, "my_job", metadata={"Key": 1}) as job:
            assert_type(job, AsyncTrackerJob)
            async with job.step("load", total=3) as step:
                assert_type(step, AsyncTrackerStep)
                async for chunk in step.track(stream, total=3, weight=len):
                    assert_type(chunk, bytes)
                async for attempt in step.attempts(3, on=(OSError,)):
                    async with attempt:
                        assert_type(attempt.number, int)
                step.total = 4
                await step.advance(2)
                await step.item_failed(1, customer="words", error=OSError())
            async for item in job.track([1, 2], step="segment"):
                assert_type(item, int)
            assert_type(await job.send_event("info", None, {}, message="words"), str)
        created = await tracker.create_job("id", 142, "my_job", finish="explicit")
        assert_type(created, AsyncTrackerJob)
        assert_type(created.step("load").job, AsyncTrackerJob)
        assert_type(created.steps["load"], AsyncTrackerStep)
        assert_type(tracker.job("id"), AsyncTrackerJob)
        assert_type(tracker.attach("token"), AsyncTrackerJob)
        assert_type(await created.fetch(), Job)
        assert_type(created.events(), AsyncIterator[JobEvent])
        assert_type(await created.share_link(expires_at=moment), str)
        assert_type(tracker.list_jobs(customer_id=142), AsyncIterator[Job])
        assert_type(await tracker.flush(5), DeliveryReport)
        assert_type(await tracker.admin.create_customer(name="x"), Customer)
        await step.note(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

        @tracker.as_job("my_job", provider_job_id="id", customer_id=142, title=str)
        async def pipeline(study: int) -> str:
            return str(study)

        assert_type(await pipeline(1), str)


def generated(tracker: TrackerApi) -> None:
    """Call a generated function with `tracker.client`."""
    page = list_jobs.sync(client=tracker.client, limit=5)
    assert_type(page, JobPage | Problem | None)


def integrations(job: TrackerJob) -> None:
    """Report by tqdm bars and by a logging handler."""
    for name in assert_type(tqdm(["a"], job=job, step="load"), tqdm[str]):
        assert_type(name, str)
    with tqdm(total=5, step="load", unit="B") as bar:
        bar.update(2)
    assert_type(trange(5, desc="Load"), tqdm[int])
    TrackerHandler(job, step="load", level="ERROR", audience="customer")
    TrackerHandler(filter=lambda record: record.levelno > 20)
    TrackerHandler(audience="everybody")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def errors(error: BackendError) -> tuple[type[TrackerError], ...]:
    """Read the attributes of an error."""
    assert_type(error.status, int | None)
    assert_type(error.request_id, str | None)
    assert_type(error.retry_after_seconds, float | None)
    assert_type(ConfigError("reason").path, Path | None)
    return (
        AuthenticationError,
        BackendRejected,
        BackendUnavailable,
        OutboxError,
        SettingsError,
        UnknownStepError,
    )


def testing_support(trackerapi: FakeTracker) -> None:
    """Read reports and cause faults in a test of a provider's script."""
    job = assert_type(trackerapi.job("S1"), RecordedJob)
    assert_type(trackerapi.jobs, list[RecordedJob])
    assert_type(job.percent, float | None)
    assert_type(job.finished, bool)
    assert_type(job.steps_done, list[str])
    assert_type(job.steps, dict[str, str])
    assert_type(job.events, list[Event])
    assert_type(job.customer_view(), CustomerView)
    trackerapi.fail_with("timeout", "disk")
    trackerapi.strict = False
    trackerapi.assert_no_personal_data("case", re.compile("ward"))
    with recording() as tracker:
        assert_type(tracker, FakeTracker)


def rejected_calls(tracker: TrackerApi, job: TrackerJob) -> None:
    """Make calls that a checker must reject; an unneeded ignore is an error."""
    tracker.create_job("id", "142", "my_job")  # type: ignore[arg-type]
    tracker.create_job("id", 142, "my_job", finish="never")  # type: ignore[arg-type]
    TrackerApi(timeout=5)  # type: ignore[call-arg]
    job.track([1])  # type: ignore[call-arg]
    job.track([1], step="load", wieght=len)  # type: ignore[call-arg]
    job.step("load").track([1], wieght=len)  # type: ignore[call-arg]
    tracker.list_jobs(customer=142)  # type: ignore[call-arg]
    tracker.as_job("my_job", provider_job_id="id")  # type: ignore[call-arg]
    tracker.run_job("id", 142, "my_job", finish="auto")  # type: ignore[call-arg]
    job.send_event("step", "load", {}, "tag")  # type: ignore[call-arg]
    job.send_event(kind="step", mesage="typo")  # type: ignore[call-arg]
