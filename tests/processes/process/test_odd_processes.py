"""Scripts that close the descriptors or replace the clock of a tracker.

Each test runs a script of its own against a real backend.
"""

import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Final

import pytest

from tests.support.backend_jobs import deliver, stored
from tests.support.running_backend import RunningBackend
from trackerapi import TrackerApi

BEGIN: Final = """\
import os, socket, sys, time
from trackerapi import TrackerApi

def tracker():
    return TrackerApi(shutdown_timeout=30)

def note(job, text):
    assert job.send_event(kind="info", message=text)

def delivered(tracker):
    assert tracker.flush(30).waiting == 0
"""

CLOSES_ALL: Final = """
TEXT = b'{"secret": "a line of the job"}\\n' * 3000
tracker = tracker()
job = tracker.create_job(os.environ["JOB"], 142, "imaging")
note(job, "first")
delivered(tracker)

os.closerange(3, 256)
kind, opened = sys.argv[1], []
while len(opened) < 60:
    if kind == "files":
        opened.append(os.open(f"job-{len(opened)}", os.O_CREAT | os.O_RDWR))
        os.write(opened[-1], TEXT)
    elif kind == "sockets":
        opened += [each.detach() for each in socket.socketpair()]
    else:
        opened += os.pipe()
before = [os.fstat(number).st_ino for number in opened]

note(job, "second")
delivered(tracker)
note(job, "third")
tracker.close()
import gc; gc.collect()

assert [os.fstat(number).st_ino for number in opened] == before
for index, number in enumerate(opened):
    if kind == "files":
        with open(f"job-{index}", "rb") as file:
            assert file.read() == TEXT
    elif kind == "sockets":
        os.set_blocking(number, False)
        try:
            assert not os.read(number, 1)
        except BlockingIOError:
            pass
"""

DAEMON: Final = """
tracker = tracker()
job = tracker.create_job(os.environ["JOB"], 142, "imaging")
note(job, "first")
delivered(tracker)
child = os.fork()
if child:
    assert os.waitpid(child, 0)[1] == 0
    note(job, "third")
    tracker.close()
    sys.exit()
os.setsid()
os.closerange(3, 256)
opened = [os.open(f"job-{n}", os.O_CREAT | os.O_RDWR) for n in range(30)]
note(job, "second")
delivered(tracker)
for number in opened:
    assert os.fstat(number).st_size == 0
tracker.close()
os._exit(0)
"""

WITHOUT_STREAMS: Final = """
for number in range(3):
    os.close(number)
tracker = tracker()
job = tracker.create_job(os.environ["JOB"], 142, "imaging")
for text in ("first", "second", "third"):
    note(job, text)
    delivered(tracker)
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            continue
        os._exit(7)
tracker.close()
"""

NO_DESCRIPTORS: Final = """
import resource
tracker = tracker()
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
job = tracker.create_job(os.environ["JOB"], 142, "imaging")
with job.step("load") as step:
    step.advance(2)
note(job, "first")
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
note(job, "second")
note(job, "third")
delivered(tracker)
tracker.close()
"""

FROZEN: Final = """
import itertools
from unittest import mock
with mock.patch("time.monotonic", lambda: 1e12), mock.patch("time.sleep"):
    tracker = tracker()  # imports the module of `track()`
    down = TrackerApi("key", "http://127.0.0.1:9", outbox="down", timeout_seconds=0.1)
    job = tracker.create_job(os.environ["JOB"], 142, "imaging")
    note(job, "first")
    other = down.create_job("down", 142, "imaging")
    note(other, "down")
    assert down.flush(0.5).waiting
    try:
        down.get_job("down")
    except Exception as error:
        assert "cannot connect" in str(error), error
    down.close()
    for item in job.track(range(3), step="load"):
        pass
# A loop after the patch reads the true clock, although its module was imported before.
counts, deadline = set(), time.monotonic() + 60
for item in job.track(itertools.count(), step="report"):
    tracker.flush(10)
    counts |= {event.completed for event in job.events() if event.tag == "report"}
    if len(counts) > 3:
        break
    assert time.monotonic() < deadline, counts
note(job, "second")
note(job, "third")
delivered(tracker)
with mock.patch("time.monotonic", lambda: 0.0):
    tracker.close()
"""

BROKEN_CLOCKS: Final = """
from datetime import UTC, datetime, timedelta
from unittest import mock

began = datetime.now(UTC)
clocks = ["time", "time_ns", "monotonic", "monotonic_ns", "gmtime", "localtime"]
values = [mock.DEFAULT, None, -1, "now", 1.5, float("nan"), 10**30, True]

def broken_clocks():
    for clock in clocks:
        for value in values:
            yield mock.patch(f"time.{clock}", return_value=value)
        yield mock.patch(f"time.{clock}", side_effect=OSError)
        yield mock.patch(f"time.{clock}", None)

tracker = tracker()
clock = mock.patch
with clock("time.time"), clock("time.time_ns"), clock("time.perf_counter"):
    job = tracker.create_job(os.environ["JOB"], 142, "imaging")
    note(job, "first")
for clock in broken_clocks():
    with clock:
        assert job.send_event(kind="info", metadata={"rows": 1})
        with job.step("load") as step:
            step.advance(1)
later = time.time_ns() + 2 * 3600 * 10**9
with mock.patch("time.time_ns", side_effect=[later, later - 10**9]):
    note(job, "second")
    note(job, "third")
delivered(tracker)
for event in job.events():
    assert began <= event.occurred_at, event
    is_late = event.occurred_at > datetime.now(UTC) + timedelta(hours=1)
    assert is_late == (event.message in ("second", "third")), event
tracker.close()
"""


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        (CLOSES_ALL, ["files"]),
        (CLOSES_ALL, ["sockets"]),
        (CLOSES_ALL, ["pipes"]),
        (DAEMON, []),
        (WITHOUT_STREAMS, []),
        (NO_DESCRIPTORS, []),
        (FROZEN, []),
        (BROKEN_CLOCKS, []),
    ],
    ids=[
        "files",
        "sockets",
        "pipes",
        "daemon",
        "streams",
        "descriptors",
        "frozen",
        "clocks",
    ],
)
def test_job_runs_and_its_records_arrive(
    backend: RunningBackend, tmp_path: Path, script: str, arguments: list[str]
) -> None:
    """The script ends with status 0, and its three events are stored once each."""
    job_id = f"odd-{uuid.uuid4()}"
    (tmp_path / "job").mkdir()
    environment = {
        **os.environ,
        "TRACKERAPI_BASE_URL": backend.base_url,
        "TRACKERAPI_API_KEY": backend.api_key,
        "TRACKERAPI_OUTBOX": str(tmp_path / "outbox"),
        "JOB": job_id,
    }
    command = [sys.executable, "-W", "ignore", "-c", BEGIN + script, *arguments]
    run = subprocess.run(
        command,
        cwd=tmp_path / "job",
        env=environment,
        timeout=120,
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr

    with TrackerApi(
        backend.api_key, backend.base_url, outbox=tmp_path / "outbox"
    ) as following:
        deliver(following)
        messages = [each.message for each in stored(following, job_id) if each.message]
    assert sorted(messages) == ["first", "second", "third"]
