"""Several handles of one job in one process: each knows the reports of all others."""

import asyncio
import gc
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.backend_jobs import deliver
from tests.support.running_backend import RunningBackend
from trackerapi import AsyncTrackerApi, JobConfig, TrackerApi, TrackerJob

OPENINGS = (
    "create_job",
    "job",
    "job with tag",
    "attach with id",
    "attach with token",
    "job of another tracker",
)

ANOTHER_PROCESS = """
import os, sys
from trackerapi import TrackerApi
address, key, outbox, job_id = sys.argv[1:]
job = TrackerApi(key, address, outbox=outbox, mode="offline").job(job_id)
job.send_event("step", "load")
os._exit(0)
"""


class Handles:
    """Opens further handles of a job, by trackers with the same settings."""

    def __init__(self, job: TrackerJob, tracker: TrackerApi, twin: TrackerApi) -> None:
        self._job, self._tracker, self._twin = job, tracker, twin

    def open(self, opening: str) -> TrackerJob:
        """Return a new handle of the job."""
        assert self._job.config is not None
        job_id, tag = self._job.provider_job_id, self._job.config.tag
        match opening:
            case "create_job":
                return self._tracker.create_job(job_id, 142, tag)
            case "job":
                return self._tracker.job(job_id)
            case "job with tag":
                return self._tracker.job(job_id, tag=tag)
            case "attach with id":
                return self._tracker.attach(job_id)
            case "attach with token":
                return self._tracker.attach(self._job.token())
            case _:
                return self._twin.job(job_id)


@pytest.fixture
def handles(
    backend: RunningBackend, tracker: TrackerApi, job: TrackerJob
) -> Iterator[Handles]:
    """Return further handles of `job`."""
    with TrackerApi(backend.api_key, backend.base_url) as twin:
        yield Handles(job, tracker, twin)


def seen(job: TrackerJob) -> list[tuple[str, bool, bool]]:
    """Return status, `is_ready` and `is_open` of each step."""
    steps = [job.step(tag) for tag in ("load", "segment", "report")]
    return [(step.status, step.is_ready, step.is_open) for step in steps]


@pytest.mark.parametrize("reports", OPENINGS)
@pytest.mark.parametrize("looks", OPENINGS)
def test_each_handle_knows_what_another_handle_reports(
    handles: Handles, job: TrackerJob, reports: str, looks: str
) -> None:
    """A report by one handle shows in older and newer handles of the job."""
    reporter, older = handles.open(reports), handles.open(looks)
    first = seen(older)
    reporter.step("load").start()
    started = seen(older)
    reporter.step("load").done()
    reporter.send_event("start", "segment")
    newer = handles.open(looks)

    waiting = ("pending", False, False)
    assert first == [("pending", True, False), waiting, waiting]
    assert started == [("running", False, True), waiting, waiting]
    done = [("done", False, False), ("running", False, True), waiting]
    assert seen(older) == seen(newer) == seen(job) == done
    newer.step("segment").fail()
    assert seen(job)[1] == seen(older)[1] == ("failed", True, False)


@pytest.mark.parametrize("opening", OPENINGS)
@pytest.mark.parametrize("end", ["complete", "cancel", "fail"])
def test_no_step_is_ready_after_the_end_of_the_job(
    handles: Handles, job: TrackerJob, opening: str, end: str
) -> None:
    """After the job has ended, all handles have no step that is ready."""
    handle = handles.open(opening)
    handle.step("load").start()
    getattr(handle, end)()
    again = handles.open("job")

    assert not any(handle.is_ready(tag) for tag in job.steps)
    assert not any(again.is_ready(tag) for tag in job.steps)
    assert not any(step.is_ready for step in job.steps.values())


def test_no_step_is_ready_in_a_job_that_has_succeeded_before(
    backend: RunningBackend,
    tracker: TrackerApi,
    config: JobConfig,
    tmp_path: Path,
) -> None:
    """A rerun on another machine knows from the backend that the job has succeeded."""
    job = tracker.create_job(str(uuid.uuid4()), 142, config.tag)
    job.complete()
    deliver(tracker)
    with TrackerApi(
        backend.api_key, backend.base_url, outbox=tmp_path / "elsewhere"
    ) as other:
        again = other.create_job(job.provider_job_id, 142, config.tag)

        assert [step.status for step in again.steps.values()] == ["not_run"] * 3
        assert not any(step.is_ready for step in again.steps.values())


def test_failed_step_alone_may_begin_again(job: TrackerJob) -> None:
    """A step that has failed is ready again, until the job itself fails."""
    job.step("load").fail()
    assert job.steps["load"].is_ready
    job.fail()
    assert not job.steps["load"].is_ready
    job.step("load").start()
    job.step("load").fail()
    assert job.steps["load"].is_ready


def test_interrupted_job_has_steps_that_are_ready(job: TrackerJob) -> None:
    """An interrupted job is expected to go on: its open step may begin again."""
    job.step("load").start()
    assert not job.steps["load"].is_ready
    job.interrupt()

    assert seen(job)[0] == ("pending", True, False)


def test_step_between_two_attempts_of_its_block_is_not_ready(job: TrackerJob) -> None:
    """No other code may begin a step while the block of the step waits to retry."""
    with job.step("load") as step:
        for number, attempt in enumerate(step.attempts(2, wait_seconds=0)):
            with attempt:
                if number == 0:
                    raise OSError
                assert not step.is_ready
        assert step.is_open
    assert not step.is_open


