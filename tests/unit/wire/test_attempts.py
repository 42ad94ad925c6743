"""Repeated requests: failures that allow a repetition, time limits, connections."""

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from trackerapi_client.api.api_keys import verify_api_key
from trackerapi_client.api.customers import create_customer
from trackerapi_client.models import CustomerInput

from tests.support.scripted_server import (
    CUSTOMER,
    KEY,
    OWNER,
    Answer,
    Request,
    answering,
    http,
)
from trackerapi import TrackerApi
from trackerapi.errors import BackendUnavailable
from trackerapi.wire.attempts import TimeLimits
from trackerapi.wire.client import BackendClient

RETRY_NOW = {"Retry_After": "0"}


def answer_in_turn(*answers: bytes | Iterator[bytes]) -> Answer:
    """Return a function that answers with each of the answers once, in order."""
    left = iter(answers)
    return lambda _: next(left)


def cut_short(answer: bytes) -> Iterator[bytes]:
    """Yield an answer without its last bytes, then close the connection."""
    yield answer[:-5]
    raise ConnectionAbortedError


def unavailable(status: int = 503, **headers: str) -> bytes:
    """Return an answer with a problem document, its status and headers."""
    details = {"type": "urn:x", "title": "Test", "status": status, "detail": "Busy"}
    details["request_id"] = "0123456789abcdef"
    return http(status, details, "application/problem+json", **headers)


def tracker_for(url: str) -> TrackerApi:
    """Return a tracker with a timeout that no test reaches."""
    return TrackerApi(api_key=KEY, base_url=url, timeout_seconds=20)


def client_for(url: str, attempt: float, deadline: float) -> BackendClient:
    """Return a client with the limit of an attempt and the deadline, in seconds."""
    return BackendClient(
        base_url=url,
        token=KEY,
        verify_ssl=False,
        time_limits=TimeLimits(attempt_seconds=attempt, deadline_seconds=deadline),
    )


def make_customer(tracker: TrackerApi) -> object:
    """Create a customer by `tracker.admin`."""
    return tracker.admin.create_customer()


def make_customer_raw(tracker: TrackerApi) -> object:
    """Create a customer by the generated call."""
    return create_customer.sync(client=tracker.client, body=CustomerInput())


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_read_call_is_repeated_after(status: int) -> None:
    """A read call answered once with this status is sent again and succeeds."""
    script = answer_in_turn(unavailable(status), http(200, OWNER))

    with answering(script) as server, tracker_for(server.url) as tracker:
        assert tracker.verify_api_key().key_id == "3kTMd9aZ"

    assert len(server.requests) == 2


def test_read_call_is_repeated_after_a_broken_connection() -> None:
    """A read call changes nothing, so a lost answer is requested again."""
    script = answer_in_turn(b"", cut_short(http(200, OWNER)), http(200, OWNER))

    with answering(script) as server:
        client = client_for(server.url, attempt=20.0, deadline=60.0)
        owner = verify_api_key.sync(client=client)
        client.close()

    assert getattr(owner, "key_id", None) == "3kTMd9aZ"
    assert len(server.requests) == 3


@pytest.mark.parametrize("make", [make_customer, make_customer_raw])
@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_change_is_not_repeated_when_it_may_have_been_made(
    make: Callable[[TrackerApi], object], status: int
) -> None:
    """A POST without a usable answer may have been applied: it is not repeated."""
    answer = unavailable(status, **RETRY_NOW)

    with answering(answer) as server, tracker_for(server.url) as tracker:
        with pytest.raises(BackendUnavailable):
            make(tracker)

    assert len(server.requests) == 1


@pytest.mark.parametrize("make", [make_customer, make_customer_raw])
@pytest.mark.parametrize("status", [425, 429])
def test_change_is_repeated_when_it_was_not_made(
    make: Callable[[TrackerApi], object], status: int
) -> None:
    """A POST answered with 425 or 429 is repeated with the same body."""
    script = answer_in_turn(unavailable(status, **RETRY_NOW), http(201, CUSTOMER))

    with answering(script) as server, tracker_for(server.url) as tracker:
        made = make(tracker)

    assert getattr(made, "id", None) == 7
    assert server.requests[0] == server.requests[1]


def test_creation_of_a_job_is_sent_once() -> None:
    """`create_job()` makes one attempt, so that it does not block the script."""
    answer = unavailable(429, Retry_After="60")

    with answering(answer) as server, tracker_for(server.url) as tracker:
        tracker.create_job("job-1", customer_id=142, tag="import")

    assert [request.target for request in server.requests].count("/jobs") == 1


def test_retry_after_beyond_the_deadline_ends_the_attempts() -> None:
    """A `Retry-After` beyond the deadline raises after one request."""
    answer = unavailable(503, Retry_After="61")

    with answering(answer) as server, tracker_for(server.url) as tracker:
        with pytest.raises(BackendUnavailable) as caught:
            tracker.verify_api_key()

    assert len(server.requests) == 1
    assert caught.value.retry_after_seconds == 61


def test_attempts_end_at_the_deadline() -> None:
    """While the backend is unavailable, attempts are repeated until the deadline."""
    with answering(unavailable()) as server:
        # 5 s: a busy machine may need seconds to begin a second attempt.
        client = client_for(server.url, attempt=20.0, deadline=5.0)
        with pytest.raises(BackendUnavailable):
            verify_api_key.sync(client=client)
        client.close()

    assert 1 < len(server.requests) < 50


