"""`watch()` on a real backend: order, ends, errors, outages, proxies, closing."""

import asyncio
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.answers import answer
from tests.support.backend_jobs import deliver
from tests.support.fault_proxy import Exchange, Fault, FaultProxy, pass_on
from tests.support.faults import bare_unavailable, busy, html, key_refused
from tests.support.good_backend import whole_answer
from tests.support.running_backend import RunningBackend, dev_backend
from tests.support.scripted_server import (
    NOWHERE,
    Request,
    answering,
    http,
    problem,
)
from trackerapi import (
    AsyncTrackerApi,
    AuthenticationError,
    BackendRejected,
    BackendUnavailable,
    Job,
    TrackerApi,
    TrackerJob,
)
from trackerapi.jobs import watching
from trackerapi.wire import watch_calls

PATIENCE_SECONDS: Final = 60.0
HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll often, and try a stream again soon."""
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(watching, "MAX_OUTAGE_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(watching, "FIRST_STREAM_PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(watching, "MAX_STREAM_PAUSE_SECONDS", 0.1)


class Streams:
    """Fault that counts streams, and relays them or answers in place of the backend.

    Attributes:
        fault: Fault for streams; None relays them as they arrive.
        begun: Semaphore that counts streams that have begun.
        ended: Semaphore that counts streams that have ended.
    """

    def __init__(self, fault: Fault | None = None) -> None:
        self.fault = fault
        self.begun, self.ended = threading.Semaphore(0), threading.Semaphore(0)

    def __call__(self, exchange: Exchange) -> None:
        """Pass a request on, or decide the result of a stream."""
        if not exchange.target.endswith("/stream"):
            pass_on(exchange)
            return
        self.begun.release()
        try:
            if self.fault is None:
                exchange.relay()
            else:
                self.fault(exchange)
        finally:
            self.ended.release()


@pytest.fixture
def streams() -> Streams:
    """Return the fault of the proxy."""
    return Streams()


@pytest.fixture
def proxy(backend: RunningBackend, streams: Streams) -> Iterator[FaultProxy]:
    """Run a proxy that relays streams."""
    with FaultProxy(backend.base_url, fault=streams) as made:
        yield made


@pytest.fixture
def reader(backend: RunningBackend, proxy: FaultProxy) -> Iterator[TrackerApi]:
    """Return a tracker behind the proxy."""
    with TrackerApi(backend.api_key, proxy.url, timeout_seconds=2) as made:
        yield made


def await_one(semaphore: threading.Semaphore) -> None:
    """Wait for a release of a semaphore."""
    assert semaphore.acquire(timeout=PATIENCE_SECONDS)


def note(tracker: TrackerApi, job: TrackerJob) -> None:
    """Report a note, and wait until the backend has it."""
    job.note("words")
    deliver(tracker)


def read_until(states: Iterator[Job], event_count: int) -> Job:
    """Return the first state with at least `event_count` events."""
    return next(state for state in states if state.event_count >= event_count)


def test_states_follow_the_job_to_its_end(tracker: TrackerApi, job: TrackerJob) -> None:
    """The first state is that of `get_job()`; the loop ends with the job's success."""
    before = tracker.get_job(job.provider_job_id)
    seen: list[Job] = []
    for state in tracker.watch(job.provider_job_id):
        seen.append(state)
        if len(seen) == 1:
            job.step("say_hello").done()
        elif state.status == "running":
            job.complete()
    versions = [state.version for state in seen]

    assert seen[0] == before
    assert seen[-1] == tracker.get_job(job.provider_job_id)
    assert (seen[-1].status, seen[-1].percent) == ("succeeded", 100.0)
    assert versions == sorted(set(versions))


