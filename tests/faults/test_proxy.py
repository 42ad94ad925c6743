"""The proxy of the fault tests fails in just the way that a test asks for."""

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
    """Make a job that knows no steps; return its id."""
    provider_job_id = f"proxy-{uuid.uuid4()}"
    with TrackerApi(backend.api_key, backend.base_url) as tracker:
        tracker.create_job(provider_job_id, backend.customer_id, "no_configuration")
    return provider_job_id


def connect(proxy: FaultProxy) -> "closing[http.client.HTTPConnection]":
    """Return a connection to the proxy, closed with its block."""
    return closing(http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10))


def ask(
    connection: http.client.HTTPConnection, target: str = "/livez"
) -> tuple[int, bytes]:
    """Return status and body of an answer."""
    connection.request("GET", target)
    answer = connection.getresponse()
    return answer.status, answer.read()


def report(proxy: FaultProxy, backend: RunningBackend, job: str) -> tuple[int, bytes]:
    """Send one batch of one event over a connection of its own."""
    event = {"event_id": str(uuid.uuid4()), "provider_job_id": job, "kind": "info"}
    headers = {"X-API-Key": backend.api_key, "Content-Type": "application/x-ndjson"}
    with connect(proxy) as connection:
        connection.request("POST", "/events/batch", json.dumps(event).encode(), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def hang_up_on_first(proxy: FaultProxy) -> None:
    """Abort all connections once a request has come."""
    proxy.await_requests(1)
    proxy.hang_up()


def count_of(backend: RunningBackend, job: str) -> int:
    """Return how many events the backend has of a job."""
    with TrackerApi(backend.api_key, backend.base_url) as tracker:
        return tracker.get_job(job).event_count


def test_proxy_passes_requests_on_over_one_connection(proxy: FaultProxy) -> None:
    """Without a fault the backend answers, and the connection is kept."""
    with connect(proxy) as connection:
        assert ask(connection)[0] == 200
        assert ask(connection, "/jobs?limit=1")[0] == 401

    assert [request.target for request in proxy.requests] == ["/livez", "/jobs?limit=1"]
    assert proxy.connection_count == 1


def test_requests_are_logged_with_their_events(
    proxy: FaultProxy, backend: RunningBackend, job: str
) -> None:
    """The log holds each event as it was sent."""
    assert report(proxy, backend, job)[0] == 200

    assert [event["provider_job_id"] for event in sent_events(proxy.requests)] == [job]


def test_proxy_that_is_down_refuses_and_comes_back_under_its_port(
    proxy: FaultProxy,
) -> None:
    """Connections that live are reset, new ones refused, until it is up again."""
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
    """The client reads what the fault says, and the backend has heard nothing."""
    with proxy.failing(fault):
        answered, body = report(proxy, backend, job)

    assert answered == status
    assert body.startswith(begin)
    assert count_of(backend, job) == 0


def test_busy_asks_to_come_back_later(proxy: FaultProxy) -> None:
    """The answer is 429 and names the wait."""
    with proxy.failing(faults.busy(7)), connect(proxy) as connection:
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        answer.read()

    assert (answer.status, answer.getheader("Retry-After")) == (429, "7")


def test_dropped_answer_was_processed(
    proxy: FaultProxy, backend: RunningBackend, job: str
) -> None:
    """Each third answer is lost although the backend has stored its event."""
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
    """A request cut in half reaches nobody, a cut answer was processed."""
    with proxy.failing(fault):
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            report(proxy, backend, job)

    assert count_of(backend, job) == stored
    assert (len(proxy.requests[0].body) < 100) == (stored == 0)


def test_drip_brings_the_whole_answer_byte_by_byte(
    proxy: FaultProxy, backend: RunningBackend, job: str
) -> None:
    """A patient client gets the backend's answer."""
    with proxy.failing(faults.dripping(0.0001)):
        status, body = report(proxy, backend, job)

    assert status == 200
    assert json.loads(body)["accepted"] == 1


@pytest.mark.parametrize("fault", [faults.black_hole, faults.dripping(10.0)])
def test_answer_that_never_ends_is_over_with_the_connection(
    proxy: FaultProxy, fault: Fault
) -> None:
    """Nothing usable comes; who waits is let go when the proxy hangs up."""
    with proxy.failing(fault), connect(proxy) as connection:
        cut = threading.Thread(target=hang_up_on_first, args=(proxy,))
        cut.start()
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            ask(connection)
        cut.join()


def test_garbage_is_no_answer(proxy: FaultProxy) -> None:
    """Who greets reads bytes that mean nothing."""
    with proxy.welcoming(faults.in_garbage), connect(proxy) as connection:
        with pytest.raises(http.client.BadStatusLine):
            ask(connection)


def test_backend_that_is_gone_is_a_reset_connection(proxy: FaultProxy) -> None:
    """The proxy makes up no answer of its own."""
    proxy.backend_url = "http://127.0.0.1:9"
    with connect(proxy) as connection:
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            ask(connection)
