"""`trackerapi run` while reporting fails: output and exit status are unchanged."""

import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

import pytest

from scripts.proving.commands import environment, python
from tests.support import faults
from tests.support.proof_runs import EXIT_SECONDS, HOUR, Lab, fill, wrong_secret
from trackerapi import TrackerApi

COMMAND: Final = ("sh", "-c", "cat; echo err >&2; exit 17")


class Runner:
    """Runner of a command under `trackerapi run` in a lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.settings = {
            "TRACKERAPI_API_KEY": lab.backend.api_key,
            # A busy machine may detect the failure late, after a shorter timeout.
            "TRACKERAPI_SHUTDOWN_TIMEOUT": HOUR,
        }

    def run(
        self, *options: str, meanwhile: Callable[[], object] = lambda: None
    ) -> tuple[float, str]:
        """Run the command; return seconds until the exit and the messages of `run`.

        Assert that output and exit status of the command are unchanged.

        Args:
            *options: Options of `run`.
            meanwhile: Called before the command ends; its duration, such as the time to
                load and to connect, is excluded from the seconds.
        """
        words = ("run", "--job", self.lab.job_id, "--step", "load", *options, "--")
        settings = {**self.settings, **self.lab.settings}
        with subprocess.Popen(
            python("trackerapi", *words, *COMMAND),
            env=environment(self.lab.proxy.url, self.lab.outbox, **settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            meanwhile()
            began = time.monotonic()
            out, err = process.communicate(b"in\0out\n")
            seconds = time.monotonic() - began
        assert (process.returncode, out) == (17, b"in\0out\n"), err
        assert err.startswith(b"err\n")
        return seconds, err.decode().removeprefix("err\n")


@pytest.fixture
def runner(lab: Lab) -> Runner:
    """Create the job of a lab; return a runner."""
    key, url = lab.backend.api_key, lab.backend.base_url
    with TrackerApi(key, url, outbox=lab.folder / "creation") as tracker:
        tracker.create_job(lab.job_id, lab.backend.customer_id, "no_configuration")
    return Runner(lab)


@pytest.fixture(params=[(), ("--progress", r"(\d+)%")], ids=["plain", "progress"])
def options(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Return options without and with `--progress`."""
    words: tuple[str, ...] = request.param
    return words


def refuse_handshake(_: socket.socket) -> NoReturn:
    """Refuse each new connection: its handshake raises EOFError."""
    raise EOFError


def test_dead_backend_changes_nothing(runner: Runner, options: tuple[str, ...]) -> None:
    """One message line says that the backend cannot be reached."""
    with runner.lab.proxy.down():
        _, messages = runner.run(*options)

    assert messages.startswith("trackerapi: the backend cannot be reached (")
    assert messages.count("\n") == 1


def test_backend_known_to_be_down_delays_no_exit(
    runner: Runner, options: tuple[str, ...]
) -> None:
    """The exit takes at most EXIT_SECONDS, although the shutdown timeout is an hour."""
    proxy = runner.lab.proxy

    def is_known() -> None:
        proxy.await_connections(2)  # The first attempt has failed by then.
        proxy.go_down()

    with proxy.with_handshake(refuse_handshake):
        seconds, messages = runner.run(*options, meanwhile=is_known)

    assert messages.startswith("trackerapi: the backend cannot be reached (")
    assert messages.count("\n") == 1
    assert seconds <= EXIT_SECONDS


def test_silent_backend_changes_nothing(
    runner: Runner, options: tuple[str, ...]
) -> None:
    """A backend that never answers delays the exit by at most EXIT_SECONDS."""
    proxy = runner.lab.proxy
    del runner.settings["TRACKERAPI_SHUTDOWN_TIMEOUT"]
    with proxy.failing(faults.black_hole):
        seconds, messages = runner.run(
            *options, meanwhile=lambda: proxy.await_requests(1)
        )

    assert messages.startswith("trackerapi: not delivered yet: ")
    assert messages.count("\n") == 1
    assert seconds <= EXIT_SECONDS


def test_wrong_key_changes_nothing(runner: Runner) -> None:
    """One message line contains HTTP 401 and omits the key."""
    key = wrong_secret(runner.lab.backend.api_key)
    runner.settings["TRACKERAPI_API_KEY"] = key

    _, messages = runner.run()

    assert messages.startswith("trackerapi: the backend at http://127.0.0.1:")
    assert "refused the API key (HTTP 401" in messages
    assert messages.count("\n") == 1
    assert key not in messages


def test_missing_settings_change_nothing(runner: Runner) -> None:
    """One message line names the missing variable TRACKERAPI_API_KEY."""
    runner.settings["TRACKERAPI_API_KEY"] = ""

    _, messages = runner.run()

    assert messages.startswith("trackerapi: nothing is reported: TRACKERAPI_API_KEY: ")
    assert messages.count("\n") == 1


@pytest.mark.parametrize("backend_is_up", [True, False])
def test_full_disk_changes_nothing(
    runner: Runner, small_disk: Path, backend_is_up: bool
) -> None:
    """A full disk causes one warning, and a second warning if events are lost."""
    runner.lab.settings["TRACKERAPI_OUTBOX"] = str(small_disk / "outbox")
    fill(small_disk)

    _assert_messages(runner, backend_is_up=backend_is_up)


@pytest.mark.parametrize("backend_is_up", [True, False])
def test_read_only_outbox_changes_nothing(
    runner: Runner, read_only_disk: Path, backend_is_up: bool
) -> None:
    """A read-only outbox causes one warning, and a second one if events are lost."""
    runner.lab.settings["TRACKERAPI_OUTBOX"] = str(read_only_disk)

    _assert_messages(runner, backend_is_up=backend_is_up)


@pytest.mark.parametrize("backend_is_up", [True, False])
def test_outbox_below_a_file_changes_nothing(
    runner: Runner, backend_is_up: bool
) -> None:
    """A missing outbox causes one warning, and a second one if events are lost."""
    (runner.lab.folder / "file").write_bytes(b"")
    runner.lab.settings["TRACKERAPI_OUTBOX"] = str(runner.lab.folder / "file" / "x")

    _assert_messages(runner, backend_is_up=backend_is_up)


def _assert_messages(runner: Runner, *, backend_is_up: bool) -> None:
    """Assert a warning about the outbox, and a second warning if events are lost."""
    if backend_is_up:
        _, messages = runner.run()
        assert messages.count("\n") == 1
    else:
        with runner.lab.proxy.down():
            _, messages = runner.run()
        assert "trackerapi: 2 records were lost: " in messages
        assert messages.count("\n") == 2
    assert "outbox" in messages.splitlines()[0]
