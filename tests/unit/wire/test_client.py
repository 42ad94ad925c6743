"""`BackendClient`: derived clients, file bodies, cookies, signals and threads."""

import asyncio
import gc
import os
import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from itertools import chain, repeat
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest
from trackerapi_client.api.api_keys import verify_api_key
from trackerapi_client.api.events import import_events
from trackerapi_client.types import File

from tests.support.scripted_server import (
    KEY,
    OWNER,
    Request,
    ScriptedServer,
    answering,
    http,
    problem,
)
from trackerapi import AsyncTrackerApi, BackendUnavailable, TrackerApi
from trackerapi.wire.attempts import TimeLimits
from trackerapi.wire.client import BackendClient
from trackerapi.wire.guarded_http import GuardedHttp

Ask = Callable[[BackendClient], Any]


def ask(client: BackendClient) -> object:
    """Request the owner of the key."""
    return verify_api_key.sync(client=client)


def ask_in_a_loop(client: BackendClient) -> object:
    """Request the owner of the key in an event loop."""

    async def asking() -> object:
        async with client:
            return await verify_api_key.asyncio(client=client)

    return asyncio.run(asking())


def client_for(url: str, seconds: float = 20.0, deadline: float = 0.0) -> BackendClient:
    """Return a client with the limit of an attempt and the deadline, in seconds."""
    return BackendClient(
        base_url=url,
        token=KEY,
        prefix="",
        auth_header_name="X-API-Key",
        headers={"User-Agent": "tests"},
        verify_ssl=False,
        time_limits=TimeLimits(attempt_seconds=seconds, deadline_seconds=deadline),
    )


PATIENCE_SECONDS = 90.0
BOTH = pytest.mark.parametrize("call", [ask, ask_in_a_loop])


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """Run a server that answers with the owner of the key."""
    with answering(http(200, OWNER)) as running:
        yield running


@BOTH
def test_derived_client_adds_headers_without_changing_its_original(
    server: ScriptedServer, call: Ask
) -> None:
    """A derived client sends its own headers and cookies, and the original's key."""
    original = client_for(server.url)
    call(original)
    derived = original.with_headers({"X-Trace": "1", "user-agent": "mine"})
    derived = derived.with_cookies({"a": "1"}).with_cookies({"b": "2"})
    call(derived)
    call(original)
    original.close()

    before, between, after = (request.headers for request in server.requests)
    assert (between["x-trace"], between["user-agent"]) == ("1", "mine")
    assert between["cookie"] == "a=1; b=2"
    assert between["x-api-key"] == KEY
    assert before == after
    assert "cookie" not in before
    assert before["user-agent"] == "tests"


def test_header_of_the_key_cannot_be_replaced(server: ScriptedServer) -> None:
    """The caller cannot replace the header of the key by `with_headers()`."""
    client = client_for(server.url).with_headers({"x-api-KEY": "another"})
    ask(client)
    client.close()

    assert server.requests[0].headers["x-api-key"] == KEY


@BOTH
@pytest.mark.parametrize(
    "timeout", [0.2, httpx.Timeout(0.2), httpx.Timeout(None, read=0.2)]
)
def test_derived_client_has_its_own_timeout(call: Ask, timeout: Any) -> None:
    """A derived client has its own timeout; the original keeps timeout and guard."""
    with answering(lambda _: iter([])) as silent:
        original = client_for(silent.url, seconds=60.0)
        derived = original.with_timeout(timeout)
        with pytest.raises(BackendUnavailable, match="no answer in time"):
            call(derived)
        assert original.time_limits == TimeLimits(
            attempt_seconds=60.0, deadline_seconds=0.0
        )
        original.close()


def test_derived_client_repeats_and_refuses_as_the_original() -> None:
    """A derived client repeats requests and checks answers as the original does."""
    other = repeat(http(200, {"items": 5}))
    script = chain([problem(503), http(200, OWNER)], other)

    with answering(lambda _: next(script)) as server:
        original = client_for(server.url, seconds=20.0, deadline=60.0)
        derived = original.with_timeout(30.0)
        assert derived.time_limits.deadline_seconds == 90.0
        assert ask(derived)
        with pytest.raises(BackendUnavailable, match="is not an answer"):
            ask(derived.with_timeout(1.0).with_headers({"A": "b"}))
        original.close()


@pytest.mark.parametrize(
    "timeout", [0, -1, float("nan"), float("inf"), httpx.Timeout(0)]
)
def test_invalid_timeout_is_rejected(timeout: Any) -> None:
    """An invalid timeout raises at the call that sets it."""
    with pytest.raises(ValueError, match="timeout must be above 0"):
        client_for("http://backend.test").with_timeout(timeout)


def test_derived_clients_leave_no_socket_open(server: ScriptedServer) -> None:
    """A derived client that is dropped closes its connection."""
    tracker = TrackerApi(KEY, server.url)
    for number in range(5):
        ask(tracker.client.with_headers({"X-Number": str(number)}))
    kept = tracker.client.with_timeout(5.0)
    ask(kept)
    tracker.close()
    gc.collect()  # A socket left open would raise a ResourceWarning.

    ask(kept)  # A derived client works after its tracker was closed.
    kept.close()


def test_derived_client_uses_the_new_key_of_its_original(
    server: ScriptedServer,
) -> None:
    """`change_key()` of the original changes the key of its derived clients, too."""
    original = client_for(server.url)
    derived = original.with_timeout(5.0)
    original.change_key("trk_another_key")
    ask(derived)
    original.close()

    assert server.requests[0].headers["x-api-key"] == "trk_another_key"


