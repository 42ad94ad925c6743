"""Connections: time limits of slow clients, and the maximum number of connections."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from trackerapi_backend.network import acceptor
from trackerapi_backend.network.acceptor import Acceptor
from trackerapi_backend.network.connections import connection_limit
from trackerapi_backend.settings import SettingsError

from backend.tests.support.raw_http import connect, read_answer
from backend.tests.support.servers import wait_until
from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    Service,
    first_line,
    new_job,
    prepare,
    report,
    start_command,
    variables_of,
)
from backend.tests.support.streams import open_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CONNECTIONS = 100
SHORT_LIMITS = """
from trackerapi_backend.network import connections, time_limits

connections.SWEEP_SECONDS = 0.0
time_limits.HEAD_SECONDS = time_limits.BODY_SECONDS = 3.0
time_limits.BODY_PAUSE_SECONDS = time_limits.STALL_SECONDS = 2.0
time_limits.IDLE_SECONDS = 2.0
"""
FREQUENT_SWEEPS = """
from trackerapi_backend.network import connections, time_limits

connections.SWEEP_SECONDS = 0.0
time_limits.EVICTED_STALL_SECONDS = 0.5
time_limits.IDLE_SECONDS = 1_000_000
"""
LIVE = b"GET /livez HTTP/1.1\r\nHost: backend\r\n\r\n"
LARGE = b"GET /openapi.json HTTP/1.1\r\nHost: backend\r\n\r\n"


@contextmanager
def serve(folder: Path, prelude: str, *arguments: str) -> Iterator[Service]:
    """Serve a new database in a process that first runs `prelude`."""
    keys = prepare(folder)
    with start_command(
        *("serve", "--port", "0", *arguments),
        environment=variables_of(folder),
        prelude=prelude,
        log=folder / "log",
    ) as process:
        base_url = first_line(process).split()[-1]
        yield Service(base_url=base_url, keys=keys, pid=process.pid)


HALF_HEAD = b"GET /livez HTTP/1.1\r\nHost: " + b"a" * 100
POST = (
    b"POST /customers HTTP/1.1\r\nHost: backend\r\nContent-Type: application/json\r\n"
    b"X-API-Key: KEY\r\nContent-Length: 1000\r\n\r\n"
)
IN_CHUNKS = POST.replace(b"Content-Length: 1000", b"Transfer-Encoding: chunked")
CHUNKS = b"1\r\n \r\n" * 20
UNAUTHORIZED = POST.replace(b"KEY", b"none")
SLOW_CLIENTS = {
    # Bytes sent at once, bytes sent one by one after them, statuses of all responses.
    "nothing": (b"", b"", []),
    "empty lines": (b"", b"\r\n" * 50, []),
    "head": (HALF_HEAD, b"", [408]),
    "slow head": (b"", HALF_HEAD, [408]),
    "idle": (LIVE, b"", [200]),
    "idle with empty lines": (LIVE, b"\r\n" * 50, [200]),
    "second head": (LIVE + HALF_HEAD, b"", [200, 408]),
    "slow second head": (LIVE, HALF_HEAD, [200, 408]),
    "body": (POST, b"", [408]),
    "slow body": (POST, b" " * 100, [408]),
    "chunks": (IN_CHUNKS + CHUNKS, b"", [408]),
    "slow chunks": (IN_CHUNKS, CHUNKS, [408]),
    "body that is not read": (UNAUTHORIZED, b"", [401]),
    "slow body that is not read": (UNAUTHORIZED, b" " * 100, [401]),
}


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A backend with short time limits."""
    with serve(tmp_path_factory.mktemp("impatient"), SHORT_LIMITS) as service:
        yield service


def statuses_for(service: Service, first: bytes, slow: bytes) -> list[int]:
    """Return the statuses of the responses to a slow client, until the disconnection.

    Args:
        service: Backend with short time limits.
        first: Bytes that the client sends at once.
        slow: Bytes that the client then sends one by one, for longer than all limits.
    """
    answers, has_ended = [], threading.Event()

    def send_slowly() -> None:
        with suppress(OSError):
            for byte in slow:
                connection.sendall(bytes([byte]))
                if has_ended.wait(0.1):
                    return

    with connect(service) as connection, connection.makefile("rb") as file:
        connection.sendall(first.replace(b"KEY", service.keys["all"].encode()))
        sender = threading.Thread(target=send_slowly)
        sender.start()
        # The system resets a connection that is closed with unread bytes.
        with suppress(ConnectionResetError):
            answers.extend(iter(lambda: read_answer(file), None))
        has_ended.set()
        sender.join()
    for answer in answers:
        if answer.status == 408:
            assert answer.problem_name == "request-timeout"
            assert answer.headers["connection"] == "close"
    return [answer.status for answer in answers]


