"""Folder `deploy`: its units, image, compose file and proxy, without an engine.

The commands of the files run here with their variables; only addresses, ports and paths
are those of the test.
"""

from __future__ import annotations

import re
import socket
import ssl
import stat
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from trackerapi_backend.requests.credentials import generate_key

from backend.tests.support.deployment import (
    DEPLOY,
    PROGRAM,
    PUBLIC_BASE_URL,
    SETTINGS,
    Composition,
    new_certificate,
    read_compose,
    read_containerfile,
    read_unit,
    read_variables,
    run_output,
)
from backend.tests.support.postgres import new_database
from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    TUTORIAL,
    all_items,
    first_line,
    new_name,
    start_command,
)
from backend.tests.support.streams import Stream
from backend.tests.support.system_calls import filter_prelude
from scripts.project import ROOT
from tests.support.debian import need

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_EXPOSURE = 15
"""Maximum exposure that systemd finds, in tenths; 100 is a unit without any limit."""
# PR_SET_MDWE: from here on, no memory of the process is writable and executable. Linux
# before 6.3 does not know the call.
DENY_WRITE_EXECUTE = "import ctypes; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)"


# As systemd: pass a listening socket on, and a socket for the readiness.
PASS_SOCKETS = """
import os, socket
listener = socket.create_server(("127.0.0.1", 0))
if listener.fileno() != 3:
    os.dup2(listener.fileno(), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
"""


