"""Trackers that are closed, garbage-collected or used after `close()`."""

import gc
import os
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from tests.support.backend_jobs import deliver, stored
from tests.support.gateway import Gateway
from tests.support.recorded_jobs import recorded
from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import KEY, NOWHERE
from tests.support.scripts import Scripts
from tests.support.threads import await_end, await_end_soon, library_threads
from trackerapi import (
    DeliveryReport,
    TrackerApi,
    TrackerJob,
)
from trackerapi.delivery.conflation import Conflation
from trackerapi.outbox.file import OutboxFile


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_dropped_tracker_ends_by_itself(
    backend: RunningBackend, tracker: TrackerApi, job: TrackerJob, mode: str
) -> None:
    """A tracker that is never closed frees its thread and memory after delivery."""
    before = library_threads()
    dropped = TrackerApi(backend.api_key, backend.base_url, mode=mode)  # type: ignore[arg-type]
    handle = dropped.job(job.provider_job_id)
    event_id = handle.send_event(kind="info")
    threads = {t for t in library_threads() - before if t.name == "trackerapi-delivery"}
    assert len(threads) == 1
    is_there = weakref.ref(dropped)

    del dropped, handle
    gc.collect()
    await_end_soon(threads)
    gc.collect()

    assert is_there() is None
    if mode == "offline":
        deliver(tracker)
    assert [event.event_id for event in stored(tracker, job)] == [event_id]


def test_dropped_tracker_is_delivered_before_the_script_ends(
    scripts: Scripts,
) -> None:
    """Events of a garbage-collected tracker are delivered before the exit."""
    output, errors = scripts.run("""\
        def main():
            job = TrackerApi().job(JOB)
            send(job, 20)

        main()
        """)

    assert (output, errors) == ("", "")
    with TrackerApi(scripts.backend.api_key, scripts.backend.base_url) as asking:
        arrived = [event.event_id for event in stored(asking, scripts.job_id)]
    assert arrived == scripts.returned


def test_job_handle_outlives_its_tracker(
    backend: RunningBackend, tracker: TrackerApi, job: TrackerJob
) -> None:
    """Events of a handle are delivered although no variable refers to its tracker."""
    before = library_threads()
    handle = TrackerApi(backend.api_key, backend.base_url).job(job.provider_job_id)
    gc.collect()
    ids = [handle.send_event(kind="info") for _ in range(5)]
    threads = library_threads() - before
    del handle
    gc.collect()
    await_end_soon(threads)

    assert [event.event_id for event in stored(tracker, job)] == ids


def test_tracker_starts_again_after_its_close(
    backend: RunningBackend, job: TrackerJob, tmp_path: Path
) -> None:
    """Events sent after `close()` are delivered by the next `close()`."""
    outbox = tmp_path / "outbox"
    tracker = TrackerApi(backend.api_key, backend.base_url, outbox=outbox)
    handle = tracker.job(job.provider_job_id)
    ids = []
    for _ in range(3):
        ids += [handle.send_event(kind="info") for _ in range(3)]
        tracker.close()
        tracker.close()
        assert [event.event_id for event in stored(tracker, job)] == ids
    deliver(tracker)
    tracker.close()

    assert not list(outbox.glob("*.outbox"))


def test_threads_report_while_the_tracker_is_closed(
    backend: RunningBackend, tracker: TrackerApi, job: TrackerJob
) -> None:
    """Events that threads send during 20 closes are stored once each."""
    before = library_threads()
    closing = TrackerApi(backend.api_key, backend.base_url)
    handle = closing.job(job.provider_job_id)
    is_over = threading.Event()
    sent: list[list[str]] = [[], []]

    def go_on(mine: list[str]) -> None:
        while not is_over.wait(0.001):
            mine.append(handle.send_event(kind="info"))

    threads = [threading.Thread(target=go_on, args=(mine,)) for mine in sent]
    for thread in threads:
        thread.start()
    for _ in range(20):
        closing.close()
    is_over.set()
    await_end(threads)
    closing.close()
    await_end(library_threads() - before - set(threads))
    deliver(tracker)

    arrived = [event.event_id for event in stored(tracker, job)]
    assert sorted(arrived) == sorted(sent[0] + sent[1])


def test_progress_during_the_close_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Progress that is sent during `close()` is recorded."""
    tracker = TrackerApi("key", NOWHERE, mode="offline", outbox=tmp_path)
    job = tracker.job("job")
    job.send_event(kind="progress", name="load", completed=1)
    offer = Conflation.offer

    def offer_late(conflation: Conflation, *given: Any) -> bool:
        monkeypatch.setattr(Conflation, "offer", offer)
        tracker.close()
        return offer(conflation, *given)

    monkeypatch.setattr(Conflation, "offer", offer_late)
    job.send_event(kind="progress", name="load", completed=2)
    tracker.close()

    assert [event["completed"] for event in recorded(tmp_path)] == [1, 2]


def test_close_during_a_close_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two nested closes and one more `close()` leave no thread and no claimed file."""
    before = library_threads()
    tracker = TrackerApi("key", NOWHERE, mode="offline", outbox=tmp_path)
    job = tracker.job("job")
    job.note("first")
    release = Conflation.write_all

    def meet_another(conflation: Conflation) -> None:
        monkeypatch.setattr(Conflation, "write_all", release)
        tracker.close()
        job.note("second")
        release(conflation)

    monkeypatch.setattr(Conflation, "write_all", meet_another)
    tracker.close()
    tracker.close()

    await_end_soon(library_threads() - before)
    left = [OutboxFile.claim(path) for path in tmp_path.glob("*.outbox")]
    assert None not in left, "no other process can deliver a claimed file"
    assert len(left) == 2


def test_many_trackers_leave_nothing_behind(
    backend: RunningBackend, tracker: TrackerApi, job: TrackerJob
) -> None:
    """Twenty closed trackers leave no thread and no open file."""

    def use_one() -> None:
        with TrackerApi(backend.api_key, backend.base_url) as one:
            one.job(job.provider_job_id).send_event(kind="info")

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a kernel table, not files

    use_one()
    threads, files = library_threads(), open_files()
    for _ in range(20):
        use_one()
    await_end(library_threads() - threads)

    assert open_files() <= files
    assert len(stored(tracker, job)) == 21


def test_new_tracker_opens_nothing(gateway: Gateway, outbox: Path) -> None:
    """Constructor, handle and delivery() make no file, thread or request."""
    before = threading.active_count()
    with TrackerApi(KEY, gateway.url, outbox=outbox) as tracker:
        tracker.job("nothing yet")
        report = tracker.delivery()

        assert threading.active_count() == before
    assert report == DeliveryReport()
    assert gateway.server.connection_count == 0
    assert not outbox.exists()