def send_within_the_limits(service: Service) -> None:
    """Send requests with pauses, which all together take longer than each limit."""
    post = POST.replace(b"KEY", service.keys["all"].encode()).replace(b"1000", b"2")
    with connect(service) as connection, connection.makefile("rb") as file:
        for _ in range(4):
            for part in (post[:50], post[50:], b"{", b"}"):
                connection.sendall(part)
                time.sleep(0.25)
            answer = read_answer(file)
            assert answer is not None
            assert answer.status == 201


def read_nothing(service: Service) -> None:
    """Send requests without reading the responses, until the disconnection."""
    with connect(service) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(LARGE * 90)
        until = time.monotonic() + MAX_WAIT_SECONDS
        with suppress(ConnectionError):
            while time.monotonic() < until:
                connection.sendall(b"\r\n")
                time.sleep(0.1)
            pytest.fail("the connection stays open")


def view_stream(service: Service) -> None:
    """Read the stream of a job without news for longer than the limits, then news."""
    with (
        service.client() as api,
        service.client() as viewer,
        open_stream(viewer, f"/jobs/{(job := new_job(api))['id']}/stream") as stream,
    ):
        stream.message()
        time.sleep(3.5)
        report(api, job, kind="start")
        assert stream.message().data["status"] == "running"


@pytest.fixture(scope="module")
def clients(impatient: Service) -> Iterator[dict[str, Future[Any]]]:
    """Clients with the time limits of the backend, all at once."""
    special = (send_within_the_limits, read_nothing, view_stream)
    with ThreadPoolExecutor(len(SLOW_CLIENTS) + len(special)) as pool:
        slow = {
            name: pool.submit(statuses_for, impatient, first, slow)
            for name, (first, slow, _expected) in SLOW_CLIENTS.items()
        }
        yield slow | {each.__name__: pool.submit(each, impatient) for each in special}


@pytest.mark.parametrize("name", SLOW_CLIENTS)
def test_slow_client_is_disconnected(
    clients: dict[str, Future[Any]], name: str
) -> None:
    """A request that is not complete in time gets 408, and its connection is closed.

    Single bytes do not extend the time. A connection without the first byte of a
    request is closed without an answer.
    """
    assert clients[name].result(MAX_WAIT_SECONDS) == SLOW_CLIENTS[name][2]


def test_slow_request_within_the_limits_is_answered(
    clients: dict[str, Future[Any]],
) -> None:
    """A client may pause in head and body; each request has a separate time limit."""
    clients[send_within_the_limits.__name__].result(MAX_WAIT_SECONDS)


def test_client_that_does_not_read_is_disconnected(
    clients: dict[str, Future[Any]],
) -> None:
    """The server closes the connection to a client that does not read the responses."""
    clients[read_nothing.__name__].result(MAX_WAIT_SECONDS)


