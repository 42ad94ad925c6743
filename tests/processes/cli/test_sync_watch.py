"""`trackerapi sync --watch`, and signals during a delivery."""

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.fault_proxy import FaultProxy, pass_on
from tests.support.faults import black_hole, unavailable
from tests.support.leftovers import (
    PATIENCE_SECONDS,
    Machine,
)
from tests.support.scripted_server import KEY, NOWHERE
from trackerapi.cli.exit_statuses import (
    FINE,
    INTERRUPTED,
    UNDELIVERED,
)

TERMINATED_WHILE_IT_LOADS = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path, target=None):
        if name == "asyncio.base_events":
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Finder())
"""

TERMINATED_IN_A_FILE = """
import os, signal
from trackerapi.outbox.{module} import {owner}

real = {owner}.{method}

def terminated(*arguments, **members):
    os.kill(os.getpid(), signal.SIGTERM)
    return real(*arguments, **members)

{owner}.{method} = terminated
"""


def terminated_in(module: str, owner: str, method: str) -> str:
    """Return code that sends SIGTERM to its own process when a method is called."""
    return TERMINATED_IN_A_FILE.format(module=module, owner=owner, method=method)


def test_interrupted_sync_ends_without_a_traceback(
    machine: Machine, proxy: FaultProxy
) -> None:
    """Ctrl-C during a request ends `sync` without output; no record is lost."""
    machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
    job_id = machine.leave()

    with proxy.failing(black_hole), _started(machine, "sync") as process:
        proxy.await_requests(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, out, err) == (INTERRUPTED, "", "")
    assert machine.run("sync").status == FINE
    assert len(machine.events(job_id)) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch_delivers_new_leftovers_until_a_signal(
    machine: Machine, number: int
) -> None:
    """`--watch` delivers new leftovers until a signal, then prints the total."""
    machine.outbox.mkdir()
    with _started(machine, "sync", "--watch", "--json") as process:
        first = machine.leave(events=1)
        _await_line(process, "trackerapi: delivered 1 event\n")
        second = machine.leave(events=2)
        _await_line(process, "trackerapi: delivered 2 events\n")
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, err) == (FINE, "")
    assert json.loads(out)["delivered"] == 3
    assert len(machine.events(first)) == 1
    assert len(machine.events(second)) == 2


def test_terminated_watch_delivers_latest_leftovers(machine: Machine) -> None:
    """After SIGTERM, `--watch` delivers leftovers newer than its last pass."""
    machine.outbox.mkdir()
    with _started(machine, "sync", "--watch") as process:
        first = machine.leave(events=1)
        _await_line(process, "trackerapi: delivered 1 event\n")  # now `--watch` sleeps
        last = machine.leave(events=2)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == FINE
    assert len(machine.events(first)) == 1
    assert len(machine.events(last)) == 2


@pytest.mark.parametrize(
    "code",
    [
        TERMINATED_WHILE_IT_LOADS,
        terminated_in("file", "OutboxFile", "_read_state"),
        terminated_in("file", "OutboxFile", "settle"),
        terminated_in("held", "HeldJournal", "refresh"),
        terminated_in("folder", "OutboxFolder", "release"),
    ],
    ids=["import", "claim", "settle", "refresh", "release"],
)
def test_watch_terminated_during_a_pass_delivers_all(
    machine: Machine, tmp_path: Path, code: str
) -> None:
    """SIGTERM during an import or a delivery does not prevent the last pass."""
    (tmp_path / "sitecustomize.py").write_text(code)
    job_id = machine.leave()

    with _started(machine, "sync", "--watch", PYTHONPATH=str(tmp_path)) as process:
        _, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, err) == (FINE, "trackerapi: delivered 3 events\n")
    assert len(machine.events(job_id)) == 3


def test_watch_reports_an_outage_once_and_goes_on(
    machine: Machine, proxy: FaultProxy
) -> None:
    """`--watch` prints one line for an outage, and delivers after the outage."""
    machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
    job_id = machine.leave()

    with proxy.failing(unavailable), _started(machine, "sync", "--watch") as process:
        _await_line(process, "trackerapi: the backend cannot be reached")
        proxy.await_requests(3)
        proxy.fault = pass_on
        _await_line(process, "trackerapi: delivered 3 events\n")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == FINE
    assert len(machine.events(job_id)) == 3


def test_watch_reports_a_second_outage(machine: Machine, proxy: FaultProxy) -> None:
    """`--watch` prints a line for a second outage, after a delivery."""
    machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
    machine.leave(events=1)

    with proxy.failing(unavailable), _started(machine, "sync", "--watch") as process:
        _await_line(process, "trackerapi: the backend cannot be reached")
        proxy.fault = pass_on
        _await_line(process, "trackerapi: delivered 1 event\n")
        proxy.fault = unavailable
        machine.leave(events=2)
        _await_line(process, "trackerapi: the backend cannot be reached")


def test_watch_names_unaccepted_records_once(machine: Machine) -> None:
    """`--watch` prints the line about unaccepted records once, before its end."""
    machine.leave(TRACKERAPI_BASE_URL=NOWHERE)
    (file,) = machine.files

    with _started(machine, "sync", "--watch") as process:
        _await_line(process, f"trackerapi: file {file['id']} (4 records): no backend")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, err) == (UNDELIVERED, "")


def test_interrupted_watch_reports_undelivered_records(
    machine: Machine, proxy: FaultProxy
) -> None:
    """SIGTERM ends a watch with status 1 if records are undelivered."""
    machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
    machine.leave()

    with proxy.down(), _started(machine, "sync", "--watch") as process:
        _await_line(process, "trackerapi: the backend cannot be reached")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == UNDELIVERED
    assert "4 waiting" in out


def test_watch_reads_a_replaced_key(machine: Machine, tmp_path: Path) -> None:
    """After a rejected key, `--watch` reads the key file until a key is accepted."""
    job_id = machine.leave()
    key_file = tmp_path / "key"
    key_file.write_text(KEY)
    settings = {"TRACKERAPI_API_KEY": "", "TRACKERAPI_API_KEY_FILE": str(key_file)}
    machine.name_provider(1)

    with _started(machine, "sync", "--watch", **settings) as process:
        _await_line(process, "trackerapi: the backend at ")
        key_file.write_text(machine.backend.api_key)
        _await_line(process, "trackerapi: delivered 3 events\n")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == FINE
    assert len(machine.events(job_id)) == 3


@pytest.mark.usefixtures("clock")
def test_watch_ends_after_its_timeout(machine: Machine) -> None:
    """`--watch --timeout` ends after the timeout with status 0."""
    job_id = machine.leave()

    assert machine.run("sync", "--watch", "--timeout", "60").status == FINE
    assert len(machine.events(job_id)) == 3


@contextmanager
def _started(
    machine: Machine, *arguments: str, **settings: str
) -> Iterator["subprocess.Popen[str]"]:
    """Start a command; kill the process after the block if it is still running."""
    with subprocess.Popen(
        machine.command(*arguments),
        env=machine.environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        # A command that prints nothing would block `_await_line()` forever.
        watchdog = threading.Timer(PATIENCE_SECONDS, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()


def _await_line(process: "subprocess.Popen[str]", begin: str) -> None:
    """Read the next line of stderr; assert that it begins with `begin`."""
    assert process.stderr is not None
    assert process.stderr.readline().startswith(begin)
