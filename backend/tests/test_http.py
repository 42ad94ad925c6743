"""HTTP of the server: invalid requests, limits, pipelines, upgrades; raw sockets."""

from __future__ import annotations

import json
import socket
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from trackerapi_backend.network.heads import MAX_HEAD_BYTES, MAX_HEADERS
from trackerapi_backend.network.http_protocol import MAX_WAITING_REQUESTS

from backend.tests.support.raw_http import Answer, connect, read_answer
from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    Service,
    first_line,
    prepare,
    start_command,
    variables_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST = b"Host: backend\r\n"
LIVE = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
UPGRADE = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
)
WEBSOCKET = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
)


@dataclass(frozen=True, slots=True)
class Server:
    """A running backend with its log."""

    service: Service
    log: Path

    @contextmanager
    def connect(self) -> Iterator[socket.socket]:
        """Yield a new connection."""
        with connect(self.service) as connection:
            yield connection

    def answers(self, *requests: bytes) -> list[Answer]:
        """Send requests; return the responses until the end of the stream."""
        with self.connect() as connection, connection.makefile("rb") as file:
            for request in requests:
                connection.sendall(request)
            return list(iter(lambda: read_answer(file), None))

    def post(self, headers: bytes, body: bytes = b"") -> bytes:
        """Return a request that creates a customer."""
        key = f"X-API-Key: {self.service.keys['all']}\r\n".encode()
        json_type = b"Content-Type: application/json\r\n"
        start = b"POST /customers HTTP/1.1\r\n" + HOST + key + json_type
        return start + headers + b"\r\n" + body


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running backend; after the tests, its log must have only request lines."""
    folder = tmp_path_factory.mktemp("http")
    keys, log = prepare(folder), folder / "log"
    with start_command(
        *("serve", "--port", "0"), environment=variables_of(folder), log=log
    ) as process:
        base_url = first_line(process).split()[-1]
        yield Server(Service(base_url=base_url, keys=keys), log)
        process.terminate()
        assert process.wait(MAX_WAIT_SECONDS) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["level"] for line in lines} == {"INFO"}


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"hello world\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /livez HTTP/2.0\r\n" + HOST + b"\r\n",
        b"GET /livez HTTP/1.2\r\n" + HOST + b"\r\n",
        b"GET /livez HTTP/0.9\r\n" + HOST + b"\r\n",
        b"GET /livez HTTP/1.1\n" + HOST + b"\r\n",
        b"NOTHING /livez HTTP/1.1\r\n" + HOST + b"\r\n",
        b"CONNECT backend:443 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET livez HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET http://[/livez HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /livez\x00 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /livez\xc3\xa4 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /livez?a=\xff HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
        b"GET /livez HTTP/1.0\r\n" + HOST + HOST + b"\r\n",
        b"GET /livez HTTP/1.1\r\n" + HOST + b"A: b\r\n c\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n" + HOST + b"A: b\nC: d\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n" + HOST + b"A: b\rC: d\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n" + HOST + b"A: \x00\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n" + HOST + b"A: \x7f\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n" + HOST + b"A : b\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n" + HOST + b"\xc3\xa4: b\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n" + HOST + b": b\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n" + HOST + b"A\r\n\r\n",
    ],
)
def test_invalid_head_gets_a_problem_and_ends_the_connection(
    server: Server, request_bytes: bytes
) -> None:
    """A head that is not valid HTTP gets 400 `malformed-request`, also with a body."""
    for sent in (request_bytes, request_bytes + bytes(100_000)):
        [answer] = server.answers(sent)
        assert (answer.status, answer.problem_name) == (400, "malformed-request")
        assert answer.headers["connection"] == "close"


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n",
        b"Content-Length: 2\r\nContent-Length: 2\r\n",
        b"Content-Length: 2, 2\r\n",
        b"Content-Length: -2\r\n",
        b"Content-Length: +2\r\n",
        b"Content-Length: 0x2\r\n",
        b"Content-Length: \r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, gzip\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_body_of_unclear_length_is_rejected(server: Server, headers: bytes) -> None:
    """A body of ambiguous length gets 400, and the server ignores all further bytes."""
    [answer] = server.answers(server.post(headers, b"2\r\n{}\r\n0\r\n\r\n") + LIVE)
    assert (answer.status, answer.problem_name) == (400, "malformed-request")


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\n{}\r\n0\r\n\r\n",
        b"-2\r\n{}\r\n0\r\n\r\n",
        b"2 \r\n{}\r\n0\r\n\r\n",
        b"2\n{}\n0\n\n",
        b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}..0\r\n\r\n",
        b"2\r\n{}\r\nzz\r\n",
        b"2\r\n{}\r\n0\r\nA : b\r\n\r\n",
    ],
)
def test_invalid_chunks_are_rejected(server: Server, body: bytes) -> None:
    """Invalid chunks get 400 `malformed-request`, wherever the network divides them."""
    head = server.post(CHUNKED)
    for parts in ([head + body], [head, *(body[n : n + 1] for n in range(len(body)))]):
        [answer] = server.answers(*parts)
        assert (answer.status, answer.problem_name) == (400, "malformed-request")


def test_invalid_body_after_the_response_ends_the_connection(server: Server) -> None:
    """A response that does not need the body is sent; then the connection is closed."""
    head = b"POST /customers HTTP/1.1\r\n" + HOST + CHUNKED + b"\r\n"
    with server.connect() as connection, connection.makefile("rb") as file:
        connection.sendall(head)
        answer = read_answer(file)
        assert answer is not None
        assert answer.problem_name == "unauthorized"
        connection.sendall(b"zz\r\n")
        assert read_answer(file) is None


def head_of_size(size: int) -> bytes:
    """Return a request with a head of `size` bytes, as the server counts them."""
    counted = len(b"/livez" + HOST + b"A: \r\n")
    value = b"a" * (size - counted)
    return b"GET /livez HTTP/1.1\r\n" + HOST + b"A: " + value + b"\r\n\r\n"


def test_largest_head_is_accepted(server: Server) -> None:
    """A head of the maximum size is accepted in one piece, a larger one gets 431."""
    close = b"GET /livez HTTP/1.0\r\n\r\n"
    largest = [head_of_size(MAX_HEAD_BYTES) + close]
    assert [answer.status for answer in server.answers(*largest)] == [200, 200]
    [answer] = server.answers(head_of_size(MAX_HEAD_BYTES + 1))
    assert (answer.status, answer.problem_name) == (431, "head-too-large")


def test_number_of_headers_is_limited(server: Server) -> None:
    """A head with the maximum number of headers is accepted, a longer one gets 431."""
    head = b"GET /livez HTTP/1.0\r\n" + b"A: b\r\n" * MAX_HEADERS
    assert [answer.status for answer in server.answers(head + b"\r\n")] == [200]
    for end in (b"C: d\r\nE: f\r\n", b"C: d\r\n\r\n"):
        [answer] = server.answers(head + end)
        assert (answer.status, answer.problem_name) == (431, "head-too-large")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"a" * MAX_HEAD_BYTES,
        b"GET /" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /livez HTTP/1.1\r\n" + b"A:b\r\n" * MAX_HEAD_BYTES,
        b"GET /livez HTTP/1.1\r\n" + HOST + b"A: " + b"a" * 16 * MAX_HEAD_BYTES,
        b"\r\n" * MAX_HEAD_BYTES,
    ],
    ids=["open target", "target", "headers", "open header", "empty lines"],
)
def test_large_head_gets_431(server: Server, sent: bytes) -> None:
    """A client that sends more than the limit gets the complete response."""
    [answer] = server.answers(sent)
    assert (answer.status, answer.problem_name) == (431, "head-too-large")
    assert answer.headers["connection"] == "close"


def test_slow_head_is_limited(server: Server) -> None:
    """A head that comes in many pieces gets 431 once it is too large."""
    with server.connect() as connection, connection.makefile("rb") as file:
        connection.sendall(b"GET /livez HTTP/1.1\r\n" + HOST)
        for _ in range(MAX_HEAD_BYTES // 1000 + 1):
            connection.sendall(b"A: " + b"a" * 995 + b"\r\n")
        answer = read_answer(file)
        assert answer is not None
        assert answer.problem_name == "head-too-large"


@pytest.mark.parametrize(
    "end",
    [b"0\r\nA: " + b"a" * 16 * MAX_HEAD_BYTES, b"2;" + b"a" * 16 * MAX_HEAD_BYTES],
    ids=["trailer", "extension"],
)
def test_trailers_and_extensions_of_chunks_are_limited(
    server: Server, end: bytes
) -> None:
    """Endless trailers, and endless extensions of a chunk, get 431."""
    [answer] = server.answers(server.post(CHUNKED, b"2\r\n{}\r\n" + end))
    assert (answer.status, answer.problem_name) == (431, "head-too-large")


def test_trailers_are_no_headers(server: Server) -> None:
    """A header after the body does not change the request."""
    body = b"2\r\n{}\r\n0\r\nX-API-Key: other\r\nHost: other\r\n\r\n"
    answers = server.answers(server.post(CHUNKED, body) + b"GET / HTTP/1.0\r\n\r\n")
    assert [answer.status for answer in answers] == [201, 200]


@pytest.mark.parametrize("upgrade", [UPGRADE, WEBSOCKET], ids=["h2c", "websocket"])
def test_request_for_another_protocol_is_answered_as_http(
    server: Server, upgrade: bytes
) -> None:
    """The server ignores `Upgrade`, reads the body, and answers further requests."""
    get = LIVE.replace(HOST, HOST + upgrade)
    with_length = server.post(upgrade + b"Content-Length: 2\r\n", b"{}")
    in_chunks = server.post(upgrade + CHUNKED, b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n")
    sent = (get + with_length + in_chunks) * 20 + b"?"
    answers = server.answers(sent)
    assert [each.status for each in answers] == [200, 201, 201] * 20 + [400]
    old = b"GET /livez HTTP/1.0\r\n" + upgrade + b"\r\n"
    assert [each.status for each in server.answers(old + get)] == [200]
    with server.connect() as connection, connection.makefile("rb") as file:
        for byte in with_length:
            connection.sendall(bytes([byte]))
        answer = read_answer(file)
        assert answer is not None
        assert answer.status == 201


def test_invalid_request_for_another_protocol_is_rejected(server: Server) -> None:
    """The rules of a head count for a request with `Upgrade` too."""
    [answer] = server.answers(b"GET /livez HTTP/1.1\r\n" + UPGRADE + b"\r\n")
    assert (answer.status, answer.problem_name) == (400, "malformed-request")


def test_invalid_request_is_answered_after_earlier_requests(server: Server) -> None:
    """Responses have the order of their requests, and a rejection is the last one."""
    sent = server.post(b"Content-Length: 2\r\n", b"{}") + LIVE + b"hello\r\n" + LIVE
    answers = server.answers(sent)
    assert [answer.status for answer in answers] == [201, 200, 400]
    sent = server.post(b"Content-Length: 2\r\n", b"{}") + server.post(CHUNKED, b"zz")
    answers = server.answers(sent)
    assert [answer.status for answer in answers] == [201, 400]


def test_number_of_waiting_requests_is_limited(server: Server) -> None:
    """Requests beyond the limit of a connection get 503 once, then it is closed."""
    sent = server.post(b"Content-Length: 2\r\n", b"{}") + LIVE * 5000
    *served, refused = server.answers(sent)
    assert [each.status for each in served] == [201] + [200] * MAX_WAITING_REQUESTS
    assert (refused.status, refused.problem_name) == (503, "unavailable")


def test_reset_connection_is_no_error_in_the_log(server: Server) -> None:
    """A client may reset its connection between a response and its transmission."""
    at_once = struct.pack("ii", 1, 0)
    for count in range(200):
        with server.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            connection.sendall(LIVE * (1 + count % 5))
    # The fixture `server` checks the log.
    with server.connect() as connection:
        connection.sendall(LIVE)
        answer = read_answer(connection.makefile("rb"))
    assert answer is not None
    assert answer.status == 200


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"http://backend/livez", 200),
        (b"http://backend", 200),
        (b"*", 404),
        (b"//livez", 404),
        (b"/livez%00", 404),
        (b"/livez%ff", 404),
        (b"/livez%zz", 404),
        (b"/livez#a", 404),
        (b'/"<>{}|\\^`', 404),
    ],
)
def test_unusual_target_is_answered(server: Server, target: bytes, status: int) -> None:
    """A target that HTTP allows is answered, and the connection stays open."""
    sent = LIVE.replace(b"/livez", target) + b"GET /livez HTTP/1.0\r\n\r\n"
    answers = server.answers(sent)
    assert [answer.status for answer in answers] == [status, 200]


def test_connection_is_kept_and_closed_on_request(server: Server) -> None:
    """HTTP/1.1 keeps a connection until `Connection: close`; HTTP/1.0 closes it."""
    closing = LIVE.replace(HOST, HOST + b"Connection: close\r\n")
    old = b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    for last in (closing, old):
        answers = server.answers(LIVE + last + LIVE)
        assert [answer.status for answer in answers] == [200, 200]
        assert answers[-1].headers["connection"] == "close"


def test_response_to_head_has_no_body(server: Server) -> None:
    """`HEAD` gets the headers of `GET`, and the next response follows at once."""
    with server.connect() as connection, connection.makefile("rb") as file:
        connection.sendall(LIVE.replace(b"GET", b"HEAD") + LIVE)
        head, full = read_answer(file, has_body=False), read_answer(file)
    assert head is not None
    assert full is not None
    assert head.headers["content-length"] == full.headers["content-length"]
    assert full.status == 200


def test_body_is_awaited_after_100_continue(server: Server) -> None:
    """`Expect: 100-continue` is answered before the body is sent."""
    head = server.post(b"Content-Length: 2\r\nExpect: 100-continue\r\n")
    with server.connect() as connection, connection.makefile("rb") as file:
        connection.sendall(head)
        interim = read_answer(file)
        assert interim is not None
        assert interim.status == 100
        connection.sendall(b"{}")
        answer = read_answer(file)
        assert answer is not None
        assert answer.status == 201
