"""Files of the folder `deploy`: their commands with variables, nginx with its site."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import subprocess
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import yaml
from psycopg.conninfo import conninfo_to_dict
from trackerapi_backend.settings import PREFIX

from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    command_here,
    first_line,
    start_command,
)
from scripts.project import ROOT
from tests.support.debian import need

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

DEPLOY = ROOT / "deploy"
PROGRAM = "/opt/trackerapi/bin/trackerapi-backend"
"""Path of the command in the unit and in the image."""
PUBLIC_BASE_URL = "https://tracker.example.org"
SETTINGS = {"DATABASE_PASSWORD": "a1b2c3", "PUBLIC_BASE_URL": PUBLIC_BASE_URL}
"""Variables of the file `.env` beside the compose file."""

_VARIABLE = re.compile(r"\$\{(\w+):\?[^}]*\}")


def read_unit(name: str) -> dict[str, list[str]]:
    """Return the values of each setting of a unit of systemd."""
    values: dict[str, list[str]] = {}
    for line in (DEPLOY / name).read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            values.setdefault(key, []).append(value)
    return values


def read_variables(text: str) -> dict[str, str]:
    """Return the variables of a file with a `NAME=value` in each line."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def read_containerfile() -> list[tuple[str, str]]:
    """Return the instructions of the Containerfile with their arguments."""
    text = (DEPLOY / "Containerfile").read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, rest in (line.split(" ", 1) for line in lines)]


def read_compose(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the compose file with the variables of its `.env`."""
    text = (DEPLOY / "compose.yaml").read_text()
    filled = _VARIABLE.sub(lambda found: variables[found[1]], text)
    document: dict[str, Any] = yaml.safe_load(filled)
    return document


class Composition:
    """Services of the compose file as processes on loopback, behind nginx.

    Their commands and variables are those of the file. Addresses, ports and paths are
    those of the test.

    Args:
        stack: Stack that ends all processes.
        folder: Folder of all files.
        url: Address of an empty PostgreSQL database.

    Attributes:
        ports: Ports of the two backends.
        metrics_ports: Ports of their metrics.
        processes: Processes of the two backends.
        secure_port: Port of the proxy that speaks TLS.
        log: Output of nginx.
        backend_log: Output of both backends.
    """

    def __init__(self, stack: ExitStack, folder: Path, url: str) -> None:
        self._stack, self._folder, self._url = stack, folder, url
        self._document = read_compose(SETTINGS)
        self._image = dict(read_containerfile())
        assert json.loads(self._image["ENTRYPOINT"]) == [PROGRAM]
        self.ports, self.metrics_ports = _free_ports(2), _free_ports(2)
        self.plain_port, self.secure_port = _free_ports(2)
        self.processes: list[subprocess.Popen[str]] = []
        self.log, self.backend_log = folder / "nginx.log", folder / "backend.log"

    def manage(self, *arguments: str) -> list[str]:
        """Run a command in the service `manage`; return the lines of its output."""
        environment = self._environment(self.service("manage"))
        result = command_here(*arguments, environment=environment)
        assert result.returncode == 0, result
        return result.stdout.splitlines()

    def service(self, name: str) -> dict[str, Any]:
        """Return a service of the compose file."""
        found: dict[str, Any] = self._document["services"][name]
        return found

    def start(self) -> None:
        """Start both backends, then nginx."""
        self.processes = [self._start(0), self._start(1)]
        replaced = {
            "/etc/nginx/tls": str(self._folder),
            "/var/log/nginx/access.log": "/dev/stdout",
            "listen 80;": f"listen 127.0.0.1:{self.plain_port};",
            "listen 443 ssl;": f"listen 127.0.0.1:{self.secure_port} ssl;",
            "backend-1:8000": f"127.0.0.1:{self.ports[0]}",
            "backend-2:8000": f"127.0.0.1:{self.ports[1]}",
        }
        self._stack.enter_context(
            running_nginx(self._folder, replaced, self.secure_port)
        )

    def restart(self, number: int) -> None:
        """End a backend in order, then start it again."""
        self.processes[number].terminate()
        assert self.processes[number].wait(MAX_WAIT_SECONDS) == 0
        self.processes[number] = self._start(number)

    def _start(self, number: int) -> subprocess.Popen[str]:
        service = self.service(f"backend-{number + 1}")
        environment = self._environment(service) | {
            f"{PREFIX}PORT": str(self.ports[number]),
            f"{PREFIX}METRICS_ADDRESS": f"127.0.0.1:{self.metrics_ports[number]}",
        }
        arguments = service.get("command") or json.loads(self._image["CMD"])
        started = start_command(
            *arguments, environment=environment, log=self.backend_log
        )
        process = self._stack.enter_context(started)
        first_line(process)
        return process

    def _environment(self, service: Mapping[str, Any]) -> dict[str, str]:
        """Return the variables of a service, with the addresses of the test."""
        environment: dict[str, str] = dict(service["environment"])
        of_database = self.service("database")["environment"]
        assert conninfo_to_dict(environment[f"{PREFIX}DATABASE_URL"]) == {
            "host": "database",
            "user": of_database["POSTGRES_USER"],
            "password": of_database["POSTGRES_PASSWORD"],
            "dbname": of_database["POSTGRES_DB"],
        }
        volume = self._image["VOLUME"]
        for name in (f"{PREFIX}PEPPER_FILE", f"{PREFIX}ERASURES_FILE"):
            assert environment[name].startswith(f"{volume}/")
            environment[name] = environment[name].replace(volume, str(self._folder))
        return environment | {
            f"{PREFIX}DATABASE_URL": self._url,
            f"{PREFIX}HOST": "127.0.0.1",
        }


def new_certificate(folder: Path) -> ssl.SSLContext:
    """Create a certificate for 127.0.0.1 and its key; return a context for it."""
    openssl = need("openssl", "openssl")
    certificate, key = folder / "fullchain.pem", folder / "privkey.pem"
    command = [openssl, "req", "-x509", "-nodes", "-days", "2", "-newkey", "rsa:2048"]
    command += ["-subj", "/CN=tracker", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=MAX_WAIT_SECONDS)
    return ssl.create_default_context(cafile=str(certificate))


def _free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that are free at present."""
    with ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            for _ in range(count)
        ]
        return [listener.getsockname()[1] for listener in listeners]


