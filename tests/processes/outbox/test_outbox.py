"""Outboxes that cannot be written: delivery from memory, errors under `strict`.

The title of a test with the mark `in_row` begins with its row of the failure table.
"""

import os
import uuid
from pathlib import Path

import pytest

from tests.support.backend_jobs import deliver, new_job, stored
from tests.support.ended_scripts import ended_script
from tests.support.failure_table import in_row
from tests.support.gateway import Gateway, reporting
from tests.support.lines import event_id_of, event_line
from tests.support.memory_backend import MemoryBackend
from tests.support.outbox_folders import below_a_file, recorded_lines
from tests.support.reporting_process import ReportingProcess
from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import always
from trackerapi import (
    JobConfig,
    OutboxError,
    TrackerApi,
    TrackerJob,
)


@in_row("outbox", "default")
def test_events_are_delivered_without_an_outbox(
    gateway: Gateway,
    config: JobConfig,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    strict: bool,
) -> None:
    """Outbox cannot be written: records are kept in memory and delivered in order."""
    with reporting(gateway, strict=strict, outbox=below_a_file(tmp_path)) as tracker:
        job = new_job(tracker, config)
        ids = [job.send_event(kind="info") for _ in range(100)]
        deliver(tracker)
        gateway.fault = always(b"")
        ids += [job.send_event(kind="info") for _ in range(100)]
        waiting = tracker.flush(timeout=0.2).waiting
        gateway.fault = None
        deliver(tracker)

        assert [event.event_id for event in stored(tracker, job)] == ids
        assert not tracker.delivery().dropped
    assert waiting == 100
    assert sum("cannot be written" in message for message in caplog.messages) == 1


@in_row("outbox", "default")
def test_newest_is_dropped_and_counted_beyond_the_bound_of_memory(
    gateway: Gateway,
    tracker: TrackerApi,
    job: TrackerJob,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    strict: bool,
) -> None:
    """Outbox cannot be written: records above the limit are dropped and counted."""
    monkeypatch.setattr("trackerapi.outbox.outbox.MAX_BACKLOG_RECORDS", 20)
    gateway.fault = always(b"")
    with reporting(gateway, strict=strict, outbox=below_a_file(tmp_path)) as failing:
        handle = failing.job(job.provider_job_id)
        ids = [handle.send_event(kind="info") for _ in range(30)]
        report = failing.delivery()
        gateway.fault = None
        deliver(failing)

    assert (report.waiting, sum(report.dropped.values())) == (20, 10)
    assert [event.event_id for event in stored(tracker, job)] == ids[:20]
    assert sum("cannot be written" in message for message in caplog.messages) == 1
    assert sum("was dropped" in message for message in caplog.messages) == 1


@in_row("outbox", "strict")
def test_outbox_that_cannot_be_written_raises(
    gateway: Gateway, tracker: TrackerApi, job: TrackerJob, tmp_path: Path, strict: bool
) -> None:
    """Outbox cannot be written: OutboxError is raised, and no record is kept."""
    with reporting(gateway, strict=strict, outbox=below_a_file(tmp_path)) as failing:
        with pytest.raises(OutboxError, match="cannot be written"):
            failing.create_job(str(uuid.uuid4()), 142, "undescribed")
        with pytest.raises(OutboxError, match="cannot be written"):
            failing.job(job.provider_job_id).send_event(kind="info")
        report = failing.flush(timeout=30)

    assert report.waiting == 0
    assert stored(tracker, job) == []


@in_row("outbox")
def test_disk_that_is_full_loses_no_event_whose_call_returned(
    backend: RunningBackend, tracker: TrackerApi, job: TrackerJob, strict: bool
) -> None:
    """Outbox cannot be written: each event whose call returned is delivered."""
    end = ended_script(
        "import resource\n"
        "from trackerapi import OutboxError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "tracker = TrackerApi()\n"
        f"job = tracker.job({job.provider_job_id!r})\n"
        "for _ in range(60):\n"
        "    try:\n"
        "        print(job.send_event(kind='info'))\n"
        "    except OutboxError:\n"
        "        print('refused')\n"
        "print(tracker.flush(timeout=30).waiting)\n",
        TRACKERAPI_BASE_URL=backend.base_url,
        TRACKERAPI_API_KEY=backend.api_key,
        TRACKERAPI_STRICT=str(int(strict)),
    )

    *outcomes, waiting = end.stdout.split()
    returned = [outcome for outcome in outcomes if outcome != "refused"]
    assert (len(outcomes), waiting) == (60, "0")
    assert (len(returned) < 60) is strict
    assert [event.event_id for event in stored(tracker, job)] == returned
    assert end.stderr.count("cannot be written") == 1


def test_forked_child_releases_files_without_a_trace(
    folder: Path, process: ReportingProcess
) -> None:
    """A forked child closes its parent's file without a write or an unlock."""
    process.append(event_line())
    before = sorted(folder.iterdir())
    pid = os.fork()
    if pid == 0:
        process.outbox.forget()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0

    other = ReportingProcess(folder, MemoryBackend("job"))
    other.passes.claim_leftovers()
    assert other.passes.leftovers == []
    assert sorted(folder.iterdir()) == before
    line = event_line()
    process.append(line)
    assert event_id_of(recorded_lines(folder)[-1]) == event_id_of(line)
