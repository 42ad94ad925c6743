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
    Desk,
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
    desk: Desk, proxy: FaultProxy
) -> None:
    """Ctrl-C during a request ends `sync` without output; no record is lost."""
    desk.settings["TRACKERAPI_BASE_URL"] = proxy.url
    job_id = desk.leave()

    with proxy.failing(black_hole), _started(desk, "sync") as process:
        proxy.await_requests(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, out, err) == (INTERRUPTED, "", "")
    assert desk.run("sync").status == FINE
    assert len(desk.events(job_id)) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watch_delivers_new_leftovers_until_a_signal(desk: Desk, number: int) -> None:
    """`--watch` delivers new leftovers until a signal, then prints the total."""
    desk.outbox.mkdir()
    with _started(desk, "sync", "--watch", "--json") as process:
        first = desk.leave(events=1)
        _await_line(process, "trackerapi: delivered 1 event\n")
        second = desk.leave(events=2)
        _await_line(process, "trackerapi: delivered 2 events\n")
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, err) == (FINE, "")
    assert json.loads(out)["delivered"] == 3
    assert len(desk.events(first)) == 1
    assert len(desk.events(second)) == 2


def test_terminated_watch_delivers_latest_leftovers(desk: Desk) -> None:
    """After SIGTERM, `--watch` delivers leftovers newer than its last pass."""
    desk.outbox.mkdir()
    with _started(desk, "sync", "--watch") as process:
        first = desk.leave(events=1)
        _await_line(process, "trackerapi: delivered 1 event\n")  # now `--watch` sleeps
        last = desk.leave(events=2)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == FINE
    assert len(desk.events(first)) == 1
    assert len(desk.events(last)) == 2


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
    desk: Desk, tmp_path: Path, code: str
) -> None:
    """SIGTERM during an import or a delivery does not prevent the last pass."""
    (tmp_path / "sitecustomize.py").write_text(code)
    job_id = desk.leave()

    with _started(desk, "sync", "--watch", PYTHONPATH=str(tmp_path)) as process:
        _, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, err) == (FINE, "trackerapi: delivered 3 events\n")
    assert len(desk.events(job_id)) == 3


def test_watch_reports_an_outage_once_and_goes_on(
    desk: Desk, proxy: FaultProxy
) -> None:
    """`--watch` prints one line for an outage, and delivers after the outage."""
    desk.settings["TRACKERAPI_BASE_URL"] = proxy.url
    job_id = desk.leave()

    with proxy.failing(unavailable), _started(desk, "sync", "--watch") as process:
        _await_line(process, "trackerapi: the backend cannot be reached")
        proxy.await_requests(3)
        proxy.fault = pass_on
        _await_line(process, "trackerapi: delivered 3 events\n")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == FINE
    assert len(desk.events(job_id)) == 3


def test_watch_reports_a_second_outage(desk: Desk, proxy: FaultProxy) -> None:
    """`--watch` prints a line for a second outage, after a delivery."""
    desk.settings["TRACKERAPI_BASE_URL"] = proxy.url
    desk.leave(events=1)

    with proxy.failing(unavailable), _started(desk, "sync", "--watch") as process:
        _await_line(process, "trackerapi: the backend cannot be reached")
        proxy.fault = pass_on
        _await_line(process, "trackerapi: delivered 1 event\n")
        proxy.fault = unavailable
        desk.leave(events=2)
        _await_line(process, "trackerapi: the backend cannot be reached")


def test_watch_names_unaccepted_records_once(desk: Desk) -> None:
    """`--watch` prints the line about unaccepted records once, before its end."""
    desk.leave(TRACKERAPI_BASE_URL=NOWHERE)
    (file,) = desk.files

    with _started(desk, "sync", "--watch") as process:
        _await_line(process, f"trackerapi: file {file['id']} (4 records): no backend")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, err) == (UNDELIVERED, "")


def test_interrupted_watch_reports_undelivered_records(
    desk: Desk, proxy: FaultProxy
) -> None:
    """SIGTERM ends a watch with status 1 if records are undelivered."""
    desk.settings["TRACKERAPI_BASE_URL"] = proxy.url
    desk.leave()

    with proxy.down(), _started(desk, "sync", "--watch") as process:
        _await_line(process, "trackerapi: the backend cannot be reached")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == UNDELIVERED
    assert "4 waiting" in out


def test_watch_reads_a_replaced_key(desk: Desk, tmp_path: Path) -> None:
    """After a rejected key, `--watch` reads the key file until a key is accepted."""
    job_id = desk.leave()
    key_file = tmp_path / "key"
    key_file.write_text(KEY)
    settings = {"TRACKERAPI_API_KEY": "", "TRACKERAPI_API_KEY_FILE": str(key_file)}
    desk.name_provider(1)

    with _started(desk, "sync", "--watch", **settings) as process:
        _await_line(process, "trackerapi: the backend at ")
        key_file.write_text(desk.backend.api_key)
        _await_line(process, "trackerapi: delivered 3 events\n")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == FINE
    assert len(desk.events(job_id)) == 3


@pytest.mark.usefixtures("clock")
def test_watch_ends_after_its_timeout(desk: Desk) -> None:
    """`--watch --timeout` ends after the timeout with status 0."""
    job_id = desk.leave()

    assert desk.run("sync", "--watch", "--timeout", "60").status == FINE
    assert len(desk.events(job_id)) == 3


@contextmanager
def _started(
    desk: Desk, *arguments: str, **settings: str
) -> Iterator["subprocess.Popen[str]"]:
    """Start a command; kill the process after the block if it is still running."""
    with subprocess.Popen(
        desk.command(*arguments),
        env=desk.environment(**settings),
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
