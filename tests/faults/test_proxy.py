"""Fault proxy: each fault acts exactly as its docstring describes."""

import http.client
import json
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support import faults
from tests.support.fault_proxy import Fault, FaultProxy, sent_events
from tests.support.running_backend import RunningBackend
from trackerapi import TrackerApi


@pytest.fixture
def proxy(backend: RunningBackend) -> Iterator[FaultProxy]:
    """Run a proxy in front of the session's backend."""
    with FaultProxy(backend.base_url) as running:
        yield running


@pytest.fixture
def job(backend: RunningBackend) -> str:
    """Create a job without a configuration; return its id."""
    provider_job_id = f"proxy-{uuid.uuid4()}"
    with TrackerApi(backend.api_key, backend.base_url) as tracker:
        tracker.create_job(provider_job_id, backend.customer_id, "no_configuration")
    return provider_job_id


def connect(proxy: FaultProxy) -> "closing[http.client.HTTPConnection]":
    """Return a connection to the proxy; the end of the block closes it."""
    return closing(http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10))


def ask(
    connection: http.client.HTTPConnection, target: str = "/livez"
) -> tuple[int, bytes]:
    """Send a GET request; return status and body of the answer."""
    connection.request("GET", target)
    answer = connection.getresponse()
    return answer.status, answer.read()


def report(proxy: FaultProxy, backend: RunningBackend, job: str) -> tuple[int, bytes]:
    """Send one event over a new connection; return status and body of the answer."""
    event = {"event_id": str(uuid.uuid4()), "provider_job_id": job, "kind": "info"}
    headers = {"X-API-Key": backend.api_key, "Content-Type": "application/x-ndjson"}
    with connect(proxy) as connection:
        connection.request("POST", "/events/batch", json.dumps(event).encode(), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def abort_on_first_request(proxy: FaultProxy) -> None:
    """Abort all connections after the first request."""
    proxy.await_requests(1)
    proxy.abort_connections()


def count_of(backend: RunningBackend, job: str) -> int:
    """Return the number of events of a job that the backend has stored."""
    with TrackerApi(backend.api_key, backend.base_url) as tracker:
        return tracker.get_job(job).event_count


def test_proxy_passes_requests_on_over_one_connection(proxy: FaultProxy) -> None:
    """Without a fault, the backend answers both requests of one connection."""
    with connect(proxy) as connection:
        assert ask(connection)[0] == 200
        assert ask(connection, "/jobs?limit=1")[0] == 401

    assert [request.target for request in proxy.requests] == ["/livez", "/jobs?limit=1"]
    assert proxy.connection_count == 1


def test_requests_are_logged_with_their_events(
    proxy: FaultProxy, backend: RunningBackend, job: str
) -> None:
    """`sent_events()` returns the event of a logged request."""
    assert report(proxy, backend, job)[0] == 200

    assert [event["provider_job_id"] for event in sent_events(proxy.requests)] == [job]


def test_proxy_that_is_down_resets_and_refuses_and_later_reuses_its_port(
    proxy: FaultProxy,
) -> None:
    """Open connections are reset and new ones refused until the proxy is up again."""
    with connect(proxy) as connection:
        ask(connection)
        with proxy.down():
            with pytest.raises(ConnectionResetError):
                ask(connection)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", proxy.port), timeout=5)
    with connect(proxy) as connection:
        assert ask(connection)[0] == 200


@pytest.mark.parametrize(
    ("fault", "status", "begin"),
    [
        (faults.unavailable, 503, b'{"type"'),
        (faults.bare_unavailable, 503, b"<!doctype"),
        (faults.key_refused, 401, b'{"type"'),
        (faults.html(404), 404, b"<!doctype"),
        (faults.html(413), 413, b"<!doctype"),
        (faults.html(200), 200, b"<!doctype"),
    ],
)
def test_answer_comes_from_the_fault_and_not_from_the_backend(
    proxy: FaultProxy,
    backend: RunningBackend,
    job: str,
    fault: Fault,
    status: int,
    begin: bytes,
) -> None:
    """The client reads the answer of the fault; the backend receives no request."""
    with proxy.failing(fault):
        answered, body = report(proxy, backend, job)

    assert answered == status
    assert body.startswith(begin)
    assert count_of(backend, job) == 0


def test_busy_answers_429_with_retry_after(proxy: FaultProxy) -> None:
    """The answer is 429 with a Retry-After header."""
    with proxy.failing(faults.busy(7)), connect(proxy) as connection:
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        answer.read()

    assert (answer.status, answer.getheader("Retry-After")) == (429, "7")


def test_dropped_answer_was_processed(
    proxy: FaultProxy, backend: RunningBackend, job: str
) -> None:
    """Each third answer is dropped after the backend has stored the event."""
    outcomes = []
    with proxy.failing(faults.dropping_each(3)):
        for _ in range(6):
            try:
                outcomes.append(report(proxy, backend, job)[0])
            except ConnectionError:
                outcomes.append(0)

    assert outcomes == [200, 200, 0, 200, 200, 0]
    assert count_of(backend, job) == 6


@pytest.mark.parametrize(
    ("fault", "stored"), [(faults.cut_request, 0), (faults.cut_answer, 1)]
)
def test_cut_ends_in_a_reset(
    proxy: FaultProxy,
    backend: RunningBackend,
    job: str,
    fault: Fault,
    stored: int,
) -> None:
    """A cut request stores no event; a cut answer follows a stored event."""
    with proxy.failing(fault):
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            report(proxy, backend, job)

    assert count_of(backend, job) == stored
    assert (len(proxy.requests[0].body) < 100) == (stored == 0)


def test_dripping_sends_the_whole_answer_byte_by_byte(
    proxy: FaultProxy, backend: RunningBackend, job: str
) -> None:
    """A patient client reads the whole answer of the backend."""
    with proxy.failing(faults.dripping(0.0001)):
        status, body = report(proxy, backend, job)

    assert status == 200
    assert json.loads(body)["accepted"] == 1


@pytest.mark.parametrize("fault", [faults.black_hole, faults.dripping(10.0)])
def test_aborted_connection_ends_an_endless_answer(
    proxy: FaultProxy, fault: Fault
) -> None:
    """`abort_connections()` raises an error in a client that waits for an answer."""
    with proxy.failing(fault), connect(proxy) as connection:
        cut = threading.Thread(target=abort_on_first_request, args=(proxy,))
        cut.start()
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            ask(connection)
        cut.join()


def test_garbage_handshake_sends_no_http(proxy: FaultProxy) -> None:
    """The client reads bytes without an HTTP status line, and raises BadStatusLine."""
    with proxy.with_handshake(faults.garbage_handshake), connect(proxy) as connection:
        with pytest.raises(http.client.BadStatusLine):
            ask(connection)


def test_unreachable_backend_resets_the_connection(proxy: FaultProxy) -> None:
    """The proxy sends no answer if the backend cannot be reached."""
    proxy.backend_url = "http://127.0.0.1:9"
    with connect(proxy) as connection:
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            ask(connection)
