"""Connections: surplus bytes, repeated answers, packed bodies and time limits."""

import asyncio
import json
import socket
import ssl
import struct
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pytest
from trackerapi_client.api.api_keys import verify_api_key
from trackerapi_client.api.customers import create_customer
from trackerapi_client.models import CustomerInput

from tests.support.scripted_server import KEY, OWNER, Request, answering, http, problem
from trackerapi import BackendUnavailable, TrackerApi
from trackerapi.wire.attempts import TimeLimits
from trackerapi.wire.client import BackendClient

Call = Callable[[BackendClient], Any]
GENEROUS_SECONDS: Final = 60.0


def client_for(url: str, seconds: float = 20.0, **httpx_args: Any) -> BackendClient:
    """Return a client that makes one attempt of at most `seconds`."""
    return BackendClient(
        base_url=url,
        token=KEY,
        verify_ssl=ssl.create_default_context() if url.startswith("https") else False,
        httpx_args=httpx_args,
        time_limits=TimeLimits(attempt_seconds=seconds, deadline_seconds=0.0),
    )


def ask(*clients: BackendClient) -> list[Any]:
    """Request the owner of the key with each client; return models and errors."""
    answers: list[Any] = []
    for client in clients:
        try:
            answers.append(verify_api_key.sync(client=client))
        except BackendUnavailable as error:
            answers.append(error)
    return answers


def ask_in_a_loop(*clients: BackendClient) -> list[Any]:
    """Request the owner of the key with each client in one event loop."""

    async def asking() -> list[Any]:
        answers: list[Any] = []
        for client in clients:
            try:
                answers.append(await verify_api_key.asyncio(client=client))
            except BackendUnavailable as error:
                answers.append(error)
        for client in clients:
            await client.aclose()
        return answers

    return asyncio.run(asking())


BOTH = pytest.mark.parametrize("asking", [ask, ask_in_a_loop])
ANSWER: Final = http(200, OWNER)


@BOTH
@pytest.mark.parametrize(
    "rest",
    [ANSWER, ANSWER * 3, ANSWER[:40], ANSWER[:-1], b"\r\n\r\n", b"x", problem(503)],
    ids=["answer", "three", "head", "nearly", "blank", "byte", "failure"],
)
def test_bytes_behind_an_answer_are_not_taken_for_the_next(
    asking: Callable[..., list[Any]], rest: bytes
) -> None:
    """A connection with bytes behind an answer is not used for another request."""
    script = iter([ANSWER + rest, problem(503), ANSWER])

    with answering(lambda _: next(script)) as server:
        client = client_for(server.url)
        first, second, third = asking(client, client, client)
        client.close()

    assert first.key_id == third.key_id == OWNER["key_id"]
    assert second.status == 503
    assert server.connection_count == 2


@BOTH
def test_answer_that_is_sent_again_later_is_not_taken_for_the_next(
    asking: Callable[..., list[Any]],
) -> None:
    """An answer with the request id of the previous answer is refused."""
    numbered = http(200, OWNER, X_Request_Id="a1")
    script = iter([numbered, numbered, http(200, OWNER, X_Request_Id="a2")])

    with answering(lambda _: next(script)) as server:
        client = client_for(server.url)
        first, second, third = asking(client, client, client)
        client.close()

    assert first.key_id == third.key_id == OWNER["key_id"]
    assert "repeats the answer to the previous request" in str(second)
    assert server.connection_count == 2


def test_event_is_not_lost_to_a_proxy_that_repeats_an_answer() -> None:
    """A repeated answer acknowledges no event: the event is sent again."""
    acknowledged: set[str] = set()
    repeated = threading.Event()

    def answer(request: Request) -> bytes:
        if request.target != "/events/batch":
            return ANSWER
        lines = [json.loads(line) for line in request.body.splitlines()]
        report = {"accepted": len(lines), "duplicates": 0, "rejected": []}
        if repeated.is_set() and not acknowledged & {"second"}:
            acknowledged.add("second")
            return problem(503)
        acknowledged.update(line["event_id"] for line in lines)
        if repeated.is_set():
            return http(200, report)
        repeated.set()
        return http(200, report) * 2

    with answering(answer) as server, TrackerApi(KEY, server.url) as tracker:
        job = tracker.job("job-1")
        sent = [job.send_event(kind="info")]
        assert tracker.flush(timeout=GENEROUS_SECONDS).waiting == 0
        sent.append(job.send_event(kind="info"))
        assert tracker.flush(timeout=GENEROUS_SECONDS).waiting == 0

    assert set(sent) <= acknowledged


