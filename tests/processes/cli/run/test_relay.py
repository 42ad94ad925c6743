"""Bytes, exit statuses and environment of a command under `trackerapi run`."""

import os
import random
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
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
    run_as,
    settings,
    without_own_lines,
)

MEGABYTES: Final = 4

# Copies standard input to stdout and stderr in pieces, to keep all three streams busy.
ECHO_TWICE: Final = (
    "import os\n"
    "while data := os.read(0, 70_000):\n"
    "    for to in (1, 2):\n"
    "        left = data\n"
    "        while left:\n"
    "            left = left[os.write(to, left):]\n"
)

KILLING: Final = sorted(
    {
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGILL,
        signal.SIGTRAP,
        signal.SIGABRT,
        signal.SIGBUS,
        signal.SIGFPE,
        signal.SIGKILL,
        signal.SIGUSR1,
        signal.SIGSEGV,
        signal.SIGUSR2,
        signal.SIGPIPE,
        signal.SIGALRM,
        signal.SIGTERM,
        signal.SIGXCPU,
        signal.SIGXFSZ,
    }
)


@pytest.mark.parametrize("variant", VARIANTS_WITH_PROGRESS)
def test_bytes_pass_unchanged(variant: str) -> None:
    """Four megabytes of random bytes pass stdout and stderr unchanged."""
    data = random.Random(4).randbytes(MEGABYTES << 20)  # noqa: S311 - reproducible

    done = run(variant, *PYTHON, ECHO_TWICE, stdin=data)

    assert done.returncode == 0
    assert done.stdout == data
    # `run` may print one line of its own, before or after the data.
    assert len(done.stderr) - len(data) < 300
    assert done.stderr.startswith(data) or done.stderr.endswith(data)


@pytest.mark.parametrize("variant", VARIANTS_WITH_PROGRESS)
def test_order_of_two_streams_into_one_file_is_kept(variant: str) -> None:
    """With `2>&1`, lines of stdout and stderr keep their order."""
    script = "i=0; while [ $i -lt 500 ]; do echo o$i; echo e$i >&2; i=$((i+1)); done"

    done = subprocess.run(
        arguments(variant, *SHELL, script),
        env=settings(variant),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
    )

    wanted = [f"{stream}{i}".encode() for i in range(500) for stream in "oe"]
    assert without_own_lines(done.stdout).splitlines() == wanted


def test_every_exit_status_passes() -> None:
    """`run` ends with the exit status of the command.

    Statuses from 124 have meanings for shells: `timeout`, a missing command, signals.
    """
    statuses = [*range(4), 64, 78, 100, *range(124, 166), 192, 254, 255]

    def status_of(wanted: int) -> int:
        return run("settings missing", *SHELL, f"exit {wanted}").returncode

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(status_of, statuses)) == statuses


