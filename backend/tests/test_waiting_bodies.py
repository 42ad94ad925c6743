"""Large bodies that wait for the thread of the backend: limits, turns, cancellation."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from trackerapi_backend.problems import Problem
from trackerapi_backend.requests.bodies import (
    MAX_ALL_LARGE_BODIES,
    MAX_BODY_BYTES,
    MAX_LARGE_BODIES,
    MAX_LARGE_BYTES,
    examine_body,
)
from trackerapi_backend.requests.contract import operations

from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    Service,
    first_line,
    new_job,
    prepare,
    send_lines,
    start_command,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
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
# The thread reads until a test writes there.
bodies._large_bodies._thread.submit(Path({gate!r}).read_bytes)
"""


def test_large_body_of_each_operation_is_examined_off_the_event_loop(
    tmp_path: Path,
) -> None:
    """While the thread is busy, large requests wait, and `/readyz` gets 200."""
    keys = prepare(tmp_path)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    large = json.dumps([0] * 10_000).encode()
    with ExitStack() as stack:
        process = stack.enter_context(
            start_command(
                *("serve", "--port", "0"),
                environment={"TRACKERAPI_BACKEND_DATABASE": f"{tmp_path}/backend.db"},
                prelude=OCCUPIED_THREAD.format(gate=str(gate)),
            )
        )
        service = Service(base_url=first_line(process).split()[-1], keys=keys)
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
