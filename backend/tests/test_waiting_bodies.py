"""Large bodies that are read or wait for the thread: limits, turns, cancellation."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from trackerapi_backend.problems import Problem
from trackerapi_backend.requests import bodies, large_bodies
from trackerapi_backend.requests.bodies import examine_body, examined_body
from trackerapi_backend.requests.contract import operations
from trackerapi_backend.requests.large_bodies import (
    MAX_ALL_LARGE_BODIES,
    MAX_BODY_BYTES,
    MAX_LARGE_BODIES,
    MAX_LARGE_BYTES,
    MAX_READ_BYTES,
    LargeBodies,
)
from trackerapi_backend.store import fair_queue

from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    Service,
    first_line,
    new_job,
    prepare,
    problem_name,
    send_lines,
    start_command,
    variables_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator
    from pathlib import Path

SMALL = bytes(MAX_LARGE_BYTES // MAX_ALL_LARGE_BODIES)
"""Large body of which the maximum number fits the limit of bytes."""
JSON_OPERATIONS = [each for each in operations() if each.body is not None]


@asynccontextmanager
async def occupied_thread() -> AsyncIterator[asyncio.Task[int]]:
    """Keep the thread busy during the block; yield the task of the examined body."""
    has_begun, may_end = threading.Event(), threading.Event()

    def examine(body: bytes) -> int:
        has_begun.set()
        assert may_end.wait(MAX_WAIT_SECONDS)
        return len(body)

    examined = asyncio.create_task(examine_body(SMALL, examine, 1))
    await asyncio.to_thread(has_begun.wait, MAX_WAIT_SECONDS)
    try:
        yield examined
    finally:
        may_end.set()
        await asyncio.wait([examined])


async def queue_bodies(
    count: int,
    provider_id: int,
    examine: Callable[[bytes], int] = len,
    body: bytes = SMALL,
) -> list[asyncio.Task[int]]:
    """Let large bodies wait; return their tasks."""
    tasks = [
        asyncio.create_task(examine_body(body, examine, provider_id))
        for _ in range(count)
    ]
    await asyncio.sleep(0)  # The tasks begin.
    return tasks


async def assert_refused(provider_id: int, body: bytes = SMALL) -> None:
    """Check that a large body gets status 503 with Retry-After."""
    with pytest.raises(Problem) as refused:
        await examine_body(body, len, provider_id)
    assert refused.value.status == 503
    assert int(refused.value.headers["Retry-After"]) >= 1


def test_queue_of_large_bodies_is_bounded() -> None:
    """A large body gets 503 while the maximum number waits; a small one is examined."""

    async def scenario() -> list[int]:
        async with occupied_thread():
            waiting = await queue_bodies(MAX_LARGE_BODIES, 1)
            await assert_refused(1)
            assert await examine_body(b"{}", len, 1) == len(b"{}")
        return await asyncio.gather(*waiting, examine_body(SMALL, len, 1))

    assert asyncio.run(scenario()) == [len(SMALL)] * (MAX_LARGE_BODIES + 1)


def test_queue_of_large_bodies_is_bounded_in_bytes() -> None:
    """The largest bodies of a provider get 503 once half of the bytes wait."""

    async def scenario() -> None:
        largest = bytes(MAX_BODY_BYTES)
        async with occupied_thread():
            count = MAX_LARGE_BYTES // MAX_BODY_BYTES // 2
            waiting = await queue_bodies(count, 1, body=largest)
            await assert_refused(1, largest)
            waiting += await queue_bodies(1, 2, body=largest)
        assert await asyncio.gather(*waiting) == [MAX_BODY_BYTES] * (count + 1)

    asyncio.run(scenario())


@pytest.mark.parametrize(("other", "together"), [(1, 3), (2, 1)])
def test_one_large_body_is_in_play_while_providers_share(
    monkeypatch: pytest.MonkeyPatch, other: int, together: int
) -> None:
    """A lone provider has several bodies in play; several providers have one in all."""
    monkeypatch.setattr(fair_queue, "SHARED_SECONDS", 2 * MAX_WAIT_SECONDS)
    monkeypatch.setattr(bodies, "_large_bodies", LargeBodies())
    in_play: list[int] = []

    async def use(number: int, is_full: asyncio.Event) -> int:
        async with examined_body(SMALL, len, 1):
            in_play.append(number)
            most = len(in_play)
            if most == together:
                is_full.set()
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                await is_full.wait()
            await asyncio.to_thread(int)  # A turn for the thread of large bodies.
            in_play.remove(number)
        return most

    async def scenario() -> list[int]:
        for provider_id in (1, other):
            await examine_body(b"{}", len, provider_id)
        is_full = asyncio.Event()
        return await asyncio.gather(*(use(number, is_full) for number in range(3)))

    assert max(asyncio.run(scenario())) == together


def test_large_bodies_of_providers_take_turns() -> None:
    """A body of a second provider is examined before the queue of the first one."""

    async def scenario() -> list[int]:
        order: list[int] = []

        def examine(provider_id: int) -> int:
            order.append(provider_id)
            return provider_id

        async with occupied_thread():
            waiting = await queue_bodies(MAX_LARGE_BODIES, 1, lambda _: examine(1))
            await assert_refused(1)
            waiting += await queue_bodies(1, 2, lambda _: examine(2))
        await asyncio.gather(*waiting)
        return order

    order = asyncio.run(scenario())
    assert order.index(2) <= 1
    assert len(order) == MAX_LARGE_BODIES + 1


def test_large_bodies_wait_until_results_are_used() -> None:
    """No other body is examined until a request has used the result of the largest."""

    async def scenario() -> list[int]:
        async with examined_body(bytes(MAX_BODY_BYTES), len, 1) as size:
            assert size == MAX_BODY_BYTES
            waiting = [*await queue_bodies(2, 1), *await queue_bodies(2, 2)]
            # The thread has looked at the queue for each of them.
            await asyncio.wrap_future(bodies._large_bodies._thread.submit(int))
            await asyncio.sleep(0)
            assert not any(task.done() for task in waiting)
        return await asyncio.gather(*waiting)

    assert asyncio.run(scenario()) == [len(SMALL)] * 4


def test_large_body_waits_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies get 503 if the result of another body is not used for too long."""

    async def scenario() -> None:
        async with examined_body(bytes(MAX_BODY_BYTES), len, 1):
            monkeypatch.setattr(large_bodies, "EXAMINE_SECONDS", 0.01)
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                await assert_refused(1)
                await assert_refused(2)
            monkeypatch.undo()
            waiting = await queue_bodies(MAX_LARGE_BODIES, 2)
        assert await asyncio.gather(*waiting) == [len(SMALL)] * MAX_LARGE_BODIES

    asyncio.run(scenario())