@pytest.mark.parametrize("variant", VARIANTS_WITH_PROGRESS)
@pytest.mark.parametrize("status", [0, 1, 2, 77, 126, 127, 130, 143, 255])
def test_exit_status_passes_in_every_variant(variant: str, status: int) -> None:
    """`run` keeps the exit status, whether or not it records events."""
    assert run(variant, *SHELL, f"exit {status}").returncode == status


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("number", KILLING, ids=lambda number: number.name)
def test_death_by_a_signal_is_repeated_by_run(
    variant: str, number: signal.Signals
) -> None:
    """If a signal ends the command, `run` ends by the same signal."""
    script = (
        "import os, resource, signal\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        f"if {number:d} != signal.SIGKILL:\n"
        f"    signal.signal({number:d}, signal.SIG_DFL)\n"
        f"os.kill(os.getpid(), {number:d})\n"
    )

    done = run(variant, *PYTHON, script)

    assert done.returncode == -number
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("variant", VARIANTS_WITH_PROGRESS)
@pytest.mark.parametrize(
    ("command", "status", "printed"),
    [
        ("no-such-command", 127, "no-such-command: command not found"),
        ("./missing", 127, "./missing: No such file or directory"),
        ("./plain", 126, "./plain: Permission denied"),
        ("plain", 126, "plain: Permission denied"),
        ("./folder", 126, "./folder: Is a directory"),
        ("./plain/x", 126, "./plain/x: Not a directory"),
        ("./orphan", 126, "./orphan: bad interpreter: No such file or directory"),
        ("./binary", 126, "./binary: cannot execute binary file: Exec format error"),
        ("", 127, ": command not found"),
    ],
)
def test_command_that_cannot_be_run_has_the_status_of_a_shell(
    variant: str, command: str, status: int, printed: str, tmp_path: Path
) -> None:
    """A missing command ends with status 127, a command that cannot run with 126."""
    (tmp_path / "plain").write_text("echo")
    (tmp_path / "folder").mkdir()
    for name, content in (("orphan", b"#!/no/such\n"), ("binary", b"\x7fELF\0\1")):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o755)

    done = subprocess.run(
        arguments(variant, command),
        cwd=tmp_path,
        env={
            **settings(variant),
            "PATH": f"{tmp_path}:/usr/bin",
            "PYTHONPATH": str(Path.cwd()),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == status
    assert f"trackerapi: {printed}\n" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("variant", VARIANTS_WITH_PROGRESS)
def test_script_without_an_interpreter_line_is_run_by_the_shell(
    variant: str, tmp_path: Path
) -> None:
    """`run` treats a file without `#!` as a shell does."""
    script = tmp_path / "script"
    script.write_text('echo "$1"; exit 5\n')
    script.chmod(0o755)

    done = run(variant, str(script), "a b")

    assert (done.returncode, done.stdout) == (5, b"a b\n")


@pytest.mark.parametrize("variant", VARIANTS_WITH_PROGRESS)
@pytest.mark.parametrize("given", [{}, {"LC_CTYPE": "C"}, {"LC_ALL": "C.UTF-8"}])
def test_environment_passes_unchanged(variant: str, given: dict[str, str]) -> None:
    """The command has the same environment variables with and without `run`."""
    kept = {
        name: value
        for name, value in settings(variant).items()
        if not name.startswith(("LC_", "LANG"))
    }
    environment = {**kept, **given, "ODD": "a\nb=\udcff"}

    done = run_as(arguments(variant, "env", "-0"), environment)

    def sorted_lines(text: bytes) -> list[bytes]:
        return sorted(text.split(b"\0"))

    plain = run_as(["env", "-0"], environment)
    assert sorted_lines(done.stdout) == sorted_lines(plain.stdout)


@pytest.mark.parametrize("variant", VARIANTS)
def test_signals_and_descriptors_pass_unchanged(variant: str) -> None:
    """`run` changes no ignored signal, no signal mask and no open descriptor."""
    # The mask leaves out the two signals that C libraries reserve.
    script = (
        "import os\n"
        "from pathlib import Path\n"
        "status = Path('/proc/self/status').read_text().splitlines()\n"
        "signals = dict(line.split() for line in status if line.startswith('Sig'))\n"
        "print(int(signals['SigIgn:'], 16) & ~0x180000000, signals['SigBlk:'])\n"
        "print(sorted(os.listdir('/proc/self/fd'), key=int)[:-1])\n"
    )

    def seen(command: list[str]) -> bytes:
        with Path(os.devnull).open("rb") as extra:
            return subprocess.run(
                command,
                env=settings(variant),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                pass_fds=[extra.fileno()],
                check=True,
            ).stdout

    assert seen(arguments(variant, *PYTHON, script)) == seen([*PYTHON, script])


@pytest.mark.parametrize("variant", VARIANTS)
def test_ignored_signal_stays_ignored(variant: str) -> None:
    """Under `nohup`, the command and `run` survive a hang-up."""
    script = "echo begun; read line; kill -HUP $$; echo on"
    command = ["env", "--ignore-signal=HUP", *arguments(variant, *SHELL, script)]

    with subprocess.Popen(
        command, env=settings(variant), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"begun\n"
        running.send_signal(signal.SIGHUP)
        printed, _ = running.communicate(b"\n")

    assert (running.returncode, printed) == (0, b"on\n")


@pytest.mark.parametrize("variant", VARIANTS_WITH_PROGRESS)
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_stay_closed(variant: str, closed: str, tmp_path: Path) -> None:
    """A standard stream that is closed for `run` is also closed for the command."""
    seen = tmp_path / "seen"
    script = (
        'for fd in 0 1 2; do [ -e /proc/$$/fd/$fd ] && all="$all $fd"; done\n'
        f"echo $all > {seen}\nexit 3"
    )

    done = run_as(
        [*SHELL, f'"$@" {closed}', "sh", *arguments(variant, *SHELL, script)],
        settings(variant),
    )

    assert done.returncode == 3
    words = {"0": "<&-", "1": ">&-", "2": "2>&-"}
    left = [fd for fd, word in words.items() if word not in closed.split()]
    assert seen.read_text().split() == left


@pytest.mark.parametrize("variant", VARIANTS_WITH_PROGRESS)
def test_reader_that_goes_away_ends_the_command(variant: str) -> None:
    """`run -- yes | head -c 2` ends with status 141: SIGPIPE ends `yes` and `run`."""
    script = '"$@" | head -c 2; echo "${PIPESTATUS[0]}"'

    done = run_as(
        ["bash", "-c", script, "sh", *arguments(variant, "yes")],
        settings(variant),
    )

    assert done.stdout == b"y\n141\n"


@pytest.mark.parametrize("variant", VARIANTS_WITH_PROGRESS)
def test_output_of_background_processes_passes(variant: str, tmp_path: Path) -> None:
    """Output that a background process writes after the command's end is passed on."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = f"(read line < {fifo}; echo $line) & echo begun; exit 4"

    with subprocess.Popen(
        arguments(variant, *SHELL, script),
        env=settings(variant),
        stdout=subprocess.PIPE,
    ) as running:
        assert running.wait() == 4
        fifo.write_text("late\n")
        assert running.stdout is not None
        printed = running.stdout.read()

    assert printed == b"begun\nlate\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full does not exist")
@pytest.mark.parametrize("variant", VARIANTS_WITH_PROGRESS)
def test_unwritable_output_is_a_failure(variant: str) -> None:
    """If stdout cannot be written, `run` ends with status 1 and prints the reason."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            arguments(variant, "cat"),
            env=settings(variant),
            input=b"data",
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )

    assert done.returncode == 1
    assert b"No space left on device" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full does not exist")
def test_unwritable_errors_change_no_status() -> None:
    """If stderr cannot be written, `run` keeps exit status 0 and passes on stdout."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            arguments("progress", *SHELL, "echo warning >&2; echo data"),
            env=settings("progress"),
            stdout=subprocess.PIPE,
            stderr=full,
            check=False,
        )

    assert (done.returncode, done.stdout) == (0, b"data\n")
