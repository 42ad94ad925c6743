"""Streams of jobs: newest state, order, ends, limits, over real connections."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from backend.tests.support.held_read import held_read
from backend.tests.support.own_app import own_client, own_services
from backend.tests.support.servers import wait_until
from backend.tests.support.service import (
    CUSTOMER,
    MAX_WAIT_SECONDS,
    create_short_lived,
    new_job,
    new_name,
    prepare,
    problem_name,
    report,
    send_lines,
    serve_existing,
    serve_new,
)
from backend.tests.support.streams import open_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from trackerapi_backend.requests.call import Services

    from backend.tests.support.service import Service

SHORT_STREAMS = (
    "from trackerapi_backend.live import stream\n"
    "stream.HEARTBEAT_SECONDS, stream.LIFETIME_SECONDS = 0.2, 2.0\n"
)
SLOW_READERS, LARGE_UPDATES = 4, 120
FEW_VIEWERS = (
    "from trackerapi_backend.live import hub\n"
    "hub.MAX_VIEWERS.update(job=3, address=2)\n"
)
NO_HEARTBEATS = (
    "from trackerapi_backend.live import stream\nstream.HEARTBEAT_SECONDS = 900.0\n"
)
FREQUENT_CHECKS = (
    "from trackerapi_backend.live import stream\nstream.HEARTBEAT_SECONDS = 0.2\n"
)


def path_of(job: dict[str, Any]) -> str:
    """Return the path of the stream of a job."""
    return f"/jobs/{job['id']}/stream"


def status_of(api: httpx.Client, path: str) -> int:
    """Return the status of the answer to a stream; read nothing of it."""
    with api.stream("GET", path) as response:
        return response.status_code


def test_stream_begins_with_the_job_and_follows_it(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """The first message is the job as `get_job` returns it, then each change follows.

    The id of a message is the version of the job.
    """
    with open_stream(api, path_of(job)) as stream:
        assert stream.block()[0].startswith("retry: ")
        first = stream.message()
        assert (first.event, first.id, first.data) == ("job", "1", job)
        report(api, job, kind="step", tag="say_hello")
        second = stream.message()
        assert (second.id, second.data["version"]) == ("2", 2)
        assert second.data == api.get(f"/jobs/{job['id']}").json()


def test_headers_keep_caches_and_proxies_out(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """A stream is neither cached nor collected by a proxy."""
    with open_stream(api, path_of(job)) as stream:
        headers = stream.response.headers
    assert headers["content-type"] == "text/event-stream"
    assert headers["cache-control"] == "no-store"
    assert headers["x-accel-buffering"] == "no"


def test_stream_goes_on_after_the_end_of_the_job(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """A job that has failed and runs again is followed by the same stream."""
    with open_stream(api, path_of(job)) as stream:
        report(api, job, kind="error")
        while stream.message().data["status"] != "failed":
            pass
        report(api, job, kind="start")
        while stream.message().data["status"] != "running":
            pass


def test_known_version_is_not_repeated(api: httpx.Client, job: dict[str, Any]) -> None:
    """With the present version as `Last-Event-ID`, the first message is a change."""
    with open_stream(api, path_of(job), Last_Event_ID="1") as stream:
        report(api, job, kind="start")
        assert stream.message().id == "2"


@pytest.mark.parametrize("last_id", ["1", "77", "", "x" * 1000, "-1"])
def test_any_other_last_event_id_gets_the_state(
    api: httpx.Client, job: dict[str, Any], last_id: str
) -> None:
    """An older, later or malformed `Last-Event-ID` is answered with the state."""
    report(api, job, kind="start")
    with open_stream(api, path_of(job), Last_Event_ID=last_id) as stream:
        assert stream.message().id == "2"


def test_versions_never_fall_and_the_newest_arrives(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """Viewers of a busy job read growing versions up to the newest."""
    with ExitStack() as stack:
        streams = [
            stack.enter_context(open_stream(api, path_of(job))) for _ in range(3)
        ]
        event = {"provider_job_id": job["provider_job_id"], "kind": "info"}
        for _ in range(40):
            assert send_lines(api, [event] * 5).json()["accepted"] == 5
        for stream in streams:
            versions = stream.ids_to(201)
            assert versions == sorted(set(versions))


def test_job_token_follows_its_own_job_alone(
    service: Service, api: httpx.Client
) -> None:
    """A job token opens the stream of its job; another job is unknown to it."""
    job, other = new_job(api), new_job(api)
    token = api.post(f"/jobs/{job['id']}/tokens", json={}).json()["token"]
    with service.client(None) as holder:
        holder.headers["X-API-Key"] = token
        with open_stream(holder, path_of(job)) as stream:
            assert stream.message().data["id"] == job["id"]
        refused = holder.get(path_of(other))
    assert (refused.status_code, problem_name(refused)) == (404, "not-found")


@pytest.mark.parametrize(("key", "status"), [("ingest", 403), ("expired", 401)])
def test_key_needs_the_scope_read(
    service: Service, job: dict[str, Any], key: str, status: int
) -> None:
    """A key without the scope `read`, or an expired key, opens no stream."""
    with service.client(key) as caller:
        assert caller.get(path_of(job)).status_code == status


def test_comments_are_sent_and_the_stream_ends(tmp_path: Path) -> None:
    """A quiet stream sends comments and ends after its lifetime."""
    keys = prepare(tmp_path)
    with (
        serve_existing(tmp_path, keys, prelude=SHORT_STREAMS) as (_process, service),
        service.client() as api,
        open_stream(api, path_of(new_job(api))) as stream,
    ):
        blocks = list(stream.blocks())
    assert blocks.count([":"]) >= 2
    assert blocks[-1] == [":"]


def test_expired_key_ends_its_streams_alone(
    service: Service, api: httpx.Client, job: dict[str, Any]
) -> None:
    """The stream of a key that is expired ends at once; those of other keys go on."""
    made = api.post("/api-keys", json={"label": "k", "scopes": ["read"]}).json()
    with service.client(None) as reader:
        reader.headers["X-API-Key"] = made["api_key"]
        with (
            open_stream(reader, path_of(job)) as stream,
            open_stream(api, path_of(job)) as other,
        ):
            stream.message()
            other.message()
            assert api.post(f"/api-keys/{made['key']['key_id']}/expire").is_success
            # A stream that has not ended at once would send a comment first.
            assert list(stream.blocks()) == []
            report(api, job, kind="start")
            assert other.message().id == "2"


def test_key_that_expires_before_its_stream_begins_is_rejected(
    tmp_path: Path, database_url: str | None
) -> None:
    """A request for a stream gets 401 if its key expires while the job is read."""
    keys = prepare(tmp_path, database_url)

    async def scenario(services: Services) -> httpx.Response:
        services.writer.follow(asyncio.get_running_loop(), services.apply)
        async with (
            own_client(services, keys["all"]) as admin,
            own_client(services, keys["read"]) as reader,
        ):
            made = {"provider_job_id": new_name(), "customer_id": CUSTOMER, "tag": "t"}
            job = (await admin.post("/jobs", json=made)).json()
            # From now on, both keys are in the cache.
            assert (await reader.get("/jobs")).status_code == 200
            with held_read(services) as reads:
                answer = asyncio.create_task(reader.get(path_of(job)))
                while not reads:
                    await asyncio.sleep(0.01)
                key_id = keys["read"].split("_")[1]
                expired = await admin.post(f"/api-keys/{key_id}/expire")
                assert expired.status_code == 200
            return await answer

    with own_services(tmp_path, database_url) as services:
        answer = asyncio.run(scenario(services))
    assert (answer.status_code, problem_name(answer)) == (401, "unauthorized")


@pytest.mark.parametrize("made", ["key", "token", "link"])
def test_stream_ends_at_the_expiry_of_its_credential(tmp_path: Path, made: str) -> None:
    """The stream of a key, job token or share link ends at its `expires_at`."""
    keys = prepare(tmp_path)
    with (
        serve_existing(tmp_path, keys, prelude=NO_HEARTBEATS) as (_process, service),
        service.client() as api,
        service.client(None) as reader,
    ):
        job = new_job(api)
        stream_path = path_of(job)
        if made == "link":
            link = create_short_lived(api, f"/jobs/{job['id']}/share-links")
            stream_path = f"{link['url']}/stream"
        elif made == "token":
            token = create_short_lived(api, f"/jobs/{job['id']}/tokens")["token"]
            reader.headers["X-API-Key"] = token
        else:
            sent = {"label": "k", "scopes": ["read"]}
            key = create_short_lived(api, "/api-keys", **sent)["api_key"]
            reader.headers["X-API-Key"] = key
        with open_stream(reader, stream_path) as stream:
            stream.message()
            assert list(stream.messages()) == []


def test_viewers_are_limited(tmp_path: Path) -> None:
    """A viewer above the maximum gets 429 with Retry-After until a viewer leaves."""
    keys = prepare(tmp_path)
    with (
        serve_existing(tmp_path, keys, prelude=FEW_VIEWERS) as (_process, service),
        service.client() as api,
    ):
        job, other = new_job(api), new_job(api)
        with open_stream(api, path_of(job)), open_stream(api, path_of(other)) as second:
            refused = api.get(path_of(other))
            assert (refused.status_code, problem_name(refused)) == (
                429,
                "too-many-viewers",
            )
            assert int(refused.headers["Retry-After"]) >= 1
            second.response.close()
            wait_until(lambda: status_of(api, path_of(other)) == 200)


def test_viewer_leaves_with_requests_that_wait_behind_its_stream(
    tmp_path: Path,
) -> None:
    """A lost connection ends its stream, even if a later request waits on it."""
    keys = prepare(tmp_path)
    with (
        serve_existing(tmp_path, keys, prelude=FEW_VIEWERS + FREQUENT_CHECKS) as (
            _process,
            service,
        ),
        service.client() as api,
    ):
        path = path_of(new_job(api))
        later = b"GET /livez HTTP/1.1\r\nHost: backend\r\n\r\n"
        with (
            unread_stream(service, path, later) as first,
            unread_stream(service, path, later) as second,
        ):
            for reader in (first, second):
                assert reader.recv(12) == b"HTTP/1.1 200"
            assert status_of(api, path) == 429
        wait_until(lambda: status_of(api, path) == 200)


@pytest.mark.parametrize(
    ("one", "other"),
    [("192.0.2.1", "192.0.2.2"), ("2001:db8:0:1::1", "2001:db8:0:2::1")],
)
def test_address_of_a_client_comes_from_the_proxy(
    tmp_path: Path, one: str, other: str
) -> None:
    """Behind a trusted proxy, the limit of an address counts for each client."""
    keys = prepare(tmp_path)
    with (
        serve_existing(tmp_path, keys, prelude=FEW_VIEWERS) as (_process, service),
        service.client() as api,
        ExitStack() as stack,
    ):
        for client in (one, other, other):
            path = path_of(new_job(api))
            stack.enter_context(open_stream(api, path, X_Forwarded_For=client))
        # Another address of the same IPv6 network has the same limit.
        again = other.replace("::1", "::2")
        answer = api.get(path_of(new_job(api)), headers={"X-Forwarded-For": again})
        assert answer.status_code == 429


def test_slow_readers_cost_bounded_memory(tmp_path: Path) -> None:
    """A reader that pauses costs only its buffers, and then gets the newest state."""
    steps = [{"tag": f"{n:0100}", "name": f"{n:0100}", "points": 1} for n in range(200)]
    document = {"tag": "large", "name": "Large", "step_configurations": steps}
    with serve_new(tmp_path) as service, service.client() as api, ExitStack() as stack:
        job = new_job(api, tag="large", configuration=document)
        size = len(api.get(f"/jobs/{job['id']}").content)
        readers = [
            stack.enter_context(unread_stream(service, path_of(job)))
            for _ in range(SLOW_READERS)
        ]
        quick = stack.enter_context(open_stream(api, path_of(job)))
        before = memory_bytes(service.pid)
        for version in range(2, 2 + LARGE_UPDATES):
            report(api, job, kind="info")
            while int(quick.message().id) < version:
                pass
        growth = memory_bytes(service.pid) - before
        assert growth < SLOW_READERS * LARGE_UPDATES * size / 2
        for reader in readers:
            ids = read_ids(reader, str(1 + LARGE_UPDATES))
            assert ids == sorted(set(ids))
            assert len(ids) < LARGE_UPDATES


@contextmanager
def unread_stream(
    service: Service, path: str, later: bytes = b""
) -> Iterator[socket.socket]:
    """Request a stream during the block, and send `later`; read nothing."""
    host, _, port = service.base_url.removeprefix("http://").partition(":")
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.settimeout(MAX_WAIT_SECONDS)
        reader.connect((host, int(port)))
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {service.keys['all']}"
        reader.sendall(f"{head}\r\n\r\n".encode() + later)
        yield reader


def read_ids(reader: socket.socket, last: str) -> list[int]:
    """Read a stream up to the message with an id; return all ids."""
    text = b""
    while f"\nid: {last}\n".encode() not in text:
        part = reader.recv(1 << 20)
        assert part, text[-500:]
        text += part
    return [int(number) for number in re.findall(rb"\nid: (\d+)\n", text)]


def memory_bytes(pid: int) -> int:
    """Return the memory of a process."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def test_sigterm_ends_streams_in_order(tmp_path: Path) -> None:
    """SIGTERM ends open streams without an error, and the server within its time."""
    keys = prepare(tmp_path)
    with serve_existing(tmp_path, keys) as (process, service), service.client() as api:
        job = new_job(api)
        with ExitStack() as stack:
            streams = [
                stack.enter_context(open_stream(api, path_of(job))) for _ in range(20)
            ]
            for stream in streams:
                stream.message()
            process.send_signal(signal.SIGTERM)
            for stream in streams:
                assert list(stream.messages()) == []
        assert process.wait(MAX_WAIT_SECONDS) == 0


def test_job_is_followed_again_after_its_viewers_have_left(tmp_path: Path) -> None:
    """A stream that begins after all others have ended has the present state."""
    with serve_new(tmp_path) as service, service.client() as api:
        job = new_job(api)
        for _ in range(3):
            with open_stream(api, path_of(job)) as stream:
                stream.message()
        report(api, job, kind="start")
        with open_stream(api, path_of(job)) as stream:
            assert stream.message().id == "2"
