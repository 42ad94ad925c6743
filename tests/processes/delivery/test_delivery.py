"""Delivery: request bodies, compression, fsync, shutdown and signal handlers."""

import gzip
import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.backend_jobs import deliver
from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import (
    KEY,
    OWNER,
    Request,
    ScriptedServer,
    answering,
    http,
)
from trackerapi import DeliveryReport, JobConfig, TrackerApi, TrackerJob


def accept_everything(request: Request) -> bytes:
    """Answer as a backend that accepts the key and every event."""
    if request.target.endswith("/api-keys/protected"):
        return http(200, OWNER)
    body = request.body
    if request.headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    report = {"accepted": body.count(b"\n"), "duplicates": 0, "rejected": []}
    return http(200, report)


@contextmanager
def backend_for(base_url: str | None = None) -> Iterator[tuple[ScriptedServer, str]]:
    """Run a backend; yield it with `base_url`, or with its own address if None."""
    with answering(accept_everything) as server:
        yield server, base_url or server.url


def batches(server: ScriptedServer) -> list[Request]:
    """Return the requests with a batch of events."""
    return [r for r in server.requests if r.target.endswith("/events/batch")]


def test_batch_for_a_far_backend_is_compressed() -> None:
    """Batches of 1,400 bytes or more are compressed with gzip and keep all events."""
    with answering(accept_everything) as proxy:
        with TrackerApi(KEY, "http://tracker.invalid", proxy=proxy.url) as tracker:
            job = tracker.job("job-1")
            ids = [job.send_event(kind="info") for _ in range(100)]
            deliver(tracker)

    lines: list[bytes] = []
    sizes = []
    for request in batches(proxy):
        is_packed = request.headers.get("content-encoding") == "gzip"
        body = gzip.decompress(request.body) if is_packed else request.body
        sizes.append((is_packed, len(body)))
        lines += body.splitlines()
    assert [json.loads(line)["event_id"] for line in lines] == ids
    assert all(is_packed == (size >= 1400) for is_packed, size in sizes)
    assert any(is_packed for is_packed, _ in sizes)


def test_batch_for_a_backend_on_this_machine_is_not_compressed() -> None:
    """Batches to a loopback address are sent without compression."""
    with answering(accept_everything) as server:
        with TrackerApi(KEY, server.url) as tracker:
            job = tracker.job("job-1")
            for _ in range(100):
                job.send_event(kind="info")
            deliver(tracker)

    assert {request.headers.get("content-encoding") for request in batches(server)} == {
        None
    }


def test_delivery_keeps_one_connection() -> None:
    """Ten batches, one after another, are sent over one connection."""
    with answering(accept_everything) as server:
        with TrackerApi(KEY, server.url) as tracker:
            job = tracker.job("job-1")
            for _ in range(10):
                job.send_event(kind="info")
                deliver(tracker)

        assert len(batches(server)) == 10
        assert server.connection_count == 1


def test_disk_and_wire_have_the_same_bytes() -> None:
    """Request bodies equal the records in the outbox file, byte for byte."""
    with answering(accept_everything) as server:
        with TrackerApi(KEY, server.url) as tracker:
            job = tracker.job("job-1")
            for number in range(5):
                job.send_event(kind="info", metadata={"Number": number})
            deliver(tracker)

    folder = Path(os.environ["XDG_STATE_HOME"]) / "trackerapi" / "delivered"
    (file,) = folder.glob("*.outbox")
    header, _, records = file.read_bytes().partition(b"\n")
    assert json.loads(header)["base_url"] == server.url
    assert records == b"".join(request.body for request in batches(server))