def test_signal_handler_may_send_while_the_pool_is_created(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler may send a request while its thread creates the pool."""
    client = client_for(server.url)
    make, answers = GuardedHttp.__init__, list[object]()

    def interrupted(self: GuardedHttp, *arguments: Any, **members: Any) -> None:
        monkeypatch.undo()
        make(self, *arguments, **members)
        answers.append(ask(client))

    monkeypatch.setattr(GuardedHttp, "__init__", interrupted)
    asking = threading.Thread(target=lambda: answers.append(ask(client)), daemon=True)
    asking.start()
    asking.join(60)

    assert len(answers) == 2


@pytest.mark.parametrize("is_async", [False, True])
def test_file_body_is_sent_again_completely(is_async: bool) -> None:
    """A file as body is sent again from its begin after a 429."""
    batch = b'{"kind": "info"}\n' * 5_000
    report = {"accepted": 5_000, "duplicates": 0, "rejected": []}
    script = iter([problem(429), http(200, report)])

    with answering(lambda _: next(script)) as server:
        client = client_for(server.url, seconds=20.0, deadline=60.0)
        body = File(payload=BytesIO(batch))

        async def send() -> Any:
            async with client:
                return await import_events.asyncio(client=client, body=body)

        if is_async:
            made = asyncio.run(send())
        else:
            made = import_events.sync(client=client, body=body)
        client.close()

    assert getattr(made, "accepted", None) == 5_000
    assert [request.body for request in server.requests] == [batch, batch]
    types = {request.headers["content-type"] for request in server.requests}
    assert types == {"application/x-ndjson"}


@BOTH
def test_cookies_of_a_server_are_not_sent_back(call: Ask) -> None:
    """Cookies of a server are not sent: a portal could make requests grow too large."""
    cookies = [f"Set-Cookie: c{n}={'x' * 3_500}; Path=/" for n in range(20)]
    head, _, body = http(200, OWNER).partition(b"\r\n\r\n")
    portal = b"\r\n".join([head, *(c.encode() for c in cookies)]) + b"\r\n\r\n" + body

    with answering(portal) as server:
        client = client_for(server.url)
        for _ in range(3):
            call(client)
            call(client.with_cookies({"mine": "1"}))
        client.close()

    sent = {request.headers.get("cookie") for request in server.requests}
    assert sent == {None, "mine=1"}


def test_async_tracker_closes_the_connections_of_its_client(tmp_path: Path) -> None:
    """`AsyncTrackerApi` closes its client: an open connection would raise a warning."""

    async def script(url: str) -> None:
        async with AsyncTrackerApi(KEY, url, outbox=tmp_path) as tracker:
            derived = tracker.client.with_timeout(5)
            for client in (tracker.client, derived):
                await verify_api_key.asyncio(client=client)

    with answering(http(200, OWNER)) as server:
        asyncio.run(script(server.url))
        gc.collect()
    assert server.connection_count == 2


@pytest.mark.parametrize("is_async", [False, True])
def test_client_works_again_after_a_clock_was_replaced(
    server: ScriptedServer, is_async: bool
) -> None:
    """A client whose requests failed under a mocked clock works after the mock."""
    client = client_for(server.url)

    async def ask_under_the_mock() -> object:
        async with client:
            with mock.patch("time.monotonic"), suppress(TypeError):
                await verify_api_key.asyncio(client=client)
                await verify_api_key.asyncio(client=client)
            with suppress(TypeError):
                await verify_api_key.asyncio(client=client)
            return await verify_api_key.asyncio(client=client)

    if is_async:
        assert asyncio.run(ask_under_the_mock()) is not None
        return
    with mock.patch("time.monotonic"), suppress(TypeError):
        ask(client)
        ask(client)
    with suppress(TypeError):
        ask(client)
    assert ask(client) is not None


def test_error_of_one_thread_does_not_interrupt_another_request() -> None:
    """An error in one thread does not interrupt the request of another thread."""
    asked, opened = threading.Event(), threading.Event()

    def reply(_request: Request) -> bytes:
        asked.set()
        opened.wait(PATIENCE_SECONDS)
        return http(200, OWNER)

    with answering(reply) as server, ThreadPoolExecutor() as pool:
        client = client_for(server.url, PATIENCE_SECONDS)
        answer = pool.submit(ask, client)
        assert asked.wait(PATIENCE_SECONDS)
        with mock.patch("httpcore.ConnectionPool.handle_request") as handle:
            handle.side_effect = RuntimeError
            with pytest.raises(RuntimeError):
                ask(client)
        opened.set()

        assert answer.result(PATIENCE_SECONDS) is not None
        assert server.connection_count == 1


def test_connection_of_an_interrupted_request_is_open_until_its_thread_ends() -> None:
    """The socket of an interrupted request stays open until its thread ends.

    An earlier close would free the descriptor number. The job could open a file with
    this number, and the thread would read from the file.
    """
    opened = threading.Event()
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def reply(_request: Request) -> bytes:
        signal.pthread_kill(main_thread, signal.SIGINT)
        opened.wait(PATIENCE_SECONDS)
        return http(200, OWNER)

    with answering(reply) as server:
        with client_for(server.url, PATIENCE_SECONDS) as client:
            with pytest.raises(KeyboardInterrupt):
                ask(client)
        assert open_sockets_to(server.port) == 1
        opened.set()
        for thread in threading.enumerate():
            if thread.name == "trackerapi-request":
                thread.join(PATIENCE_SECONDS)
                assert not thread.is_alive()
        assert open_sockets_to(server.port) == 0


def open_sockets_to(port: int) -> int:
    """Return how many descriptors of this process are connected to a port."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # The listing has closed its own descriptor.
            if stat.S_ISSOCK(os.fstat(int(entry.name)).st_mode):
                with socket.socket(fileno=os.dup(int(entry.name))) as found:
                    is_network = found.family == socket.AF_INET
                    count += is_network and found.getpeername()[1] == port
    return count
