"""Shutdown: running requests, commands and queries do not delay the end of a server."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from contextlib import ExitStack, closing
from signal import SIGINT, SIGTERM
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest
from trackerapi_backend.problems import Problem
from trackerapi_backend.store.sqlite import SqliteStore
from trackerapi_backend.store.writer import Writer

from backend.tests.support.database_proxy import Fault, database_proxy
from backend.tests.support.postgres import new_database
from backend.tests.support.servers import wait_until
from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    Service,
    first_line,
    new_job,
    prepare,
    serve_existing,
    start_command,
    variables_of,
)
from backend.tests.support.streams import open_stream

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

HALF_SENT_COUNT = 200
ENDLESS_COMMANDS = """
import time
from functools import partial
from trackerapi_backend import server
from trackerapi_backend.store.writer import Writer
from trackerapi_backend.store import customers

server.Writer = partial(Writer, capacity=1)
customers.create_customer = lambda *_, **__: time.sleep(1_000_000)
"""
ENDLESS_QUERIES = """
import time
from trackerapi_backend.store import customers

customers.list_customers = lambda *_, **__: time.sleep(1_000_000)
"""


def test_clients_in_all_states_do_not_delay_the_shutdown(tmp_path: Path) -> None:
    """The server exits while clients have connections in every state.

    The connections have unfinished heads, bodies and responses, streams and pipelines.
    A command and a query never end, and the writer's queue is full.
    """
    keys, log_path = prepare(tmp_path), tmp_path / "log"
    with ExitStack() as stack:
        process = stack.enter_context(
            start_command(
                *("serve", "--port", "0"),
                environment=variables_of(tmp_path),
                prelude=f"{ENDLESS_COMMANDS}\n{ENDLESS_QUERIES}",
                log=log_path,
            )
        )
        base_url = first_line(process).split()[-1]
        service = Service(base_url=base_url, keys=keys)
        job = new_job(stack.enter_context(service.client()))
        viewer = stack.enter_context(service.client())
        stream = stack.enter_context(open_stream(viewer, f"/jobs/{job['id']}/stream"))
        stream.message()
        key = keys["all"]
        live = _request("GET", "/livez", key)
        large = _request("GET", "/openapi.json", key) * 90
        command = _request("POST", "/customers", key, b"{}")
        query = _request("GET", "/customers", key)
        for sent in (
            *(
                b"",
                live,
                live[:-1],
                live + live[:-1],
                command[:-1],
                command[:-1] + live,
            ),
            *(large, large + command, large + query, large + command[:-1]),
            *(command + live * 100, query + live * 100, command * 100, query * 10),
        ):
            connection = stack.enter_context(_connect(urlsplit(base_url).port))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(sent)
        _wait_for_full_queue(urlsplit(base_url).port, key)
        process.terminate()
        assert process.wait(timeout=MAX_WAIT_SECONDS) == 0
        assert list(stream.blocks()) == []
    lines = [json.loads(line) for line in log_path.read_text().splitlines()]
    errors = [line for line in lines if line["level"] not in ("INFO", "WARNING")]
    assert [line["message"].split()[0] for line in errors] == ["Cancel"]


@pytest.mark.parametrize("is_silent", [True, False])
def test_unreachable_database_does_not_delay_the_shutdown(
    tmp_path: Path,
    postgres: str,
    is_silent: bool,
) -> None:
    """The server exits while PostgreSQL restarts, or does not answer any more."""
    with new_database(postgres) as url, database_proxy(url) as proxy, ExitStack() as st:
        keys = prepare(tmp_path, url)
        process, service = st.enter_context(serve_existing(tmp_path, keys, proxy.url))
        job = new_job(st.enter_context(service.client()))
        viewer = st.enter_context(service.client())
        stream = st.enter_context(open_stream(viewer, f"/jobs/{job['id']}/stream"))
        stream.message()
        if is_silent:
            proxy.fault = Fault.SILENCE
        else:
            proxy.close()
        for sent in (
            _request("POST", "/customers", keys["all"], b"{}"),
            _request("GET", "/customers", keys["all"]),
        ):
            for _ in range(5):
                port = urlsplit(service.base_url).port
                st.enter_context(_connect(port)).sendall(sent)
        with service.client(None) as client:
            wait_until(lambda: client.get("/livez").is_success)
        process.terminate()
        assert process.wait(timeout=MAX_WAIT_SECONDS) == 0


@pytest.mark.parametrize(
    "signals",
    [[SIGTERM], [SIGINT] * 3, [SIGTERM, SIGINT]],
    ids=["SIGTERM", "three SIGINT", "SIGTERM, SIGINT"],
)
def test_cancelled_requests_cost_one_line_of_the_log(
    tmp_path: Path, signals: list[int]
) -> None:
    """Requests with half a body get 503 at the shutdown, and the log has one line."""
    log_path = tmp_path / "log"
    with ExitStack() as stack:
        process = stack.enter_context(
            start_command(
                *("dev", "--port", "0", "--data-dir"), str(tmp_path), log=log_path
            )
        )
        address = urlsplit(first_line(process).rpartition("=")[2])
        key = (tmp_path / "api_key").read_text().strip()
        half = _request("POST", "/customers", key, b"{}")[:-1]
        connections = [
            stack.enter_context(_connect(address.port)) for _ in range(HALF_SENT_COUNT)
        ]
        for connection in connections:
            connection.sendall(half)
        assert httpx.get(
            f"{address.geturl()}/livez", timeout=MAX_WAIT_SECONDS
        ).is_success
        for number in signals:
            process.send_signal(number)
            # The system merges equal signals that follow each other too fast.
            time.sleep(0.05)
        assert process.wait(timeout=MAX_WAIT_SECONDS) == 0
        answers = [connection.recv(100) for connection in connections]
    assert {answer.split(b"\r\n")[0] for answer in answers} == {
        b"HTTP/1.1 503 Service Unavailable"
    }
    [line] = log_path.read_text().splitlines()
    assert "traceback" not in line.lower()


def test_writer_outlives_the_loop_of_its_callers(tmp_path: Path) -> None:
    """The writer runs commands of a new event loop after a caller's loop has closed."""
    prepare(tmp_path)
    began, may_end = threading.Event(), threading.Event()

    def hold(_db: Connection) -> None:
        began.set()
        may_end.wait()

    async def give_up(writer: Writer) -> None:
        task = asyncio.create_task(writer.write(hold))
        await asyncio.to_thread(began.wait)
        task.cancel()

    async def ask(writer: Writer) -> int:
        return await writer.write(lambda _db: 1)

    with (
        closing(SqliteStore(tmp_path / "backend.db")) as store,
        closing(Writer(store)) as writer,
    ):
        asyncio.run(give_up(writer))
        may_end.set()
        assert asyncio.run(ask(writer)) == 1