def test_stream_outlives_the_time_limits(clients: dict[str, Future[Any]]) -> None:
    """A stream without news stays open for longer than all time limits."""
    clients[view_stream.__name__].result(MAX_WAIT_SECONDS)


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A backend with a small maximum number of connections."""
    folder = tmp_path_factory.mktemp("small")
    limit = ("--max-connections", str(MAX_CONNECTIONS))
    with serve(folder, FREQUENT_SWEEPS, *limit) as service:
        yield service


def open_files(service: Service) -> int:
    """Return the number of descriptors of a backend."""
    return len(list(Path(f"/proc/{service.pid}/fd").iterdir()))


@pytest.fixture
def small(small_server: Service) -> Service:
    """The backend with a small maximum number; no connection is open."""
    wait_until(lambda: open_files(small_server) < MAX_CONNECTIONS // 2)
    return small_server


def get_live(service: Service) -> int:
    """Return the status of a request on a new connection."""
    with connect(service) as connection:
        return live_status(connection)


def live_status(connection: socket.socket) -> int:
    """Return the status of a request."""
    connection.sendall(LIVE)
    answer = read_answer(connection.makefile("rb"))
    assert answer is not None
    return answer.status


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        LIVE[:-1],
        UNAUTHORIZED,
    ],
    ids=["nothing", "a head", "a body that nobody reads"],
)
def test_slow_connections_do_not_keep_others_out(small: Service, sent: bytes) -> None:
    """New connections replace slow ones, and every new connection is answered."""
    with ExitStack() as stack:
        for number in range(3 * MAX_CONNECTIONS):
            stack.enter_context(connect(small)).sendall(sent)
            if number % 20 == 0:
                assert get_live(small) == 200
        assert open_files(small) < MAX_CONNECTIONS + 50
        for _ in range(20):
            assert get_live(small) == 200


def test_burst_of_silent_connections_does_not_keep_others_out(small: Service) -> None:
    """A request is answered behind a queue of more silent connections than allowed."""
    for _number in range(10):
        with ExitStack() as stack:
            # The queue of the listener fills while the server is stopped.
            os.kill(small.pid, signal.SIGSTOP)
            try:
                for _ in range(MAX_CONNECTIONS + 20):
                    stack.enter_context(connect(small))
                last = stack.enter_context(connect(small))
                last.sendall(LIVE)
            finally:
                os.kill(small.pid, signal.SIGCONT)
            answer = read_answer(last.makefile("rb"))
            assert answer is not None
            assert answer.status == 200


def test_clients_that_do_not_read_do_not_keep_others_out(small: Service) -> None:
    """A client that does not read responses gives way to new connections."""
    with ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS):
            connection = stack.enter_context(connect(small))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(LARGE * 100)
        wait_until(lambda: get_live(small) == 200)


def test_idle_connections_give_way_before_unfinished_requests(small: Service) -> None:
    """At the maximum, the connection that is idle for the longest time is closed."""
    with ExitStack() as stack:
        idle = [stack.enter_context(connect(small)) for _ in range(50)]
        for connection in idle:
            assert live_status(connection) == 200
        unfinished = [
            stack.enter_context(connect(small)) for _ in range(MAX_CONNECTIONS - 50)
        ]
        for connection in unfinished:
            connection.sendall(LIVE[:-1])
        for _ in range(4):
            assert live_status(stack.enter_context(connect(small))) == 200
        assert [connection.recv(1) for connection in idle[:4]] == [b""] * 4
        assert live_status(idle[-1]) == 200
        for connection in unfinished:
            connection.sendall(LIVE[-1:])
            answer = read_answer(connection.makefile("rb"))
            assert answer is not None
            assert answer.status == 200


def test_busy_connections_stay_and_others_get_503(small: Service) -> None:
    """While all connections wait for a response, a new one gets 503 and is closed."""
    with ExitStack() as stack:
        busy = []
        head = POST.replace(b"KEY", small.keys["all"].encode()).replace(b"1000", b"2")
        for _ in range(MAX_CONNECTIONS):
            connection = stack.enter_context(connect(small))
            busy.append(connection)
            connection.sendall(head[:-2] + b"Expect: 100-continue\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        for _ in range(50):
            with connect(small) as refused, refused.makefile("rb") as file:
                refused.sendall(LIVE)
                answer = read_answer(file)
                assert answer is not None
                assert (answer.status, answer.problem_name) == (503, "unavailable")
                assert answer.headers["retry-after"] == "1"
                assert answer.headers["connection"] == "close"
        for connection in busy:
            connection.sendall(b"{}")
        for connection in busy:
            answer = read_answer(connection.makefile("rb"))
            assert answer is not None
            assert answer.status == 201
        # The server may end its part of a request after the client has the response.
        wait_until(lambda: get_live(small) == 200)


class FailingListener(socket.socket):
    """Listening socket with an `accept()` that fails with two errors in turns."""

    count = 0

    def accept(self) -> NoReturn:
        """Raise an error."""
        self.count += 1
        raise OSError((errno.ECONNABORTED, errno.EPROTO)[self.count % 2], "failure")


def test_errors_of_accept_cost_a_line_a_second_for_each_kind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Hundreds of failed accepts of two kinds are two lines of the log."""

    async def accept_all(listener: FailingListener) -> None:
        accepting = Acceptor(listener, asyncio.Protocol)
        while listener.count < 100:
            await asyncio.sleep(0)
        accepting.close()

    with FailingListener() as listener, socket.socket() as client:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client.connect(listener.getsockname())
        started = time.monotonic()
        asyncio.run(accept_all(listener))
    lines = [r for r in caplog.records if r.name == acceptor.__name__]
    seconds = 1 + int(time.monotonic() - started)
    assert 2 <= len(lines) <= 2 * seconds
    assert all("failure" in line.getMessage() for line in lines)


@pytest.mark.parametrize(
    ("files", "chosen", "expected"),
    [
        ((20, 40), None, 20),
        ((1024, 1024), None, 768),
        ((1024, 10**6), None, 20_000),
        ((1024, 10**6), 100_000, 100_000),
        ((1024, 1024), 768, 768),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), None, 20_000),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 10**6, 10**6),
    ],
)
def test_connection_limit_leaves_descriptors_for_other_files(
    monkeypatch: pytest.MonkeyPatch,
    files: tuple[int, int],
    chosen: int | None,
    expected: int,
) -> None:
    """The default is the limit of open files minus 256 or a half; maximum 20,000."""
    limits = {resource.RLIMIT_NOFILE: files}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)
    assert connection_limit(chosen) == expected


def test_more_connections_than_files_are_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error names the argument, the largest possible number, and `ulimit`."""
    limits: dict[int, Any] = {resource.RLIMIT_NOFILE: (1024, 1024)}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)
    with pytest.raises(SettingsError, match=r"--max-connections .* 768, .*ulimit -n"):
        connection_limit(769)