def test_asynchronous_read_call_is_repeated() -> None:
    """The asynchronous client repeats a read call, as the blocking client does."""
    script = answer_in_turn(unavailable(), http(200, OWNER))

    async def ask(tracker: TrackerApi) -> object:
        async with tracker.client.get_async_httpx_client():
            return await verify_api_key.asyncio(client=tracker.client)

    with answering(script) as server, tracker_for(server.url) as tracker:
        owner = asyncio.run(ask(tracker))

    assert getattr(owner, "key_id", None) == "3kTMd9aZ"
    assert len(server.requests) == 2


@pytest.mark.parametrize("begin", [0, http(200, OWNER).index(b"\r\n\r\n") + 4])
def test_answer_that_drips_ends_with_the_attempt(begin: int) -> None:
    """An attempt ends at its limit although headers or body arrive byte by byte."""
    answer = http(200, OWNER)
    over = threading.Event()

    def drip(_: Request) -> Iterator[bytes]:
        yield answer[: begin or 1]
        for place in range(begin or 1, len(answer)):
            if over.wait(1.0):
                return
            yield answer[place : place + 1]

    with answering(drip) as server:
        client = client_for(server.url, attempt=0.5, deadline=0.0)
        client.get_httpx_client()  # Creates the pool before the measurement.
        began = time.monotonic()
        try:
            with pytest.raises(BackendUnavailable, match="no answer in time"):
                verify_api_key.sync(client=client)
            took_seconds = time.monotonic() - began
        finally:
            over.set()
            client.close()

    assert took_seconds < 60.0


def test_asynchronous_answer_that_drips_ends_with_the_attempt() -> None:
    """An asynchronous attempt ends at its limit although bytes arrive one by one."""
    answer = http(200, OWNER)
    over = threading.Event()

    def drip(_: Request) -> Iterator[bytes]:
        for place in range(len(answer)):
            yield answer[place : place + 1]
            if over.wait(1.0):
                return

    async def ask(client: BackendClient) -> None:
        try:
            await verify_api_key.asyncio(client=client)
        finally:
            await client.aclose()

    with answering(drip) as server:
        client = client_for(server.url, attempt=0.5, deadline=0.0)
        began = time.monotonic()
        try:
            with pytest.raises(BackendUnavailable, match="no answer in time"):
                asyncio.run(ask(client))
            took_seconds = time.monotonic() - began
        finally:
            over.set()

    assert took_seconds < 60.0


def test_client_serves_one_event_loop_after_another() -> None:
    """A client works in each of several calls of `asyncio.run()`."""

    async def ask(client: BackendClient) -> None:
        await verify_api_key.asyncio(client=client)
        await client.aclose()

    with answering(http(200, OWNER)) as server:
        client = client_for(server.url, attempt=5.0, deadline=0.0)
        asyncio.run(ask(client))
        asyncio.run(ask(client))

    assert len(server.requests) == 2


def test_every_attempt_has_finite_timeouts() -> None:
    """Connect, read, write and pool timeouts of each attempt are at most 20 seconds."""
    script = answer_in_turn(unavailable(), unavailable(), http(200, OWNER))
    timeouts: list[dict[str, Any]] = []

    def note(request: httpx.Request) -> None:
        timeouts.append(dict(request.extensions["timeout"]))

    with answering(script) as server, tracker_for(server.url) as tracker:
        tracker.client.get_httpx_client().event_hooks = {"request": [note]}
        verify_api_key.sync(client=tracker.client)

    assert len(timeouts) == 3
    for timeout in timeouts:
        assert timeout.keys() == {"connect", "read", "write", "pool"}
        assert all(0 < seconds <= 20 for seconds in timeout.values())


def test_one_connection_serves_many_calls() -> None:
    """Ten read calls share one connection; a call after `close()` opens another."""
    with answering(http(200, OWNER)) as server, tracker_for(server.url) as tracker:
        for _ in range(10):
            tracker.verify_api_key()
        assert server.connection_count == 1

        tracker.close()
        tracker.verify_api_key()
        assert server.connection_count == 2


def test_connection_that_the_backend_closed_is_replaced() -> None:
    """A connection that the backend closed between two requests is replaced."""
    script = answer_in_turn(http(200, OWNER), b"", http(200, OWNER))

    with answering(script) as server, tracker_for(server.url) as tracker:
        tracker.verify_api_key()
        tracker.verify_api_key()

    assert server.connection_count == 2


def test_closed_tracker_can_be_used_again() -> None:
    """A request after `close()` succeeds, and a second `close()` raises nothing."""
    with answering(http(200, OWNER)) as server:
        tracker = tracker_for(server.url)
        tracker.close()
        tracker.verify_api_key()
        tracker.close()
        tracker.close()

    assert len(server.requests) == 1


def test_request_during_a_close_of_its_client_is_answered() -> None:
    """A request receives its answer although another thread closes the client."""
    is_asked, may_answer = threading.Event(), threading.Event()

    def answer(_: Request) -> bytes:
        is_asked.set()
        assert may_answer.wait(60)
        return http(200, OWNER)

    with answering(answer) as server, ThreadPoolExecutor(1) as pool:
        client = client_for(server.url, attempt=60.0, deadline=60.0)
        asking = pool.submit(verify_api_key.sync, client=client)
        assert is_asked.wait(60)
        client.close()
        may_answer.set()

        assert asking.result(60) is not None
    assert server.connection_count == 1
    gc.collect()  # A socket left open would raise a ResourceWarning.


def test_pool_of_a_closed_client_still_sends() -> None:
    """A pool that a thread obtained before `close()` still sends requests."""
    with answering(http(200, OWNER)) as server:
        client = client_for(server.url, attempt=20.0, deadline=0.0)
        connections = client.get_httpx_client()
        client.close()
        for _ in range(2):
            assert connections.get("/api-keys/protected").status_code == 200

    # Each request after the close opened a connection of its own.
    assert server.connection_count == 2
    gc.collect()