def test_closing_writer_rejects_queued_commands(tmp_path: Path) -> None:
    """`close()` rejects queued and later commands; the running command continues."""
    prepare(tmp_path)
    began, may_end = threading.Event(), threading.Event()

    def hold(_db: Connection) -> str:
        began.set()
        may_end.wait()
        return "ended"

    async def scenario(writer: Writer) -> list[object]:
        holding = asyncio.create_task(writer.write(hold))
        await asyncio.to_thread(began.wait)
        waiting = asyncio.create_task(writer.write(lambda _db: "begun"))
        await asyncio.sleep(0)
        await asyncio.to_thread(writer.close, 0.01)
        late = asyncio.create_task(writer.write(lambda _db: "begun"))
        refused = await asyncio.gather(waiting, late, return_exceptions=True)
        may_end.set()
        return [*refused, await holding]

    with closing(SqliteStore(tmp_path / "backend.db")) as store:
        writer = Writer(store)
        *refused, ended = asyncio.run(scenario(writer))
        writer.close()
    assert ended == "ended"
    assert [problem.name for problem in refused if isinstance(problem, Problem)] == [
        "unavailable"
    ] * 2


def _connect(port: int | None) -> socket.socket:
    assert port is not None
    return socket.create_connection(("127.0.0.1", port), timeout=MAX_WAIT_SECONDS)


def _request(method: str, path: str, key: str, body: bytes = b"") -> bytes:
    headers = f"Host: backend\r\nX-API-Key: {key}\r\nContent-Length: {len(body)}\r\n"
    content = "Content-Type: application/json\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\n{headers}{content}\r\n".encode() + body


def _wait_for_full_queue(port: int | None, key: str) -> None:
    """Send requests until a request gets 503 because the queue is full."""
    until = time.monotonic() + MAX_WAIT_SECONDS
    while time.monotonic() < until:
        with _connect(port) as connection:
            connection.sendall(_request("POST", "/customers", key, b"{}"))
            connection.settimeout(1)
            try:
                if connection.recv(12) == b"HTTP/1.1 503":
                    return
            except TimeoutError:
                continue
    pytest.fail("the queue is never full")
