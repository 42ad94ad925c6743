"""Trackers with the mode `off` or `offline`."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.backend_jobs import deliver, new_job, stored
from tests.support.gateway import Gateway
from tests.support.outbox_folders import records
from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import NOWHERE, Request
from tests.support.waiting import SLACK_SECONDS
from trackerapi import (
    BackendError,
    JobConfig,
    TrackerApi,
    TrackerJob,
)

OFF: Final = """\
import json, sys, threading
from trackerapi import TrackerApi
before = set(sys.modules)
with TrackerApi({argument}) as tracker:
    job = tracker.create_job("off", 142, "undescribed", metadata={{"a": 1}})
    ids = [job.send_event(kind="progress", name="one", fraction=0.5)]
    ids += [tracker.job("off").send_event(kind="complete")]
    waiting = [tracker.flush().waiting, tracker.delivery().waiting]
loaded = sorted(set(sys.modules) - before)
print(json.dumps([ids, waiting, threading.active_count(), loaded]))
"""


def run_off(tmp_path: Path, argument: str, **settings: str) -> list[str]:
    """Run `OFF` in an empty home folder; return the names of modules that it loads."""
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", OFF.format(argument=argument)],
        env={"HOME": str(home), "PATH": os.environ["PATH"], **settings},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    ids, waiting, thread_count, loaded = json.loads(done.stdout)
    assert (ids, waiting, thread_count) == (["", ""], [0, 0], 1)
    assert done.stderr == ""
    assert list(home.iterdir()) == []
    modules: list[str] = loaded
    return modules


@pytest.mark.parametrize(
    ("argument", "settings"),
    [("mode='off'", {}), ("", {"TRACKERAPI_MODE": "off"})],
    ids=["argument", "environment"],
)
def test_off_needs_no_settings_and_does_nothing(
    tmp_path: Path, argument: str, settings: dict[str, str]
) -> None:
    """With mode `off`, a tracker makes no thread, file or third-party import."""
    loaded = run_off(tmp_path, argument, **settings)

    foreign = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names
    assert foreign <= {"trackerapi"}
    assert not [name for name in loaded if name.startswith("trackerapi.wire")]
    assert not {"ssl", "http.client", "asyncio"} & set(loaded)


def test_off_loads_no_delivery(tmp_path: Path) -> None:
    """With mode off neither outbox nor delivery loop is loaded."""
    loaded = run_off(tmp_path, "mode='off'")

    parts = {"outbox.outbox", "outbox.file", "delivery.delivery", "delivery.loop"}
    parts |= {"delivery.batches", "delivery.passes"}
    assert not {f"trackerapi.{part}" for part in parts} & set(loaded)


def test_read_call_of_a_tracker_that_is_off_raises() -> None:
    """With mode `off`, a read call raises BackendError, which names the setting."""
    with TrackerApi(mode="off") as tracker, pytest.raises(BackendError) as caught:
        tracker.get_job("off")

    assert "TRACKERAPI_MODE" in str(caught.value)


def test_offline_tracker_records_and_does_not_connect(
    gateway: Gateway, config: JobConfig, outbox: Path
) -> None:
    """With mode `offline`, `flush()` and `close()` open no connection."""
    key = gateway.backend.api_key
    with TrackerApi(key, gateway.url, mode="offline", outbox=outbox) as offline:
        job = new_job(offline, config)
        ids = [job.send_event(kind="step", name="say_hello")]
        ids += [job.send_event(kind="info") for _ in range(10)]
        began = time.monotonic()
        report = offline.flush(timeout=3600)
    seconds = time.monotonic() - began

    assert seconds <= SLACK_SECONDS
    assert (report.waiting, report.delivered) == (12, 0)
    assert gateway.server.connection_count == 0
    creation, *events = records(outbox)
    assert creation["create_job"]["provider_job_id"] == job.provider_job_id
    assert [event["event_id"] for event in events] == ids


@pytest.mark.parametrize("how", ["flush", "close", "new event"])
def test_later_online_tracker_delivers_offline_records(
    gateway: Gateway, tracker: TrackerApi, config: JobConfig, outbox: Path, how: str
) -> None:
    """An online tracker with the same key delivers the records of offline runs."""
    where: dict[str, Any] = {
        "api_key": gateway.backend.api_key,
        "base_url": gateway.url,
        "outbox": outbox,
    }
    with TrackerApi(**where, mode="offline") as offline:
        job = new_job(offline, config)
        ids = [job.send_event(kind="step", name=n) for n in ("say_hello", "say_bye")]
    arrived = threading.Event()

    def fault(request: Request) -> None:
        if ids[-1].encode() in request.body:
            arrived.set()

    gateway.fault = fault
    with TrackerApi(**where) as online:
        if how == "flush":
            deliver(online)
        else:
            ids.append(online.job(job.provider_job_id).send_event(kind="info"))
            if how == "new event":
                assert arrived.wait(30)

    arrived_ids = [event.event_id for event in stored(tracker, job)]
    assert sorted(arrived_ids) == sorted(ids)
    assert tracker.get_job(job.provider_job_id).percent == 57.14


def test_offline_needs_no_key(outbox: Path) -> None:
    """With mode `offline`, events are recorded without an API key."""
    with TrackerApi(base_url=NOWHERE, mode="offline", outbox=outbox) as tracker:
        event_id = tracker.job("keyless").send_event(kind="info")

    assert [event["event_id"] for event in records(outbox)] == [event_id]


def test_key_of_another_form_delivers_its_offline_records(
    gateway: Gateway, tracker: TrackerApi, job: TrackerJob, outbox: Path
) -> None:
    """A tracker whose key has no key id delivers its offline records too."""
    gateway.lends_key = True
    where: dict[str, Any] = {"api_key": "key.of-another/form=", "base_url": gateway.url}
    with TrackerApi(**where, outbox=outbox, mode="offline") as offline:
        event_id = offline.job(job.provider_job_id).send_event(kind="info")
    with TrackerApi(**where, outbox=outbox) as online:
        online.flush(timeout=30)

    assert [event.event_id for event in stored(tracker, job)] == [event_id]


def test_records_for_one_backend_are_never_sent_to_another(
    gateway: Gateway, backend: RunningBackend, outbox: Path
) -> None:
    """Records of one backend in a shared folder never reach another backend."""
    key = backend.api_key
    with TrackerApi(key, NOWHERE, mode="offline", outbox=outbox) as elsewhere:
        elsewhere.job("elsewhere").send_event(kind="info")
    before = records(outbox)
    with TrackerApi(key, gateway.url, outbox=outbox) as online:
        online.flush(timeout=30)

    assert gateway.count("POST", "/events/batch") == 0
    assert records(outbox) == before