@contextmanager
def running_nginx(
    folder: Path, replaced: Mapping[str, str], port: int
) -> Iterator[None]:
    """Run nginx with the site of the folder `deploy`; nginx writes to `nginx.log`.

    Args:
        folder: Folder of its files.
        replaced: New texts by the texts of the site that they replace.
        port: Port of 127.0.0.1 that nginx listens on.
    """
    nginx = need("nginx", "nginx-light")
    site = (DEPLOY / "nginx.conf").read_text()
    for text, other in replaced.items():
        assert text in site
        site = site.replace(text, other)
    (folder / "site.conf").write_text(site)
    # Worker processes of root would change their user, who may not read the folder.
    user = "user root;" if os.geteuid() == 0 else ""
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{name}_temp_path {folder}/{name};" for name in names)
    main = folder / "nginx.conf"
    main.write_text(
        f"{user} daemon off; worker_processes 1; pid {folder}/nginx.pid; events {{}}"
        f" http {{ {paths} include {folder}/site.conf; }}"
    )
    command = [nginx, "-e", "stderr", "-p", str(folder), "-c", str(main)]
    with (folder / "nginx.log").open("ab") as log:
        subprocess.run([*command, "-t"], check=True, stderr=log)
        with subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                _wait_for_port(port, process)
                yield
            finally:
                process.terminate()
                process.wait(MAX_WAIT_SECONDS)


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + MAX_WAIT_SECONDS
    while time.monotonic() < ends:
        assert process.poll() is None, "nginx has ended"
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("nginx does not listen")


def run_output(command: Sequence[str]) -> tuple[int, str]:
    """Run a program; return its exit status and all its output."""
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=MAX_WAIT_SECONDS,
        check=False,
    )
    return result.returncode, result.stdout + result.stderr