def test_started_step_is_known_without_its_handle(
    tracker: TrackerApi, config: JobConfig
) -> None:
    """A process that has dropped the handle still knows that it started the step."""
    job_id = str(uuid.uuid4())
    tracker.create_job(job_id, 142, config.tag).step("load").start()
    gc.collect()

    again = tracker.create_job(job_id, 142, config.tag)
    assert seen(again)[0] == ("running", False, True)
    again.step("load").done()
    assert [step.is_ready for step in again.steps.values()] == [False, True, False]


def test_jobs_of_other_outboxes_are_other_jobs(
    backend: RunningBackend, config: JobConfig, tmp_path: Path
) -> None:
    """Two offline runs with folders of their own, as in tests, share no status."""
    for number in range(2):
        with TrackerApi(
            backend.api_key,
            backend.base_url,
            mode="offline",
            outbox=tmp_path / str(number),
        ) as tracker:
            job = tracker.create_job("one", 142, config.tag)
            assert seen(job)[0] == ("pending", True, False)
            job.step("load").done()


def test_new_handle_reads_what_other_processes_have_reported(
    backend: RunningBackend, config: JobConfig, tmp_path: Path
) -> None:
    """A new handle reads the outbox again, though an older handle has read it."""
    outbox, job_id = str(tmp_path / "outbox"), str(uuid.uuid4())
    with TrackerApi(backend.api_key, backend.base_url, outbox=outbox) as tracker:
        job = tracker.create_job(job_id, 142, config.tag)
        assert seen(job)[0] == ("pending", True, False)
        command = [sys.executable, "-c", ANOTHER_PROCESS, backend.base_url]
        subprocess.run([*command, backend.api_key, outbox, job_id], check=True)

        assert seen(tracker.job(job_id))[:2] == [
            ("done", False, False),
            ("pending", True, False),
        ]


def test_event_of_another_handle_is_never_earlier(
    backend: RunningBackend, tracker: TrackerApi, config: JobConfig, tmp_path: Path
) -> None:
    """All handles report later than the job's latest event, though it is ahead."""
    job_id = str(uuid.uuid4())
    with TrackerApi(
        backend.api_key, backend.base_url, outbox=tmp_path / "elsewhere"
    ) as other:
        ahead = other.create_job(job_id, 142, config.tag)
        ahead.send_event("info", occurred_at=datetime.now(UTC) + timedelta(minutes=2))
        deliver(other)
    first = tracker.create_job(job_id, 142, config.tag)
    tracker.job(job_id).send_event("start", "load")
    deliver(tracker)

    moments = [event.occurred_at for event in first.events()]
    assert len(moments) == 3
    assert moments == sorted(moments)


def test_handle_without_a_configuration_knows_its_own_reports(
    tracker: TrackerApi, job: TrackerJob, tmp_path: Path, backend: RunningBackend
) -> None:
    """In another process, the handle of `job()` knows the steps that it reports."""
    script = """
import json, sys
from trackerapi import TrackerApi
address, key, outbox, job_id = sys.argv[1:]
with TrackerApi(key, address, outbox=outbox) as tracker:
    job = tracker.job(job_id)
    seen = []
    for report in ("start", "step"):
        job.send_event(report, "load")
        step = job.step("load")
        seen.append([step.status, step.is_ready, step.is_open])
    job.cancel()
    seen.append([job.step("report").status, job.is_ready("report")])
    print(json.dumps(seen))
"""
    command = [sys.executable, "-W", "error", "-c", script, backend.base_url]
    outbox = str(tmp_path / "outbox")
    ended = subprocess.run(
        [*command, backend.api_key, outbox, job.provider_job_id],
        check=True,
        capture_output=True,
        text=True,
    )

    assert json.loads(ended.stdout) == [
        ["running", False, True],
        ["done", False, False],
        ["not_run", False],
    ]


def test_event_loop_handles_know_each_other(
    backend: RunningBackend, config: JobConfig
) -> None:
    """The handles of `AsyncTrackerApi` share what they know, as the others do."""

    async def main() -> list[tuple[str, bool, bool]]:
        async with AsyncTrackerApi(backend.api_key, backend.base_url) as tracker:
            job = await tracker.create_job(str(uuid.uuid4()), 142, config.tag)
            other = tracker.job(job.provider_job_id)
            await other.recall()
            await job.step("load").start()
            step = other.step("load")
            seen = [(step.status, step.is_ready, step.is_open)]
            await other.cancel()
            step = job.step("segment")
            return [*seen, (step.status, step.is_ready, step.is_open)]

    assert asyncio.run(main()) == [
        ("running", False, True),
        ("not_run", False, False),
    ]


@pytest.mark.parametrize("end", ["cancel", "interrupt", "error"])
def test_block_keeps_the_end_that_another_handle_has_reported(
    tracker: TrackerApi, config: JobConfig, end: str
) -> None:
    """A block that ends normally does not change a job to succeeded after its end."""
    with tracker.run_job(str(uuid.uuid4()), 142, config.tag) as job:
        tracker.job(job.provider_job_id).send_event(end)
    deliver(tracker)

    kinds = [event.kind for event in job.events()]
    assert kinds == ["start", end]


def test_repr_of_the_steps_names_each_step_and_its_status(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """`repr()` of the steps is short and shows tags and statuses, and no key."""
    job.step("load").done()
    job.step("segment").start()
    job_id = job.provider_job_id

    assert repr(job.steps) == (
        f"<steps of {job_id!r}: 'load': done, 'segment': running, 'report': pending>"
    )
    bare = tracker.job("another one")
    assert repr(bare.steps) == "<steps of 'another one': none>"
    for number in range(25):
        bare.step(f"part-{number}")
    assert repr(bare.steps).endswith("'part-19': pending, and 5 more>")