def test_watch_of_an_ended_job_yields_one_state(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """A loop over an ended job has one pass."""
    job.fail("It broke")
    deliver(tracker)

    assert [state.status for state in tracker.watch(job.provider_job_id)] == ["failed"]


def test_watch_goes_on_after_the_end_of_the_job(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """With `until_done=False`, the states of a reopened job follow."""
    job.fail("It broke")
    deliver(tracker)
    with closing(tracker.watch(job.provider_job_id, until_done=False)) as states:
        assert next(states).status == "failed"
        job.send_event("start")
        assert next(states).status == "running"


def test_interrupted_job_is_watched_further(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """An interrupted job is expected to go on: the loop waits for it."""
    job.send_event("start")
    job.interrupt()
    deliver(tracker)
    states = tracker.watch(job.provider_job_id)

    assert next(states).status == "interrupted"
    job.complete()
    assert [state.status for state in states][-1] == "succeeded"


def test_slow_reader_gets_the_newest_state(
    tracker: TrackerApi, reader: TrackerApi, job: TrackerJob, streams: Streams
) -> None:
    """A reader that was busy during many changes skips the older states."""
    with closing(reader.watch(job.provider_job_id)) as states:
        next(states)
        await_one(streams.begun)
        for _ in range(20):
            note(tracker, job)
        job.complete()
        deliver(tracker)
        await_one(streams.ended)  # The watch has read the end of the job.
        last = tracker.get_job(job.provider_job_id)

        assert list(states) == [last]


def test_unknown_job_raises_like_get_job(tracker: TrackerApi) -> None:
    """An unknown id raises the error of `get_job()`, when the loop begins."""
    states = tracker.watch("no-such-job")
    with pytest.raises(BackendRejected) as watched:
        next(states)
    with pytest.raises(BackendRejected) as got:
        tracker.get_job("no-such-job")

    assert str(watched.value) == str(got.value)
    assert list(states) == []


def test_wrong_key_and_unreachable_backend_raise_like_get_job(
    backend: RunningBackend,
) -> None:
    """A wrong key, and no answer to the first request, end the loop."""
    wrong = TrackerApi("trk_wrong_key_000000", backend.base_url)
    with pytest.raises(AuthenticationError):
        next(wrong.watch("one"))
    with pytest.raises(BackendUnavailable, match="refused"):
        next(TrackerApi("key", NOWHERE, timeout_seconds=0.1).watch("one"))
    with pytest.raises(BackendUnavailable, match="tracking is off"):
        next(TrackerApi("key", NOWHERE, mode="off").watch("one"))


@pytest.mark.parametrize("kind", [TrackerApi, AsyncTrackerApi])
@pytest.mark.parametrize(
    ("error", "name", "options"),
    [
        (TypeError, 7, {}),
        (ValueError, "", {}),
        (ValueError, "x" * 201, {}),
        (TypeError, "one", {"until_done": 1}),
        (TypeError, "one", {"until": True}),
    ],
)
def test_rejected_argument_raises_at_the_call(
    kind: Any, error: type[Exception], name: Any, options: dict[str, Any]
) -> None:
    """An argument out of range raises before the loop, and without a request."""
    tracker = kind("key", NOWHERE)

    with pytest.raises(error):
        tracker.watch(name, **options)


def test_outbox_is_not_touched(
    backend: RunningBackend, tracker: TrackerApi, job: TrackerJob, tmp_path: Path
) -> None:
    """A watch creates no outbox."""
    job.complete()
    deliver(tracker)
    folder = tmp_path / "none"
    with TrackerApi(backend.api_key, backend.base_url, outbox=folder) as reader:
        assert len(list(reader.watch(job.provider_job_id))) == 1

    assert not folder.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_watch_goes_on_after_a_restart_of_the_backend(
    tmp_path: Path, number: signal.Signals
) -> None:
    """The loop survives the end of the backend, and yields the states after it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with dev_backend(tmp_path, port) as process:
        settings = json.loads((tmp_path / "dev.json").read_text())
        address = settings["api_key"], settings["base_url"]
        tracker = TrackerApi(*address, outbox=tmp_path / "outbox")
        job = tracker.create_job("one", settings["customer_id"], "tag")
        note(tracker, job)
        states = tracker.watch("one")
        read_until(states, 1)
        process.send_signal(number)
        process.wait(PATIENCE_SECONDS)
    with dev_backend(tmp_path, port), tracker:
        note(tracker, job)
        read_until(states, 2)
        job.complete()
        assert [state.status for state in states][-1] == "succeeded"


def test_lost_connection_is_opened_again(
    proxy: FaultProxy,
    tracker: TrackerApi,
    reader: TrackerApi,
    job: TrackerJob,
    streams: Streams,
) -> None:
    """After a lost connection a second stream begins behind the known version."""
    with closing(reader.watch(job.provider_job_id)) as states:
        next(states)
        for number in (1, 2, 3):
            await_one(streams.begun)
            proxy.abort_connections()
            await_one(streams.ended)
            note(tracker, job)
            state = read_until(states, number)
        await_one(streams.begun)
        sent = [
            request.headers.get("last-event-id")
            for request in proxy.requests
            if request.target.endswith("/stream")
        ]

    assert sent[0] is None
    assert int(sent[-1] or 0) == state.version


def hold(exchange: Exchange) -> None:
    """Collect a stream, as a proxy that buffers: the client gets nothing."""
    exchange.wait_for_close()
    exchange.is_open = False


def hold_body(exchange: Exchange) -> None:
    """Send the head of a stream, and collect the rest."""
    exchange.answer(HEAD)
    hold(exchange)


def hold_end(exchange: Exchange) -> None:
    """Send the begin of a message, and collect the rest."""
    exchange.answer(HEAD + b"data: {")
    hold(exchange)


def break_off(exchange: Exchange) -> None:
    """Close the connection within a message."""
    exchange.answer(HEAD + b"event: job\r\ndata: {")
    exchange.reset()


UNUSABLE: Final[dict[str, Fault]] = {
    "buffered": hold,
    "body buffered": hold_body,
    "message buffered": hold_end,
    "broken": break_off,
    "reset": Exchange.reset,
    "502 page": html(502),
    "404 page": html(404),
    "portal": html(200),
    "503": bare_unavailable,
    "401": key_refused,
    "404": lambda exchange: exchange.answer(problem(404)),
    "429": busy(1),
    "other type": lambda exchange: exchange.answer(http(200, {})),
    "compressed": lambda exchange: exchange.answer(
        http(200, b"", "text/event-stream", Content_Encoding="br")
    ),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_polls_replace_an_unusable_stream_until_it_works_again(
    tracker: TrackerApi,
    job: TrackerJob,
    streams: Streams,
    proxy: FaultProxy,
    backend: RunningBackend,
    name: str,
) -> None:
    """States arrive while a proxy spoils streams, and by a stream later."""
    streams.fault = UNUSABLE[name]
    with (
        TrackerApi(backend.api_key, proxy.url, timeout_seconds=0.5) as reader,
        closing(reader.watch(job.provider_job_id)) as states,
    ):
        next(states)
        await_one(streams.ended)
        note(tracker, job)
        read_until(states, 1)
        streams.fault = None
        while streams.begun.acquire(blocking=False):
            pass
        await_one(streams.begun)
        note(tracker, job)
        read_until(states, 2)


def test_retry_after_delays_the_next_stream(
    tracker: TrackerApi, reader: TrackerApi, job: TrackerJob, streams: Streams
) -> None:
    """After 429 with Retry-After, no stream is tried before that time."""
    streams.fault = busy(300)
    with closing(reader.watch(job.provider_job_id)) as states:
        next(states)
        await_one(streams.begun)
        for number in range(1, 6):
            note(tracker, job)
            read_until(states, number)

    assert not streams.begun.acquire(blocking=False)


@pytest.mark.parametrize("retry", [0, 1])
def test_streams_that_end_at_once_are_not_opened_in_a_tight_loop(
    monkeypatch: pytest.MonkeyPatch, retry: int
) -> None:
    """A server that asks for no pause gets one stream in the minimum pause."""
    monkeypatch.setattr(watch_calls, "MIN_RETRY_SECONDS", 300.0)
    whole: dict[str, Any] = {**whole_answer("Job"), "status": "running"}
    versions = itertools.count(1)
    stream_count = itertools.count(1)

    def script(request: Request) -> bytes:
        if request.target.endswith("/stream"):
            next(stream_count)
            return http(200, f"retry: {retry}\n\n".encode(), "text/event-stream")
        job = {**whole, "version": next(versions)}
        is_list = "?" in request.target
        page = {**answer("JobPage"), "items": [job], "next_cursor": None}
        return http(200, page if is_list else job)

    with (
        answering(script) as server,
        closing(
            TrackerApi("key", server.url).watch(whole["provider_job_id"])
        ) as states,
    ):
        next(state for state in states if state.version >= 6)

    assert next(stream_count) == 2


def test_expired_key_ends_the_watch(
    tracker: TrackerApi, job: TrackerJob, proxy: FaultProxy, streams: Streams
) -> None:
    """A key that is expired during the loop raises AuthenticationError."""
    made = tracker.admin.create_api_key("reader", ["read"])
    states = TrackerApi(made.api_key, proxy.url).watch(job.provider_job_id)
    next(states)
    await_one(streams.begun)
    tracker.admin.expire_api_key(made.key.key_id)
    proxy.abort_connections()

    with pytest.raises(AuthenticationError):
        list(states)


def chunk(data: bytes) -> bytes:
    """Return a piece of a body in the chunked coding."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def test_states_that_are_old_or_wrong_are_left_out() -> None:
    """Repeated, older, foreign and invalid messages of a stream are not yielded."""
    whole: dict[str, Any] = {**whole_answer("Job"), "status": "running"}

    def message(event: str = "job", **members: Any) -> bytes:
        return f"event: {event}\ndata: {json.dumps(whole | members)}\n\n".encode()

    def stream() -> Iterable[bytes]:
        yield HEAD.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        for data in (
            message(version=7),
            message(version=5),
            message("note", version=90),
            b"event: other\ndata: no JSON\n\n",
            message(version=8),
            message(version=8, status="failed"),
            message(version=6, status="failed"),
            message(version=9),
            message(version=80, id=whole["id"] + 1),
        ):
            yield chunk(data)

    polls = iter(
        [{**whole, "version": 9}, {**whole, "version": 12, "status": "failed"}]
    )

    def script(request: Request) -> bytes | Iterable[bytes]:
        if request.target.endswith("/stream"):
            return stream()
        if "?" in request.target:
            page = {"items": [{**whole, "version": 7}], "next_cursor": None}
            return http(200, {**answer("JobPage"), **page})
        return http(200, next(polls))

    with answering(script) as server:
        tracker = TrackerApi("key", server.url)
        states = list(tracker.watch(whole["provider_job_id"]))

    versions = [state.version for state in states]
    assert versions[0] == 7
    assert versions[-1] == 12
    assert set(versions) <= {7, 8, 9, 12}
    assert versions == sorted(set(versions))
    assert [state.status for state in states[:-1]] == ["running"] * (len(states) - 1)


def test_closing_the_generator_closes_the_connection(
    reader: TrackerApi, job: TrackerJob, streams: Streams
) -> None:
    """`close()`, `break` and an exception in the loop end the stream."""
    states = reader.watch(job.provider_job_id)
    next(states)
    await_one(streams.begun)
    states.close()
    await_one(streams.ended)
    assert list(states) == []
    for _ in reader.watch(job.provider_job_id):
        await_one(streams.begun)
        break
    await_one(streams.ended)


def test_closing_the_tracker_leaves_a_watch_intact(
    tracker: TrackerApi, reader: TrackerApi, job: TrackerJob, streams: Streams
) -> None:
    """A watch goes on after `close()` of its tracker, as read calls do."""
    with closing(reader.watch(job.provider_job_id)) as states:
        next(states)
        await_one(streams.begun)
        reader.close()
        note(tracker, job)
        read_until(states, 1)


def test_async_states_follow_the_job(tracker: TrackerApi, job: TrackerJob) -> None:
    """`async for` yields the states to the end of the job; the loop keeps running."""

    async def main() -> list[str]:
        statuses: list[str] = []
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        watcher = AsyncTrackerApi(tracker.client.token, tracker.base_url)
        async for state in watcher.watch(job.provider_job_id):
            statuses.append(state.status)
            if len(statuses) == 1:
                before = ticks
                threading.Thread(target=job.complete).start()
        assert ticks > before
        ticking.cancel()
        await watcher.close()
        return statuses

    statuses = asyncio.run(asyncio.wait_for(main(), PATIENCE_SECONDS))

    assert statuses[0] == "pending"
    assert statuses[-1] == "succeeded"


async def stop_by_cancellation(states: AsyncGenerator[Job]) -> None:
    """Cancel a task that waits for the second state."""
    await anext(states)
    task = asyncio.ensure_future(anext(states))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def stop_by_aclosing(states: AsyncGenerator[Job]) -> None:
    """Leave the loop by `break` in `aclosing()`."""
    async with aclosing(states):
        async for _ in states:
            break


@pytest.mark.parametrize("stop", [stop_by_cancellation, stop_by_aclosing])
def test_end_of_an_async_loop_closes_the_connection(
    backend: RunningBackend,
    proxy: FaultProxy,
    job: TrackerJob,
    streams: Streams,
    stop: Any,
) -> None:
    """A cancelled task and `aclosing()` end the stream at once."""

    async def main() -> None:
        async with AsyncTrackerApi(backend.api_key, proxy.url) as watcher:
            states = watcher.watch(job.provider_job_id)
            opened = asyncio.to_thread(await_one, streams.begun)
            stopping = asyncio.ensure_future(stop(states))
            await asyncio.gather(opened, stopping)
            await asyncio.to_thread(await_one, streams.ended)

    asyncio.run(asyncio.wait_for(main(), PATIENCE_SECONDS))


INTERRUPTED: Final = """
import os, signal, sys
from trackerapi import TrackerApi
with TrackerApi(sys.argv[1], sys.argv[2]) as tracker:
    try:
        for _ in tracker.watch(sys.argv[3]):
            print("first", flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def test_ctrl_c_ends_a_waiting_loop(
    backend: RunningBackend, proxy: FaultProxy, job: TrackerJob, streams: Streams
) -> None:
    """SIGINT raises KeyboardInterrupt in a loop that waits for a state."""
    command = [sys.executable, "-W", "error", "-c", INTERRUPTED]
    with subprocess.Popen(
        [*command, backend.api_key, proxy.url, job.provider_job_id],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"first\n"
        await_one(streams.begun)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    await_one(streams.ended)

    assert (output, errors) == (b"interrupted\n", b"")
    assert process.returncode == 0


def test_fork_leaves_the_watch_of_the_parent_alone(
    tracker: TrackerApi, reader: TrackerApi, job: TrackerJob, streams: Streams
) -> None:
    """A forked child reads states of its own; its end leaves the parent's stream."""
    with closing(reader.watch(job.provider_job_id)) as states:
        next(states)
        await_one(streams.begun)
        child = os.fork()
        if not child:
            states.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        note(tracker, job)
        read_until(states, 1)
        assert not streams.ended.acquire(blocking=False)
