"""`trackerapi run` where nothing can be reported: the command is what it was."""

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
    """Runs a command in a lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.settings = {
            "TRACKERAPI_API_KEY": lab.backend.api_key,
            # A busy machine may take its time until it knows what is wrong.
            "TRACKERAPI_SHUTDOWN_TIMEOUT": HOUR,
        }

    def run(
        self, *options: str, meanwhile: Callable[[], object] = lambda: None
    ) -> tuple[float, str]:
        """Run the command; return what `run` took for its end and had to say.

        Asserts that the command was not changed by anything.

        Args:
            *options: Of `run`.
            meanwhile: What has to come before the command ends; to load and to
                connect is no part of the end.
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
    """Create the job of a lab; return what runs a command of it."""
    key, url = lab.backend.api_key, lab.backend.base_url
    with TrackerApi(key, url, outbox=lab.folder / "creation") as tracker:
        tracker.create_job(lab.job_id, lab.backend.customer_id, "no_configuration")
    return Runner(lab)


@pytest.fixture(params=[(), ("--progress", r"(\d+)%")], ids=["plain", "progress"])
def options(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Return options by which the command is watched, and not."""
    words: tuple[str, ...] = request.param
    return words


def hanging_up(_: socket.socket) -> NoReturn:
    """Welcome nobody: what was connected is ended at once."""
    raise EOFError


def test_dead_backend_changes_nothing(runner: Runner, options: tuple[str, ...]) -> None:
    """One line says where the events wait."""
    with runner.lab.proxy.down():
        _, told = runner.run(*options)

    assert told.startswith("trackerapi: the backend cannot be reached (")
    assert told.count("\n") == 1


def test_backend_that_is_known_to_be_dead_delays_no_end(
    runner: Runner, options: tuple[str, ...]
) -> None:
    """Whatever time the end may take, it does not."""
    proxy = runner.lab.proxy

    def is_known() -> None:
        proxy.await_connections(2)  # the second one, since the first one had failed
        proxy.go_down()

    with proxy.welcoming(hanging_up):
        seconds, told = runner.run(*options, meanwhile=is_known)

    assert told.startswith("trackerapi: the backend cannot be reached (")
    assert told.count("\n") == 1
    assert seconds <= EXIT_SECONDS


def test_silent_backend_changes_nothing(
    runner: Runner, options: tuple[str, ...]
) -> None:
    """A backend that never answers delays the end by no more than is promised."""
    proxy = runner.lab.proxy
    del runner.settings["TRACKERAPI_SHUTDOWN_TIMEOUT"]
    with proxy.failing(faults.black_hole):
        seconds, told = runner.run(*options, meanwhile=lambda: proxy.await_requests(1))

    assert told.startswith("trackerapi: not delivered yet: ")
    assert told.count("\n") == 1
    assert seconds <= EXIT_SECONDS


def test_wrong_key_changes_nothing(runner: Runner) -> None:
    """One line says what to do, and does not show the key."""
    key = wrong_secret(runner.lab.backend.api_key)
    runner.settings["TRACKERAPI_API_KEY"] = key

    _, told = runner.run()

    assert told.startswith("trackerapi: the backend at http://127.0.0.1:")
    assert "refused the API key (HTTP 401" in told
    assert told.count("\n") == 1
    assert key not in told


def test_missing_settings_change_nothing(runner: Runner) -> None:
    """One line names the variable."""
    runner.settings["TRACKERAPI_API_KEY"] = ""

    _, told = runner.run()

    assert told.startswith("trackerapi: nothing is reported: TRACKERAPI_API_KEY: ")
    assert told.count("\n") == 1


@pytest.mark.parametrize("backend_is_up", [True, False])
def test_full_disk_changes_nothing(
    runner: Runner, small_disk: Path, backend_is_up: bool
) -> None:
    """A disk without any room costs a line, and another one if events are lost."""
    runner.lab.settings["TRACKERAPI_OUTBOX"] = str(small_disk / "outbox")
    fill(small_disk)

    _assert_told(runner, backend_is_up=backend_is_up)


@pytest.mark.parametrize("backend_is_up", [True, False])
def test_read_only_outbox_changes_nothing(
    runner: Runner, read_only_disk: Path, backend_is_up: bool
) -> None:
    """So does an outbox in which nobody can write."""
    runner.lab.settings["TRACKERAPI_OUTBOX"] = str(read_only_disk)

    _assert_told(runner, backend_is_up=backend_is_up)


@pytest.mark.parametrize("backend_is_up", [True, False])
def test_outbox_below_a_file_changes_nothing(
    runner: Runner, backend_is_up: bool
) -> None:
    """So does an outbox that cannot be made."""
    (runner.lab.folder / "file").write_bytes(b"")
    runner.lab.settings["TRACKERAPI_OUTBOX"] = str(runner.lab.folder / "file" / "x")

    _assert_told(runner, backend_is_up=backend_is_up)


def _assert_told(runner: Runner, *, backend_is_up: bool) -> None:
    if backend_is_up:
        _, told = runner.run()
        assert told.count("\n") == 1
    else:
        with runner.lab.proxy.down():
            _, told = runner.run()
        assert "trackerapi: 2 records were lost: " in told
        assert told.count("\n") == 2
    assert "outbox" in told.splitlines()[0]
