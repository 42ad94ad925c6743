"""Reports of several threads, and of an event loop."""

import asyncio
import threading
from pathlib import Path
from typing import Any

from tests.support.backend_jobs import deliver, stored
from tests.support.gateway import Gateway
from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import silent
from tests.support.scripts import PATIENCE_SECONDS
from tests.support.threads import await_end, library_threads
from trackerapi import TrackerApi, TrackerJob


def test_threads_that_send_at_once_lose_and_double_nothing(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """Each event of 8 threads is stored once, in the order of its thread."""
    barrier = threading.Barrier(8)
    sent: list[list[str]] = [[] for _ in range(8)]

    def send(mine: list[str]) -> None:
        barrier.wait()
        mine += [job.send_event(kind="info") for _ in range(250)]

    threads = [threading.Thread(target=send, args=(mine,)) for mine in sent]
    for thread in threads:
        thread.start()
    await_end(threads)
    deliver(tracker)

    arrived = [event.event_id for event in stored(tracker, job)]
    assert sorted(arrived) == sorted(event_id for mine in sent for event_id in mine)
    places = {event_id: place for place, event_id in enumerate(arrived)}
    for mine in sent:
        assert [places[i] for i in mine] == sorted(places[i] for i in mine)


def test_threads_that_send_first_at_once_share_one_loop(
    backend: RunningBackend, tmp_path: Path
) -> None:
    """Eight threads that send their first event together share one delivery thread."""
    before = library_threads()
    barrier = threading.Barrier(8)
    outbox = tmp_path / "outbox"
    options: dict[str, Any] = {"mode": "offline", "outbox": outbox}
    with TrackerApi(backend.api_key, backend.base_url, **options) as tracker:
        handle = tracker.job("begun")

        def send() -> None:
            barrier.wait()
            handle.send_event(kind="info")

        threads = [threading.Thread(target=send) for _ in range(8)]
        for thread in threads:
            thread.start()
        await_end(threads)

        assert len(library_threads() - before) == 1
    (file,) = outbox.glob("*.outbox")
    assert file.read_bytes().count(b'"event_id"') == 8


def test_event_loop_is_not_blocked_by_reports(
    gateway: Gateway, tracker: TrackerApi, job: TrackerJob
) -> None:
    """100 tasks of an event loop report without waiting for a silent backend."""
    ended = threading.Event()
    gateway.fault = silent(ended)
    key = gateway.backend.api_key

    async def report(handle: TrackerJob) -> str:
        await asyncio.sleep(0)
        return handle.send_event(kind="info")

    async def main(handle: TrackerJob) -> list[str]:
        return await asyncio.gather(*(report(handle) for _ in range(100)))

    with TrackerApi(key, gateway.url, shutdown_timeout=0) as slow:
        handle = slow.job(job.provider_job_id)
        try:
            # The backend is silent here: a report that waits for it times out.
            ids = asyncio.run(asyncio.wait_for(main(handle), PATIENCE_SECONDS))
            before = stored(tracker, job)
        finally:
            gateway.fault = None
            ended.set()
        deliver(slow)

    assert before == []
    arrived = [event.event_id for event in stored(tracker, job)]
    assert sorted(arrived) == sorted(ids)