def test_cancelled_requests_free_their_places() -> None:
    """After examined and waiting requests are cancelled, the full number may wait."""

    async def scenario() -> list[int]:
        async with occupied_thread() as examined:
            for _ in range(3):
                waiting = await queue_bodies(MAX_LARGE_BODIES, 1)
                await assert_refused(1)
                await cancel([examined, *waiting])
            waiting = await queue_bodies(MAX_LARGE_BODIES, 1)
            await assert_refused(1)
        return await asyncio.gather(*waiting)

    assert asyncio.run(scenario()) == [len(SMALL)] * MAX_LARGE_BODIES


def test_requests_of_a_closed_event_loop_free_their_places() -> None:
    """After an event loop has closed, the full number may wait on another loop."""
    may_end = threading.Event()

    async def leave_behind() -> None:
        await queue_bodies(MAX_LARGE_BODIES, 1, lambda _: int(may_end.wait()))

    async def scenario() -> list[int]:
        async with occupied_thread():
            waiting = await queue_bodies(MAX_LARGE_BODIES, 1)
        return await asyncio.gather(*waiting)

    asyncio.run(leave_behind())
    may_end.set()
    assert asyncio.run(scenario()) == [len(SMALL)] * MAX_LARGE_BODIES


async def cancel(tasks: Iterable[asyncio.Task[int]]) -> None:
    """Cancel tasks and wait for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)


OCCUPIED_THREAD = """
from pathlib import Path
from trackerapi_backend.requests import bodies
# The thread blocks in this read until a test writes to the pipe.
bodies._large_bodies._thread.submit(Path({gate!r}).read_bytes)
"""


def test_large_body_of_each_operation_is_examined_off_the_event_loop(
    tmp_path: Path,
) -> None:
    """While the thread is busy, large requests wait, and `/readyz` gets 200."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    large = json.dumps([0] * 20_000).encode()
    with ExitStack() as stack:
        prelude = OCCUPIED_THREAD.format(gate=str(gate))
        service = stack.enter_context(serve_with(tmp_path, prelude))
        caller = stack.enter_context(service.client())
        job_id = new_job(caller)["id"]

        def send(number: int) -> int:
            operation = [*JSON_OPERATIONS, None][number % (len(JSON_OPERATIONS) + 1)]
            with service.client() as sender:
                if operation is None:
                    return send_lines(sender, [large]).status_code
                address = operation.path.format(job_id=job_id)
                return sender.request(
                    operation.method,
                    address,
                    content=large,
                    headers={"Content-Type": "application/json"},
                ).status_code

        senders = stack.enter_context(ThreadPoolExecutor(MAX_LARGE_BODIES + 1))
        sent = [senders.submit(send, n) for n in range(MAX_LARGE_BODIES + 1)]
        # One request exceeds `MAX_LARGE_BODIES` and gets 503 while all others wait.
        done, waiting = wait(sent, MAX_WAIT_SECONDS, FIRST_COMPLETED)
        meanwhile = caller.get("/readyz").status_code
        # With O_NONBLOCK, the call fails unless the thread is reading.
        writer = os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
        os.write(writer, b".")
        os.close(writer)
        statuses = {answer.result(MAX_WAIT_SECONDS) for answer in waiting}

    assert [answer.result() for answer in done] == [503]
    assert meanwhile == 200
    assert max(statuses) < 500


