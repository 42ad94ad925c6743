"""Listening sockets: inherited from a service manager, kept over a restart."""

from __future__ import annotations

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from trackerapi_backend.network import listeners
from trackerapi_backend.network.listeners import inherited_listeners
from trackerapi_backend.settings import SettingsError

from backend.tests.support.servers import wait_until
from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    Service,
    first_line,
    new_job,
    prepare,
    start_command,
    variables_of,
)

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

ACTIVATION = """
import os
for number, descriptor in enumerate({descriptors}, 3):
    os.dup2(descriptor, number)
os.environ |= {{"LISTEN_FDS": "{count}", "LISTEN_PID": str(os.getpid())}}
"""
"""Passes sockets on to the command as a service manager does."""


@contextmanager
def activate(
    folder: Path, *sockets: socket.socket, **variables: str
) -> Iterator[subprocess.Popen[str]]:
    """Run `serve` on sockets of this process."""
    descriptors = [each.fileno() for each in sockets]
    with start_command(
        *("serve", "--port", "1"),
        environment=variables_of(folder) | variables,
        prelude=ACTIVATION.format(descriptors=descriptors, count=len(sockets)),
        pass_fds=descriptors,
    ) as process:
        yield process


def test_restart_with_an_inherited_socket_refuses_no_request(tmp_path: Path) -> None:
    """Requests on new connections are answered while the server restarts twice."""
    keys, has_ended, statuses = prepare(tmp_path), threading.Event(), list[int]()
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        service = Service(base_url=address, keys=keys)
        process = stack.enter_context(activate(tmp_path, listener))
        assert first_line(process) == f"Serving at {address}"
        with service.client() as api:
            event = {"provider_job_id": new_job(api)["provider_job_id"], "kind": "info"}

        def report() -> None:
            while not has_ended.is_set():
                with service.client() as api:
                    statuses.append(api.post("/events", json=event).status_code)

        pool = stack.enter_context(ThreadPoolExecutor())
        stack.callback(has_ended.set)
        reporters = [pool.submit(report) for _ in range(3)]
        for _ in range(2):
            count = len(statuses) + 10
            wait_until(lambda count=count: len(statuses) >= count)
            process.terminate()
            assert process.wait(MAX_WAIT_SECONDS) == 0
            process = stack.enter_context(activate(tmp_path, listener))
            first_line(process)
        count = len(statuses) + 10
        wait_until(lambda: len(statuses) >= count)
        has_ended.set()
        for reporter in reporters:
            reporter.result(MAX_WAIT_SECONDS)
    assert set(statuses) == {201}


def test_server_on_several_inherited_sockets_reports_that_it_is_ready(
    tmp_path: Path,
) -> None:
    """A UNIX socket and IPv4 are served together; `READY=1` follows the start."""
    prepare(tmp_path)
    path, ready_path = tmp_path / "http.socket", tmp_path / "ready"
    with ExitStack() as stack:
        ready = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        ready.bind(str(ready_path))
        ready.settimeout(MAX_WAIT_SECONDS)
        on_path = stack.enter_context(socket.socket(socket.AF_UNIX))
        on_path.bind(str(path))
        on_path.listen()
        on_port = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        public = {"TRACKERAPI_BACKEND_PUBLIC_BASE_URL": "https://tracker.example.org"}
        process = stack.enter_context(
            activate(
                tmp_path, on_path, on_port, NOTIFY_SOCKET=str(ready_path), **public
            )
        )
        address = f"http://127.0.0.1:{on_port.getsockname()[1]}"
        assert first_line(process) == f"Serving at unix:{path} and {address}"
        assert ready.recv(100) == b"READY=1"
        transport = httpx.HTTPTransport(uds=str(path))
        with httpx.Client(transport=transport, timeout=MAX_WAIT_SECONDS) as client:
            assert client.get("http://backend/readyz").status_code == 200
        assert httpx.get(f"{address}/livez", timeout=MAX_WAIT_SECONDS).is_success


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"LISTEN_PID": "1", "LISTEN_FDS": "1"}, "LISTEN_PID is '1'"),
        ({"LISTEN_FDS": "1"}, "LISTEN_PID is ''"),
        ({"LISTEN_PID": "own"}, "LISTEN_FDS must be 1 to 16, got ''"),
        ({"LISTEN_PID": "own", "LISTEN_FDS": "0"}, "LISTEN_FDS must be 1 to 16"),
        ({"LISTEN_PID": "own", "LISTEN_FDS": "17"}, "LISTEN_FDS must be 1 to 16"),
        ({"LISTEN_PID": "own", "LISTEN_FDS": "9" * 9999}, "LISTEN_FDS must be"),
        ({"LISTEN_PID": "own", "LISTEN_FDS": "-1"}, "LISTEN_FDS must be 1 to 16"),
    ],
)
def test_invalid_variables_of_sockets_are_an_error(
    variables: dict[str, str], named: str
) -> None:
    """The error names the variable; the variables are removed in each case."""
    own = {
        name: str(os.getpid()) if value == "own" else value
        for name, value in variables.items()
    }
    environment = {"LISTEN_FDNAMES": "http", "HOME": "/", **own}
    with pytest.raises(SettingsError, match=named):
        inherited_listeners(environment)
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize("kind", ["file", "datagram", "connection", "closed"])
def test_inherited_descriptor_must_be_a_listening_socket(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A descriptor of another type is an error that names its number."""
    with ExitStack() as stack:
        number = 10_000
        if kind == "file":
            number = os.open(os.devnull, os.O_RDONLY)
            stack.callback(os.close, number)
        elif kind != "closed":
            type_ = socket.SOCK_DGRAM if kind == "datagram" else socket.SOCK_STREAM
            number = stack.enter_context(socket.socket(type=type_)).fileno()
        monkeypatch.setattr(listeners, "FIRST_INHERITED", number)
        environment = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
        with pytest.raises(SettingsError, match=f"descriptor {number} is no"):
            inherited_listeners(environment)


def test_server_without_variables_inherits_no_socket() -> None:
    """Without the variables, the server opens a socket of its own."""
    assert inherited_listeners({}) == []