def pack_content(content: bytes, times: int, coding: int) -> bytes:
    """Return `content`, repeated and compressed by zlib in the format of `coding`."""
    packer = zlib.compressobj(9, zlib.DEFLATED, coding)
    return b"".join(packer.compress(content) for _ in range(times)) + packer.flush()


GZIP, ZLIB = 31, 15
BOMB: Final = pack_content(bytes(2**20), 256, GZIP)


@BOTH
@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", BOMB),
        ("GZip ", BOMB),
        ("deflate", pack_content(bytes(2**20), 256, ZLIB)),
        ("gzip, gzip", pack_content(BOMB, 1, GZIP)),
        ("gzip,deflate", pack_content(BOMB, 1, GZIP)),
        ("identity, gzip", BOMB),
        ("br", b"\x1b\x00\x00"),
        ("zstd", b"\x28\xb5\x2f\xfd"),
        ("compress", b"\x1f\x9d"),
        ("gzip", BOMB[:2_000]),
        ("gzip", b"no gzip"),
        ("deflate", b""),
    ],
)
def test_large_or_unrequested_coding_is_refused(
    asking: Callable[..., list[Any]], status: int, coding: str, body: bytes
) -> None:
    """A body in an unrequested coding, or too large when unpacked, is refused."""
    media = "application/json" if status < 300 else "application/problem+json"

    with answering(http(status, body, media, Content_Encoding=coding)) as server:
        client = client_for(server.url)
        tracemalloc.start()
        try:
            (error,) = asking(client)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        client.close()

    assert error.status == status
    assert "is not an answer of a tracker backend" in str(error)
    assert peak_bytes < 110 * 2**20


@pytest.mark.parametrize(("coding", "form"), [("gzip", GZIP), ("deflate", ZLIB)])
def test_packed_answer_is_read(coding: str, form: int) -> None:
    """An answer in a coding that the request accepts is unpacked."""
    body = pack_content(json.dumps(OWNER).encode(), 1, form)

    with answering(http(200, body, Content_Encoding=coding)) as server:
        client = client_for(server.url)
        (owner,) = ask(client)
        client.close()

    assert owner.key_id == OWNER["key_id"]
    assert server.requests[0].headers["accept-encoding"] == "gzip, deflate"


def test_stream_with_stacked_codings_is_rejected() -> None:
    """A streamed body with two codings raises BackendUnavailable."""
    body = pack_content(BOMB, 1, GZIP)

    with answering(http(200, body, Content_Encoding="gzip, gzip")) as server:
        client = client_for(server.url)
        with pytest.raises(BackendUnavailable, match="Content-Encoding"):
            with client.get_httpx_client().stream("GET", "/api-keys/protected"):
                pass
        client.close()


# Answers that keep an attempt waiting until the test has ended.


def send_slowly(answer: bytes, over: threading.Event) -> Iterator[bytes]:
    """Send an answer byte by byte, without its last bytes."""
    for place in range(len(answer) - 1):
        yield answer[place : place + 1]
        if over.wait(0.02):
            return
    over.wait(GENEROUS_SECONDS)


def send_interim_fast(over: threading.Event) -> Iterator[bytes]:
    """Send interim answers as fast as the client reads them."""
    while not over.is_set():
        yield b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 100


def interim(over: threading.Event) -> Iterator[bytes]:
    """Send an interim answer every 20 ms."""
    while not over.wait(0.02):
        yield b"HTTP/1.1 103 Early Hints\r\n\r\n"


def silence(over: threading.Event) -> Iterator[bytes]:
    """Send nothing."""
    over.wait(GENEROUS_SECONDS)
    yield b""


CHUNKED: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
DELAYED_ANSWERS: Final[dict[str, Callable[[threading.Event], Iterable[bytes]]]] = {
    "silence": silence,
    "flood": send_interim_fast,
    "interim": interim,
    "head": lambda over: send_slowly(ANSWER, over),
    "body": lambda over: chain([ANSWER[:-40]], send_slowly(ANSWER[-40:], over)),
    "chunks": lambda over: send_slowly(CHUNKED + b"1;" + b"a" * 10_000, over),
}


