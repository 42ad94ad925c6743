"""A command under `trackerapi run` on a terminal: output, keys, size, job control."""

import os
import select
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pytest

from scripts.project import ROOT
from tests.support.command_runs import (
    PYTHON,
    VARIANTS_WITH_PROGRESS,
    arguments,
    settings,
)

PATIENCE_SECONDS: Final = 60.0
SMALL_SHELL: Final = ROOT / "tests/support/small_shell.py"


class Terminal:
    """A terminal with a shell that runs one command in the foreground."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (31, 97))
        self._talk, their_talk = socket.socketpair()
        self._talk.settimeout(PATIENCE_SECONDS)
        with their_talk:
            self._shell = subprocess.Popen(
                [sys.executable, SMALL_SHELL, str(their_talk.fileno()), *command],
                env=environment,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                start_new_session=True,
                pass_fds=[their_talk.fileno()],
            )
        self.before = termios.tcgetattr(theirs)
        self._theirs = theirs
        self._seen = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._shell.kill()
        self._shell.wait()
        self._talk.close()
        os.close(self.ours)
        os.close(self._theirs)

    @property
    def modes(self) -> object:
        """Terminal attributes, as `termios.tcgetattr()` returns them."""
        return termios.tcgetattr(self._theirs)

    def type(self, keys: bytes) -> None:
        """Write `keys` to the terminal, as a keyboard does."""
        os.write(self.ours, keys)

    def resize(self, rows: int, columns: int) -> None:
        """Give the window another size."""
        termios.tcsetwinsize(self.ours, (rows, columns))

    def shown_up_to(self, end: bytes) -> bytes:
        """Wait until `end` is shown; return the output since the last call."""
        while end not in self._seen:
            ready, _, _ = select.select([self.ours], [], [], PATIENCE_SECONDS)
            assert ready, f"{end!r} is not shown, but {self._seen!r}"
            self._seen += os.read(self.ours, 65536)
        shown, found, self._seen = self._seen.partition(end)
        return shown + found

    def next_state(self) -> str:
        """Wait for the next state of the command, such as "exited 0"."""
        return self._talk.recv(100).decode().rstrip("\n")

    def continue_stopped(self) -> None:
        """Let a stopped command continue, as `fg` does."""
        self._talk.sendall(b"\n")


@pytest.fixture(params=VARIANTS_WITH_PROGRESS)
def variant(request: pytest.FixtureRequest) -> str:
    """Return the name of one entry of `VARIANTS_WITH_PROGRESS`."""
    name: str = request.param
    return name


def on_terminal(variant: str, *command: str) -> Terminal:
    """Run a command under `trackerapi run` on a terminal, as `variant` states."""
    return Terminal(arguments(variant, *command), settings(variant))


def test_command_sees_a_terminal_of_the_right_size(variant: str) -> None:
    """All three streams are terminals, with the rows and columns of the window."""
    script = (
        "import os\n"
        "print([os.isatty(fd) for fd in (0, 1, 2)])\n"
        "print([tuple(os.get_terminal_size(fd)) for fd in (0, 1, 2)])\n"
        "print(open('/dev/tty').isatty(), '-end-')\n"
    )

    with on_terminal(variant, *PYTHON, script) as terminal:
        lines = terminal.shown_up_to(b"-end-").decode().splitlines()
        assert terminal.next_state() == "exited 0"

    assert lines[-3:] == ["[True, True, True]", f"{[(97, 31)] * 3}", "True -end-"]


def test_bytes_on_a_terminal_are_those_without_run(variant: str) -> None:
    """The terminal shows the same bytes of the command with and without `run`."""
    script = (
        "import os\n"
        "for piece in range(40):\n"
        "    data = bytes(range(256)) * 8 + b'\\n'\n"
        "    while data:\n"
        "        data = data[os.write(1 + piece % 2, data):]\n"
        "os.write(1, b'-end-')\n"
    )
    plain = Terminal([*PYTHON, script], os.environ)
    with plain, on_terminal(variant, *PYTHON, script) as terminal:
        wanted = plain.shown_up_to(b"-end-")
        shown = terminal.shown_up_to(b"-end-")
        assert terminal.next_state() == "exited 0"
        assert terminal.modes == terminal.before

    assert shown.endswith(wanted)
    own = shown.removesuffix(wanted)
    assert not own or own.startswith(b"trackerapi: ")


def test_keys_reach_the_command(variant: str) -> None:
    """The command reads typed bytes unchanged, both in line mode and in raw mode."""
    script = (
        "import os, tty\n"
        "print(repr(input()), '-line-')\n"
        "import termios\n"
        "before = termios.tcgetattr(0)\n"
        "tty.setraw(0)\n"
        "os.write(1, b'-raw-')\n"
        "data = b''\n"
        "while len(data) < 256:\n"
        "    data += os.read(0, 256)\n"
        "termios.tcsetattr(0, termios.TCSANOW, before)\n"
        "print(data == bytes(range(256)), '-end-')\n"
    )

    with on_terminal(variant, *PYTHON, script) as terminal:
        terminal.type(b"a line\n")
        assert b"'a line' -line-" in terminal.shown_up_to(b"-line-")
        terminal.shown_up_to(b"-raw-")
        terminal.type(bytes(range(256)))
        assert b"True -end-" in terminal.shown_up_to(b"-end-")
        assert terminal.next_state() == "exited 0"
        assert terminal.modes == terminal.before


def test_new_size_of_the_window_reaches_the_command(variant: str) -> None:
    """A command that redraws at SIGWINCH draws with the new size."""
    script = (
        "import os, signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})\n"
        "signal.signal(signal.SIGWINCH, print)\n"
        "print('-ready-', flush=True)\n"
        "while tuple(os.get_terminal_size(1)) != (120, 50):\n"
        "    signal.sigwait({signal.SIGWINCH})\n"
        "print('-drawn-', flush=True)\n"
    )

    with on_terminal(variant, *PYTHON, script) as terminal:
        terminal.shown_up_to(b"-ready-")
        terminal.resize(50, 120)
        terminal.shown_up_to(b"-drawn-")
        assert terminal.next_state() == "exited 0"


@pytest.mark.parametrize(
    ("key", "number"), [(b"\x03", signal.SIGINT), (b"\x1c", signal.SIGQUIT)]
)
def test_key_that_ends_the_command_ends_run_alike(
    variant: str, key: bytes, number: signal.Signals
) -> None:
    """If Ctrl-C or Ctrl-Backslash ends the command, `run` ends by the same signal."""
    script = (
        "import os, resource, signal\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        "os.write(1, b'-ready-')\n"
        "signal.pause()\n"
    )

    with on_terminal(variant, *PYTHON, script) as terminal:
        terminal.shown_up_to(b"-ready-")
        terminal.type(key)
        assert terminal.next_state() == f"killed {number:d}"
        assert terminal.modes == terminal.before


def test_ctrl_c_reaches_the_command_once(variant: str) -> None:
    """Ctrl-C signals `run` and the command; `run` sends no second signal."""
    script = (
        "import signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})\n"
        "print('-ready-', flush=True)\n"
        "signal.sigwait({signal.SIGINT})\n"
        "print('-int-', flush=True)\n"
        "input()\n"
        "print(signal.sigpending(), '-end-', flush=True)\n"
    )

    with on_terminal(variant, *PYTHON, script) as terminal:
        terminal.shown_up_to(b"-ready-")
        terminal.type(b"\x03")
        terminal.shown_up_to(b"-int-")
        terminal.type(b"\n")
        assert b"set() -end-" in terminal.shown_up_to(b"-end-")
        assert terminal.next_state() == "exited 0"


def test_job_control_works_as_without_run(variant: str) -> None:
    """Ctrl-Z stops the command and `run`, `fg` continues both, repeatedly."""
    script = (
        "import signal\n"
        "signal.signal(signal.SIGCONT, print)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCONT})\n"
        "print('-ready-', flush=True)\n"
        "for _ in range(3):\n"
        "    signal.sigwait({signal.SIGCONT})\n"
        "    print('-on-', flush=True)\n"
        "print(repr(input()), signal.sigpending(), '-end-', flush=True)\n"
        "raise SystemExit(6)\n"
    )

    with on_terminal(variant, *PYTHON, script) as terminal:
        terminal.shown_up_to(b"-ready-")
        for _ in range(3):
            terminal.type(b"\x1a")
            assert terminal.next_state() == f"stopped {signal.SIGTSTP:d}"
            terminal.continue_stopped()
            terminal.shown_up_to(b"-on-")
        terminal.type(b"typed\n")
        assert b"'typed' set() -end-" in terminal.shown_up_to(b"-end-")
        assert terminal.next_state() == "exited 6"


@pytest.fixture(autouse=True)
def no_core_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run the test in a temporary folder; fail if the folder has a core file."""
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.glob("core*"))