@pytest.fixture(scope="module")
def unit_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unit, with the path of a program that exists, beside its socket."""
    folder = tmp_path_factory.mktemp("units")
    for path in DEPLOY.glob("trackerapi-backend.*"):
        text = path.read_text().replace(PROGRAM, sys.executable)
        (folder / path.name).write_text(text)
    return folder / "trackerapi-backend.service"


def test_units_pass_the_check_of_systemd(unit_copy: Path) -> None:
    """The check of systemd finds no unknown setting and no invalid value."""
    systemd = need("systemd-analyze", "systemd")
    for unit in (unit_copy, unit_copy.with_suffix(".socket")):
        assert run_output([systemd, "verify", str(unit)]) == (0, "")


def test_unit_is_hardened(unit_copy: Path) -> None:
    """A process of the unit can reach little beside its folder and the network."""
    systemd = need("systemd-analyze", "systemd")
    threshold = f"--threshold={MAX_EXPOSURE}"
    arguments = ["security", "--offline=true", threshold, "--no-pager", str(unit_copy)]
    status, output = run_output([systemd, *arguments])
    assert status == 0, output


def test_unit_serves_within_its_limits(tmp_path: Path) -> None:
    """The command of the unit serves with the system calls and memory of the unit."""
    systemd = need("systemd-analyze", "systemd")
    unit = read_unit("trackerapi-backend.service")
    state = f"/var/lib/{unit['StateDirectory'][0]}"
    text = (DEPLOY / "backend.env").read_text().replace(state, str(tmp_path))
    environment = read_variables(text) | {
        "TRACKERAPI_BACKEND_METRICS_ADDRESS": "127.0.0.1:0",
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
    }
    assert unit["Type"] == ["notify"]
    [start] = unit["ExecStart"]
    program, *arguments = start.split()
    assert program == PROGRAM
    set_up_as_described(tmp_path, text)
    limits = (
        PASS_SOCKETS,
        f"import os; os.umask(0o{unit['UMask'][0]})",
        DENY_WRITE_EXECUTE,
        filter_prelude(systemd, unit["SystemCallFilter"]),
    )
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified,
        start_command(
            *arguments, environment=environment, prelude="\n".join(limits)
        ) as process,
    ):
        notified.bind(environment["NOTIFY_SOCKET"])
        notified.settimeout(MAX_WAIT_SECONDS)
        assert notified.recv(100) == b"READY=1"
        base_url = first_line(process).split()[-1]
        answer = httpx.get(f"{base_url}/readyz", timeout=MAX_WAIT_SECONDS)
        assert answer.status_code == 200
        filters = Path(f"/proc/{process.pid}/status").read_text()
        assert "Seccomp:\t2" in filters
        process.terminate()
        assert process.wait(int(unit["TimeoutStopSec"][0])) == 0
    assert (tmp_path / "backend.db").exists()
    files = tmp_path.glob("backend.db*")
    assert not [file for file in files if stat.S_IMODE(file.stat().st_mode) & 0o077]


def set_up_as_described(folder: Path, settings: str) -> None:
    """Run the commands of the README with these settings, as the user of the test."""
    text = (DEPLOY / "README.md").read_text()
    commands = text[text.index("backend() {") : text.index("systemctl daemon-reload")]
    (folder / "backend.env").write_text(settings)
    for usual, here in {
        "runuser -u trackerapi -- ": "",
        "/etc/trackerapi/backend.env": f"{folder}/backend.env",
        PROGRAM: f"{sys.executable} -m trackerapi_backend",
    }.items():
        assert usual in commands
        commands = commands.replace(usual, here)
    status, output = run_output(["bash", "-euc", commands])
    assert status == 0, output
    assert "trk_" in output


def test_image_runs_without_root_and_names_no_registry() -> None:
    """The image has a user by number, and copies files that exist."""
    instructions = read_containerfile()
    assert dict(instructions)["USER"] == "10001:10001"
    bases = {rest.split()[0] for word, rest in instructions if word == "FROM"}
    assert bases == {"python:3.13-slim"}
    copied = [rest.split() for word, rest in instructions if word == "COPY"]
    sources = [rest[0] for rest in copied if not rest[0].startswith("--from")]
    assert all((ROOT / source).exists() for source in sources)
    for path in DEPLOY.iterdir():
        assert "index-url" not in path.read_text()


@dataclass(frozen=True, slots=True)
class Composed:
    """Running processes of the compose file.

    Attributes:
        api: Client of the proxy with the key of a provider.
        anyone: Client of the proxy without a key.
        customer_id: Customer of the provider.
        trust: TLS context of the clients.
    """

    composition: Composition
    api: httpx.Client
    anyone: httpx.Client
    customer_id: int
    trust: ssl.SSLContext


@pytest.fixture(scope="module")
def composed(
    postgres: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Composed]:
    """Both backends of the compose file behind nginx with its site."""
    folder = tmp_path_factory.mktemp("composed")
    with ExitStack() as stack:
        url = stack.enter_context(new_database(postgres))
        composition = Composition(stack, folder, url)
        composition.manage("migrate")
        provider = ("--provider", "Clinic")
        [key] = composition.manage("key", "create", *provider, "--label", "first")
        [customer] = composition.manage("customer", "create", *provider, "--name", "A")
        trust = new_certificate(folder)
        composition.start()

        def client(**headers: str) -> httpx.Client:
            host = httpx.URL(PUBLIC_BASE_URL).host
            client = httpx.Client(
                base_url=f"https://127.0.0.1:{composition.secure_port}",
                headers={"Host": host, **headers},
                timeout=MAX_WAIT_SECONDS,
                verify=trust,
            )
            return stack.enter_context(client)

        yield Composed(
            composition, client(**{"X-API-Key": key}), client(), int(customer), trust
        )


def test_page_streams_through_the_proxy(composed: Composed) -> None:
    """A report is on the open page at once; the log of the proxy has no token."""
    job, link = new_linked_job(composed)
    assert composed.anyone.get(link).status_code == 200
    with composed.anyone.stream("GET", f"{link}/stream") as response:
        assert response.status_code == 200
        messages = Stream(response).messages()
        next(messages)
        send(composed.api, job, kind="step", tag="say_hello")
        # A proxy that buffers the stream would hold this message back.
        next(messages)
    assert link.rpartition("/")[2] not in composed.composition.log.read_text()


def test_restart_of_a_backend_loses_no_report(composed: Composed) -> None:
    """Reports through the proxy go on while a backend restarts; each counts once."""
    job, _link = new_linked_job(composed)
    is_over = threading.Event()

    def report_until_the_end() -> int:
        count = 0
        while not is_over.is_set():
            send(composed.api, job, kind="info")
            count += 1
        return count

    with ThreadPoolExecutor(1) as executor:
        reporting = executor.submit(report_until_the_end)
        try:
            composed.composition.restart(0)
        finally:
            is_over.set()
    count = reporting.result()
    assert count > 0
    assert len(all_items(composed.api, f"/jobs/{job['id']}/events")) == count


def new_linked_job(composed: Composed) -> tuple[dict[str, Any], str]:
    """Create a job; return it, and the path of a share link."""
    sent = {
        "provider_job_id": new_name(),
        "customer_id": composed.customer_id,
        "tag": TUTORIAL["tag"],
        "configuration": TUTORIAL,
    }
    job = composed.api.post("/jobs", json=sent).json()
    url = composed.api.post(f"/jobs/{job['id']}/share-links", json={}).json()["url"]
    assert url.startswith(f"{PUBLIC_BASE_URL}/s/")
    return job, url.removeprefix(PUBLIC_BASE_URL)


def send(api: httpx.Client, job: dict[str, Any], **event: Any) -> None:
    """Report an event; repeat it as the library does while a backend restarts."""
    sent = {"provider_job_id": job["provider_job_id"], "event_id": str(uuid4())}
    ends = time.monotonic() + MAX_WAIT_SECONDS
    while (answer := api.post("/events", json=sent | event)).status_code != 201:
        assert answer.status_code in (502, 503, 504), answer.text
        assert time.monotonic() < ends


def test_backends_know_the_addresses_of_clients(composed: Composed) -> None:
    """The warning about guessed keys names the client, not an address it claims."""

    def named() -> set[str]:
        log = composed.composition.backend_log.read_text()
        return set(re.findall(r'"message":"(\S+) sends too many unknown keys', log))

    def guess(api: httpx.Client, number: int) -> int:
        claimed = {"X-Forwarded-For": f"192.0.2.{number % 256}"}
        key = {"X-API-Key": generate_key().api_key}
        return api.get("/jobs", headers=claimed | key).status_code

    base_url, host = composed.anyone.base_url, composed.anyone.headers["Host"]
    transport = httpx.HTTPTransport(local_address="127.0.0.2", verify=composed.trust)
    with httpx.Client(
        base_url=base_url,
        headers={"Host": host},
        timeout=MAX_WAIT_SECONDS,
        transport=transport,
    ) as guesser:
        for number in range(5000):
            assert guess(guesser, number) == 401
            if number % 50 == 49 and named():
                break
    assert guess(composed.anyone, 0) == 401
    assert named() == {"127.0.0.2"}


def test_proxy_passes_problems_on_and_bounds_bodies(composed: Composed) -> None:
    """The backend answers to bodies up to 2 MiB, the proxy rejects larger ones."""
    for size_bytes, kind in (
        (1_500_000, "application/problem+json"),
        (3_000_000, "text/html"),
    ):
        answer = composed.api.post(
            "/events/batch",
            content=b"x" * size_bytes,
            headers={"Content-Type": "application/x-ndjson"},
        )
        assert answer.status_code == 413
        assert answer.headers["content-type"] == kind


def test_proxy_sends_plain_http_to_the_secure_address(composed: Composed) -> None:
    """Port 80 answers with the address of the same path on port 443."""
    port = composed.composition.plain_port
    answer = httpx.get(f"http://127.0.0.1:{port}/docs?a=b")
    assert answer.status_code == 301
    assert answer.headers["location"] == f"{PUBLIC_BASE_URL}/docs?a=b"


def test_proxy_demands_https_of_browsers(composed: Composed) -> None:
    """All responses on port 443, and no others, have `Strict-Transport-Security`."""
    name = "strict-transport-security"
    _job, link = new_linked_job(composed)
    for path in ("/", "/docs", "/jobs", "/nothing", link):
        answer = composed.anyone.get(path)
        assert re.fullmatch(r"max-age=[0-9]{8,}", answer.headers[name]), path
    with composed.anyone.stream("GET", f"{link}/stream") as response:
        assert name in response.headers
    port = composed.composition.plain_port
    assert name not in httpx.get(f"http://127.0.0.1:{port}/").headers


def test_health_check_and_metrics_of_each_process(composed: Composed) -> None:
    """The health check of a container succeeds; each process has its own metrics."""
    for number in range(2):
        check = composed.composition.service(f"backend-{number + 1}")["healthcheck"]
        kind, python, option, code = check["test"]
        assert (kind, python, option) == ("CMD", f"{Path(PROGRAM).parent}/python", "-c")
        assert ":8000/" in code
        port = composed.composition.ports[number]
        here = code.replace(":8000/", f":{port}/")
        assert run_output([sys.executable, option, here]) == (0, "")
        metrics_port = composed.composition.metrics_ports[number]
        answer = httpx.get(f"http://127.0.0.1:{metrics_port}/metrics")
        assert 'operation="readyz",status="200"' in answer.text
    assert composed.anyone.get("/metrics").status_code == 404


def test_containers_have_only_the_rights_that_they_need() -> None:
    """Each backend has a read-only root and no capability, and no published port."""
    services = read_compose(SETTINGS)["services"]
    assert services["backend-1"] == services["backend-2"]
    for name in ("backend-1", "manage"):
        service = services[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["networks"] == ["inside"]
        assert "ports" not in service
    assert services["proxy"]["networks"] == ["inside", "outside"]