MAX_READ_BODIES = MAX_READ_BYTES // MAX_BODY_BYTES // 2
"""Number of the largest bodies of one provider that are read at a time."""
SHORT_READ = """
from trackerapi_backend.network import time_limits
time_limits.BODY_PAUSE_SECONDS = 0.2
"""


@contextmanager
def serve_with(tmp_path: Path, prelude: str | None = None) -> Iterator[Service]:
    """Serve a new database in a process that first runs `prelude`."""
    keys = prepare(tmp_path)
    with start_command(
        *("serve", "--port", "0"), environment=variables_of(tmp_path), prelude=prelude
    ) as process:
        yield Service(base_url=first_line(process).split()[-1], keys=keys)


def begin_upload(service: Service) -> socket.socket:
    """Send the headers of a batch; return the connection once the body is awaited."""
    url = httpx.URL(service.base_url)
    connection = socket.create_connection((url.host, url.port), MAX_WAIT_SECONDS)
    connection.sendall(
        f"POST /events/batch HTTP/1.1\r\nHost: {url.host}\r\n"
        f"X-API-Key: {service.keys['all']}\r\nContent-Type: application/x-ndjson\r\n"
        f"Content-Length: {MAX_BODY_BYTES}\r\nExpect: 100-continue\r\n\r\n".encode()
    )
    assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
    return connection


def test_large_bodies_that_do_not_arrive_block_their_provider_alone(
    tmp_path: Path,
) -> None:
    """Unfinished large bodies of a provider make its next large body wait: 503."""
    line = {"provider_job_id": "unknown", "kind": "info"}
    with ExitStack() as stack:
        service = stack.enter_context(serve_with(tmp_path))
        api = stack.enter_context(service.client())
        other_api = stack.enter_context(service.client("other"))
        with ExitStack() as uploads:
            for _ in range(MAX_READ_BODIES):
                uploads.enter_context(begin_upload(service))
            refused = send_lines(api, [line] * 1000)
            assert send_lines(other_api, [line] * 1000).status_code == 200
            assert send_lines(api, [line]).status_code == 200
        assert (refused.status_code, problem_name(refused)) == (503, "unavailable")
        assert int(refused.headers["Retry-After"]) >= 1
        until = time.monotonic() + MAX_WAIT_SECONDS
        while send_lines(api, [line] * 1000).status_code != 200:
            assert time.monotonic() < until


def test_large_body_that_comes_too_slowly_frees_its_place(tmp_path: Path) -> None:
    """After the time limit an unfinished large body gets 408; another one gets 200."""
    line = {"provider_job_id": "unknown", "kind": "info"}
    with ExitStack() as stack:
        service = stack.enter_context(serve_with(tmp_path, SHORT_READ))
        api = stack.enter_context(service.client())
        uploads = [
            stack.enter_context(begin_upload(service)) for _ in range(MAX_READ_BODIES)
        ]
        assert [upload.recv(12) for upload in uploads] == [
            b"HTTP/1.1 408"
        ] * MAX_READ_BODIES
        assert send_lines(api, [line] * 1000).status_code == 200