def test_fsync_puts_a_record_on_the_disk_before_its_call_returns(
    job: TrackerJob, backend: RunningBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `fsync=True`, the file is synced before `send_event()` returns."""
    synced: dict[int, int] = {}
    sync = os.fsync

    def recording(fd: int) -> None:
        sync(fd)
        stat = os.fstat(fd)
        synced[stat.st_ino] = stat.st_size

    monkeypatch.setattr(os, "fsync", recording)
    with TrackerApi(backend.api_key, backend.base_url, fsync=True) as tracker:
        durable = tracker.job(job.provider_job_id)
        folder = Path(os.environ["XDG_STATE_HOME"]) / "trackerapi"
        for _ in range(3):
            durable.send_event(kind="info")
            file = sorted(folder.glob("*.outbox"))[-1].stat()
            assert synced[file.st_ino] == file.st_size
        assert folder.stat().st_ino in synced


def test_threads_share_one_sync_of_the_disk(
    backend: RunningBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records of 7 threads that wait during a sync share the next sync."""
    count = 8
    is_busy, may_end = threading.Event(), threading.Event()
    calls: list[int] = []
    sync = os.fsync

    def slow(fd: int) -> None:
        calls.append(fd)
        is_busy.set()
        may_end.wait()
        sync(fd)

    tracker = TrackerApi(backend.api_key, backend.base_url, fsync=True, mode="offline")
    job = tracker.job("job-1")
    job.send_event(kind="info")
    monkeypatch.setattr(os, "fsync", slow)
    threads = [
        threading.Thread(target=job.send_event, kwargs={"kind": "info"})
        for _ in range(count)
    ]
    threads[0].start()
    assert is_busy.wait(60)
    for thread in threads[1:]:
        thread.start()
    # Wait until all records are written; `slow()` still blocks the sync.
    while tracker.delivery().waiting < count + 1:
        time.sleep(0.001)
    may_end.set()
    for thread in threads:
        thread.join()
    tracker.close()

    assert 2 <= len(calls) <= 3


def test_several_trackers_share_the_shutdown_timeout(tmp_path: Path) -> None:
    """Five trackers wait for a silent backend in parallel, not one after another."""
    timeout_seconds = 3
    script = (
        "import sys\n"
        "from trackerapi import TrackerApi\n"
        "for number in range(5):\n"
        f"    last = {{'shutdown_timeout': {timeout_seconds}}}\n"
        "    tracker = TrackerApi('key', sys.argv[1], **last)\n"
        "    tracker.job('job-1').send_event(kind='info')\n"
        "    globals()[f'tracker_{number}'] = tracker\n"
        "sys.stdin.readline()\n"
    )

    def never(_request: Request) -> Iterator[bytes]:
        all_ask.release()
        released.wait()
        yield b""

    all_ask, released = threading.Semaphore(0), threading.Event()
    with (
        answering(never) as server,
        subprocess.Popen(
            [sys.executable, "-c", script, server.url],
            env={**os.environ, "TRACKERAPI_OUTBOX": str(tmp_path)},
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        try:
            # Wait until all trackers have sent a request: only the close is timed.
            asked = [all_ask.acquire(timeout=60) for _ in range(5)]
            began = time.monotonic()
            _, stderr = process.communicate("\n", timeout=60)
            seconds = time.monotonic() - began
        finally:
            released.set()
            process.kill()

    assert asked == [True] * 5
    assert seconds < 5 * timeout_seconds
    assert stderr.count("not delivered yet: 1 record stays in") == 5


def test_signal_handler_may_report_during_a_report(tmp_path: Path) -> None:
    """Events of a signal handler that interrupts `send_event()` are all recorded."""
    script = (
        "import signal, sys\n"
        "from trackerapi import TrackerApi\n"
        "ids = []\n"
        "tracker = TrackerApi('key', 'http://127.0.0.1:9', mode='offline')\n"
        "job = tracker.job('job-1')\n"
        "signal.signal(signal.SIGALRM,"
        " lambda *_: ids.append(job.send_event(kind='info')))\n"
        "ids.append(job.send_event(kind='info'))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\n"
        "while len(ids) < 50000:\n"
        "    ids.append(job.send_event(kind='info'))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\n"
        "print(len(ids), len(set(ids)), tracker.delivery().waiting)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TRACKERAPI_OUTBOX": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    (file,) = tmp_path.glob("*.outbox")
    written = [
        json.loads(line)["event_id"] for line in file.read_bytes().split(b"\n")[1:-1]
    ]
    reported, different, waiting = map(int, done.stdout.split())
    assert reported >= 50000
    assert reported == different == waiting == len(written) == len(set(written))


def test_flush_reports_all_counts_and_the_last_error(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """`flush()` and then `delivery()` return the same report of 3 delivered events."""
    for _ in range(3):
        job.send_event(kind="info")

    flushed = tracker.flush()

    assert flushed == DeliveryReport(delivered=3)
    assert tracker.delivery() == flushed


def test_closed_tracker_starts_again(tracker: TrackerApi, config: JobConfig) -> None:
    """Events sent after `close()` are delivered."""
    job = tracker.create_job(str(uuid.uuid4()), 142, config.tag)
    job.send_event(kind="step", name="say_hello")
    tracker.close()

    job.send_event(kind="step", name="random_number")
    deliver(tracker)

    assert job.fetch().percent == 71.43
