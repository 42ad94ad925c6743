"""`is_ready` and status of steps, also after a restart."""

import json
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.support.backend_jobs import deliver
from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import NOWHERE
from trackerapi import (
    JobConfig,
    JobConfigManager,
    TrackerApi,
    TrackerJob,
    UnknownStepError,
)
from trackerapi.outbox.folder import OutboxFolder

EARLIER = """
import json, os, sys
from trackerapi import JobConfigManager, TrackerApi
address, key, outbox, mode, job_id, document = sys.argv[1:]
config = JobConfigManager(configs=[json.loads(document)])
tracker = TrackerApi(key, address, outbox=outbox, mode=mode)
job = tracker.create_job(job_id, 142, config.tags[0])
job.step("load").done()
job.skip("compare")
job.step("segment").start()
os._exit(1)
"""


@pytest.fixture
def config() -> JobConfig:
    """Load a configuration of five steps with explicit and implicit predecessors."""
    after: dict[str, list[str] | None] = {
        "load": None,
        "segment": None,
        "compare": ["load"],
        "log": [],
        "report": ["segment", "compare"],
    }
    tag = f"imaging-{uuid.uuid4()}"
    steps = [
        {"tag": step, "name": step, "points": 1}
        | ({"after": before} if before is not None else {})
        for step, before in after.items()
    ]
    document = {"tag": tag, "name": tag, "step_configurations": steps}
    return JobConfigManager(configs=[document]).get_job_config(tag)


def ready(job: TrackerJob) -> list[str]:
    """Return the tags of the steps that are ready."""
    return [tag for tag, step in job.steps.items() if step.is_ready]


def test_step_is_ready_when_its_predecessors_are_done(run: TrackerJob) -> None:
    """A step is ready after the steps in `after`, or after the step before it."""
    assert ready(run) == ["load", "log"]
    with run.step("load"):
        assert ready(run) == ["log"]
    assert ready(run) == ["segment", "compare", "log"]
    run.skip("compare")
    run.send_event(kind="step", name="segment")
    run.send_event(kind="start", name="log")
    assert ready(run) == ["report"]
    run.step("report").done()
    assert ready(run) == []


def test_failed_step_is_ready_again(run: TrackerJob) -> None:
    """A failed step is ready again; steps after the failed step are not ready."""
    run.step("load").fail()

    assert ready(run) == ["load", "log"]


def test_without_a_configuration_every_step_is_ready(recorder: TrackerApi) -> None:
    """In a job without a configuration, every step is ready."""
    job = recorder.job("free")

    assert job.step("anything").is_ready
    assert list(job.steps) == ["anything"]
    assert job.steps["anything"] is job.step("anything")
    with pytest.raises(UnknownStepError):
        job.steps["something"]


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_restart_knows_steps_that_were_done(
    backend: RunningBackend, config: JobConfig, tmp_path: Path, mode: str
) -> None:
    """A restarted job has the step statuses of the dead process, delivered or not."""
    outbox, job_id = str(tmp_path / "outbox"), str(uuid.uuid4())
    document = json.dumps(config.as_document())
    command = [sys.executable, "-W", "error", "-c", EARLIER, backend.base_url]
    died = subprocess.run(
        [*command, backend.api_key, outbox, mode, job_id, document], check=False
    )
    assert died.returncode == 1

    with TrackerApi(
        backend.api_key, backend.base_url, outbox=outbox, mode=mode
    ) as tracker:
        job = tracker.create_job(job_id, 142, config.tag)
        assert job.steps["load"].status == "done"
        assert job.steps["segment"].status == "running"
        assert ready(job) == ["segment", "log"]


def test_done_step_is_known_though_another_worker_reported_later(
    backend: RunningBackend, config: JobConfig, tmp_path: Path
) -> None:
    """An undelivered `done` is applied even if the backend has newer events."""
    outbox, job_id = str(tmp_path / "outbox"), str(uuid.uuid4())
    document = json.dumps(config.as_document())
    command = [sys.executable, "-W", "error", "-c", EARLIER, backend.base_url]
    subprocess.run(
        [*command, backend.api_key, outbox, "offline", job_id, document], check=False
    )
    with TrackerApi(
        backend.api_key, backend.base_url, outbox=tmp_path / "elsewhere"
    ) as elsewhere:
        elsewhere.create_job(job_id, 142, config.tag).step("log").done()

    with TrackerApi(backend.api_key, backend.base_url, outbox=outbox) as tracker:
        assert ready(tracker.create_job(job_id, 142, config.tag)) == ["segment"]


def test_done_step_is_known_though_the_disk_refused_it(
    backend: RunningBackend, config: JobConfig, tmp_path: Path
) -> None:
    """Steps after a done step are ready even if its event could not be written."""
    (tmp_path / "file").touch()
    with TrackerApi(
        backend.api_key, backend.base_url, outbox=tmp_path / "file" / "outbox"
    ) as tracker:
        job = tracker.create_job(str(uuid.uuid4()), 142, config.tag)
        job.step("load").done()

        assert ready(job) == ["segment", "compare", "log"]


def test_another_machine_knows_steps_from_the_backend(
    backend: RunningBackend, tracker: TrackerApi, config: JobConfig, tmp_path: Path
) -> None:
    """Without the outbox, `create_job()` restores step statuses from the backend."""
    job_id = str(uuid.uuid4())
    tracker.create_job(job_id, 142, config.tag).step("load").done()
    deliver(tracker)

    with TrackerApi(
        backend.api_key, backend.base_url, outbox=tmp_path / "elsewhere"
    ) as other:
        assert ready(other.create_job(job_id, 142, config.tag)) == [
            "segment",
            "compare",
            "log",
        ]


def test_threads_at_once_get_the_same_ready_steps(
    config: JobConfig, outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads that ask during the first read of the outbox get the same steps."""
    with TrackerApi("key", NOWHERE, mode="offline", outbox=outbox) as earlier:
        earlier.create_job("one", 142, config.tag).step("load").done()
    read, answers = OutboxFolder.events_of, list[list[str]]()

    def ask() -> None:
        answers.append(ready(job))

    def read_slowly(*given: Any) -> list[dict[str, Any]]:
        monkeypatch.setattr(OutboxFolder, "events_of", read)
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        return read(*given)

    monkeypatch.setattr(OutboxFolder, "events_of", read_slowly)
    with TrackerApi("key", NOWHERE, mode="offline", outbox=outbox) as tracker:
        job = tracker.create_job("one", 142, config.tag)
        ask()

    assert answers == [["segment", "compare", "log"]] * 2