def count_descriptors() -> int:
    """Return the number of open descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def own_threads() -> list[threading.Thread]:
    """Return the threads of the library."""
    return [each for each in threading.enumerate() if "trackerapi" in each.name]


def await_condition(is_true: Callable[[], bool]) -> bool:
    """Wait at most GENEROUS_SECONDS for a condition; return whether it is true."""
    ends = time.monotonic() + GENEROUS_SECONDS
    while not is_true() and time.monotonic() < ends:
        time.sleep(0.01)
    return is_true()


@contextmanager
def assert_nothing_left() -> Iterator[None]:
    """Assert that the block leaves no thread and no descriptor behind."""
    threads, before = len(own_threads()), count_descriptors()
    yield
    assert await_condition(lambda: len(own_threads()) <= threads), own_threads()
    assert await_condition(lambda: count_descriptors() <= before)


@BOTH
@pytest.mark.parametrize("hold", DELAYED_ANSWERS)
def test_abandoned_attempt_leaves_no_thread_or_descriptor(
    asking: Callable[..., list[Any]], hold: str
) -> None:
    """After the time limit no thread or descriptor stays; the next request works."""
    over, is_back = threading.Event(), threading.Event()

    def answer(_: Request) -> bytes | Iterable[bytes]:
        return ANSWER if is_back.is_set() else DELAYED_ANSWERS[hold](over)

    with assert_nothing_left(), answering(answer) as server:
        hasty = client_for(server.url, seconds=0.1)
        errors = asking(*[hasty] * 10)
        assert await_condition(lambda: not own_threads())
        is_back.set()
        (owner,) = asking(hasty.with_timeout(GENEROUS_SECONDS))
        over.set()
        hasty.close()

    assert all(isinstance(error, BackendUnavailable) for error in errors)
    assert owner.key_id == OWNER["key_id"]


@BOTH
@pytest.mark.parametrize("through", ["tls", "proxy"])
def test_unfinished_handshake_leaves_no_thread_or_descriptor(
    asking: Callable[..., list[Any]], through: str
) -> None:
    """An unfinished handshake with a server or proxy leaves nothing behind."""
    with assert_nothing_left(), socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        if through == "tls":
            client = client_for(f"https://127.0.0.1:{port}", 0.1)
        else:
            proxy = f"http://127.0.0.1:{port}"
            client = client_for("https://backend.test", 0.1, proxy=proxy)
        errors = asking(*[client] * 10)
        client.close()

    assert [str(error).rpartition(": ")[2] for error in errors] == [
        "no answer in time"
    ] * 10


@BOTH
def test_attempts_share_the_thread_of_a_slow_look_up(
    asking: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten attempts share one thread for a slow look-up, which cannot be stopped."""
    answered, count = threading.Event(), 0
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))]

    def look_up(*_: Any, **__: Any) -> list[Any]:
        nonlocal count
        count += 1
        answered.wait(GENEROUS_SECONDS)
        return found

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with assert_nothing_left():
        client = client_for("http://backend.test", 0.1)
        errors = asking(*[client] * 10)
        assert await_condition(lambda: len(own_threads()) == 1)
        assert count == 1
        answered.set()
        client.close()

    assert all(isinstance(error, BackendUnavailable) for error in errors)


@contextmanager
def run_resetting_server() -> Iterator[tuple[str, list[bytes]]]:
    """Run a server that reads each request and resets its connection."""
    heads: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                heads.append(connection.recv(65_536))
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", heads
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def make_customer(tracker: TrackerApi) -> object:
    """Create a customer by `tracker.admin`."""
    return tracker.admin.create_customer()


def make_customer_raw(tracker: TrackerApi) -> object:
    """Create a customer by the generated call."""
    return create_customer.sync(client=tracker.client, body=CustomerInput())


def make_customer_in_a_loop(tracker: TrackerApi) -> object:
    """Create a customer by the asynchronous generated call."""

    async def making() -> object:
        async with tracker.client as client:
            return await create_customer.asyncio(client=client, body=CustomerInput())

    return asyncio.run(making())


@pytest.mark.parametrize(
    "make", [make_customer, make_customer_raw, make_customer_in_a_loop]
)
def test_change_is_not_repeated_after_a_reset(
    make: Callable[[TrackerApi], object],
) -> None:
    """A POST whose connection was reset may have been applied: it is not repeated."""
    with run_resetting_server() as (url, heads), TrackerApi(KEY, url) as tracker:
        with pytest.raises(BackendUnavailable) as caught:
            make(tracker)

    assert caught.value.exchange.was_sent
    assert len(heads) == 1
