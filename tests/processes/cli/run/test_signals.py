"""Signals to `trackerapi run` reach the command once."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from tests.support.command_runs import (
    PYTHON,
    SHELL,
    VARIANTS,
    VARIANTS_WITH_PROGRESS,
    arguments,
    run,
    settings,
)

FORWARDED: Final = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
)

# Prints the name of each signal when it arrives, and extra signals at the end.
LISTENER: Final = (
    "import signal, sys\n"
    "numbers = {int(number) for number in sys.argv[1:]}\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, numbers)\n"
    "print('ready', flush=True)\n"
    "for _ in numbers:\n"
    "    print(signal.Signals(signal.sigwait(numbers)).name, flush=True)\n"
    "sys.stdin.read()\n"
    "print('more', *signal.sigpending(), flush=True)\n"
    "raise SystemExit(9)\n"
)


def running(
    variant: str, *command: str
) -> "AbstractContextManager[subprocess.Popen[bytes]]":
    """Run a command under `run` with the settings of `variant`; kill it afterwards."""
    return start_process(arguments(variant, *command), settings(variant))


@contextmanager
def start_process(
    command: Sequence[str], environment: Mapping[str, str]
) -> "Iterator[subprocess.Popen[bytes]]":
    """Start a command line in a new session; kill its process group after the block."""
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        watchdog = threading.Timer(60, os.killpg, (process.pid, signal.SIGKILL))
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def line_of(process: "subprocess.Popen[bytes]") -> str:
    """Return the next line that a command prints."""
    assert process.stdout is not None
    return process.stdout.readline().decode().rstrip("\n")


@pytest.mark.parametrize("variant", VARIANTS_WITH_PROGRESS)
def test_signals_are_passed_on_once(variant: str) -> None:
    """The command receives each signal once, and `run` waits for its end."""
    numbers = [str(int(number)) for number in FORWARDED]
    with running(variant, *PYTHON, LISTENER, *numbers) as process:
        assert line_of(process) == "ready"
        for number in FORWARDED:
            process.send_signal(number)
            assert line_of(process) == number.name
        printed, _ = process.communicate()

    assert printed == b"more\n"
    assert process.returncode == 9


@pytest.mark.parametrize("variant", VARIANTS_WITH_PROGRESS)
@pytest.mark.parametrize("number", FORWARDED, ids=lambda number: number.name)
def test_signal_that_ends_the_command_ends_run(
    variant: str, number: signal.Signals
) -> None:
    """If a signal ends the command, the same signal ends `run`."""
    with running(variant, *SHELL, "echo ready; exec cat") as process:
        assert line_of(process) == "ready"
        process.send_signal(number)
        process.wait()

    assert process.returncode == -number


@pytest.mark.parametrize("variant", VARIANTS)
def test_command_may_end_as_it_likes_after_a_signal(variant: str) -> None:
    """If the command handles SIGTERM, `run` ends with the command's exit status."""
    with running(variant, *PYTHON, LISTENER, str(int(signal.SIGTERM))) as process:
        assert line_of(process) == "ready"
        process.send_signal(signal.SIGTERM)
        assert line_of(process) == "SIGTERM"
        process.communicate()

    assert process.returncode == 9


@pytest.mark.parametrize("variant", VARIANTS)
def test_signal_of_the_command_to_its_group_is_not_doubled(variant: str) -> None:
    """A signal that the command sends to its process group arrives once."""
    script = (
        "import os, signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})\n"
        "os.killpg(os.getpgrp(), signal.SIGUSR1)\n"
        "signal.sigwait({signal.SIGUSR1})\n"
        "print('ready', flush=True)\n"
        "input()\n"
        "print('more', *signal.sigpending(), flush=True)\n"
    )
    with running(variant, *PYTHON, script) as process:
        assert line_of(process) == "ready"
        printed, _ = process.communicate(b"\n")

    assert (process.returncode, printed) == (0, b"more\n")


@pytest.mark.parametrize("variant", ["settings missing", "recording"])
def test_signal_between_two_attempts_ends_them(variant: str, tmp_path: Path) -> None:
    """SIGTERM after a failed attempt ends `run` before the second attempt."""
    fifo, runs = tmp_path / "fifo", tmp_path / "runs"
    os.mkfifo(fifo)
    script = f"echo run >> {runs}; echo run > {fifo}; exit 3"
    with subprocess.Popen(
        arguments(variant, *SHELL, script, attempts=2),
        env=settings(variant),
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        fifo.read_text()
        process.send_signal(signal.SIGTERM)
        process.communicate()

    assert process.returncode == -signal.SIGTERM
    assert runs.read_text() == "run\n"


@pytest.mark.parametrize("variant", ["nothing to report", "settings missing"])
def test_failing_command_is_attempted_again(variant: str, tmp_path: Path) -> None:
    """With `--attempts`, `run` repeats a failing command until its first success."""
    runs = tmp_path / "runs"
    script = f"echo run >> {runs}; [ $(wc -l < {runs}) = 2 ]"

    done = run(variant, *SHELL, script, attempts=5)

    assert done.returncode == 0
    assert runs.read_text() == "run\nrun\n"


@pytest.mark.parametrize("variant", VARIANTS)
def test_command_that_cannot_be_run_is_attempted_once(variant: str) -> None:
    """A missing command is started once, although five attempts are allowed."""
    done = run(variant, "no-such-command", attempts=5)

    assert done.returncode == 127
    assert done.stderr.count(b"command not found") == 1


def test_signals_are_passed_on_without_sigtimedwait() -> None:
    """Without `sigtimedwait()`, as on macOS, the command receives each signal once."""
    start = (
        "import signal, sys\n"
        "del signal.sigtimedwait\n"
        "del signal.sigwaitinfo\n"
        "from trackerapi.cli.entry import main\n"
        "raise SystemExit(main())\n"
    )
    numbers = [str(int(number)) for number in FORWARDED]
    words = ("run", "--step", "load", "--", *PYTHON, LISTENER, *numbers)
    with start_process([*PYTHON, start, *words], settings("recording")) as process:
        assert line_of(process) == "ready"
        for number in FORWARDED:
            process.send_signal(number)
            assert line_of(process) == number.name
        printed, _ = process.communicate()

    assert printed == b"more\n"
    assert process.returncode == 9


def test_signal_ends_a_hanging_start(tmp_path: Path) -> None:
    """Signals end `run` although reading the key file never returns."""
    start = (
        "import sys, threading\n"
        "from trackerapi.settings.api_key import KeyFile\n"
        "from trackerapi.cli.entry import main\n"
        "KeyFile.read = lambda self: threading.Event().wait()\n"
        "raise SystemExit(main())\n"
    )
    words = ("run", "--step", "load", "--", *SHELL, "trap '' TERM; echo ready; exit 5")
    hanging = {
        **settings("recording"),
        "TRACKERAPI_MODE": "online",
        "TRACKERAPI_API_KEY_FILE": str(tmp_path / "key"),
    }
    with start_process([*PYTHON, start, *words], hanging) as process:
        assert line_of(process) == "ready"
        while process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)

    assert process.returncode == 5
