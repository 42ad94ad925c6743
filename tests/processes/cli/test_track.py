"""`trackerapi track` as part of a pipe, with a real backend and without one."""

import os
import signal
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.fault_proxy import FaultProxy
from tests.support.faults import black_hole
from tests.support.leftovers import PATIENCE_SECONDS, Machine
from tests.support.scripted_server import KEY, NOWHERE
from trackerapi import TrackerApi
from trackerapi.cli.exit_statuses import COPY_FAILED, FINE, USAGE
from trackerapi.models import JobEvent

BINARY = bytes(range(256)) * 4_000 + b"\n\0\r\n\xff no end"
TO_NOBODY = {"TRACKERAPI_BASE_URL": NOWHERE}


@pytest.fixture
def job_id(machine: Machine) -> str:
    """Create a job; set `TRACKERAPI_JOB` to its id and return the id."""
    made = str(uuid.uuid4())
    with TrackerApi(machine.backend.api_key, machine.backend.base_url) as tracker:
        tracker.create_job(made, machine.backend.customer_id, "import")
    machine.settings["TRACKERAPI_JOB"] = made
    return made


def track(
    machine: Machine, data: bytes, *arguments: str, **settings: str
) -> "subprocess.CompletedProcess[bytes]":
    """Run `trackerapi track` with `data` as its standard input."""
    return subprocess.run(
        machine.command("track", "--step", "convert", *arguments),
        env=machine.environment(**settings),
        input=data,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


@contextmanager
def tracking(
    machine: Machine, *arguments: str, **settings: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `trackerapi track` with open pipes; kill the process after the block."""
    with subprocess.Popen(
        machine.command("track", "--step", "convert", *arguments),
        env=machine.environment(**settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    ) as process:
        watchdog = threading.Timer(PATIENCE_SECONDS, process.kill)
        watchdog.start()
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()


def pass_on(process: "subprocess.Popen[bytes]", data: bytes) -> None:
    """Write `data` to the process; assert that the process prints the same bytes."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(data)
    passed = b""
    while len(passed) < len(data):
        more = process.stdout.read(len(data) - len(passed))
        assert more, "`trackerapi track` ended before it printed all data"
        passed += more
    assert passed == data


def counts(machine: Machine, job_id: str) -> list[tuple[float | None, float | None]]:
    """Return completed and total count of each progress event, in order."""
    events = machine.events(job_id)
    return [(e.completed, e.total) for e in events if e.kind == "progress"]


def kinds(events: list[JobEvent]) -> list[str]:
    """Return the kinds of `events`, without progress events."""
    return [event.kind for event in events if event.kind != "progress"]


@pytest.mark.parametrize(
    ("arguments", "data", "count"),
    [
        ([], b"one\ntwo\nthree\n", 3),
        ([], b"one\ntwo\nthree", 3),
        ([], b"\n\n", 2),
        (["--null"], b"a\nb\0c\0d", 3),
        (["--bytes"], b"one\ntwo\n", 8),
        ([], BINARY, BINARY.count(b"\n") + 1),
        (["--bytes"], BINARY, len(BINARY)),
    ],
)
def test_data_passes_unchanged_and_is_counted(
    machine: Machine, job_id: str, arguments: list[str], data: bytes, count: int
) -> None:
    """`track` copies all bytes and counts lines, NUL-terminated records or bytes."""
    done = track(machine, data, *arguments, "--total", "5")

    assert (done.returncode, done.stdout, done.stderr) == (FINE, data, b"")
    assert counts(machine, job_id)[-1] == (count, 5)
    assert kinds(machine.events(job_id)) == ["start", "step"]
    assert {event.tag for event in machine.events(job_id)} == {"convert"}


def test_empty_pipe_is_a_step_without_units(machine: Machine, job_id: str) -> None:
    """With empty input, `track` reports the start and the end of the step."""
    done = track(machine, b"")

    assert (done.returncode, done.stdout) == (FINE, b"")
    assert kinds(machine.events(job_id)) == ["start", "step"]


def test_remaining_size_of_a_file_is_the_total(
    machine: Machine, job_id: str, tmp_path: Path
) -> None:
    """For a file on stdin, the total is the size after the current position."""
    path = tmp_path / "data"
    path.write_bytes(b"0123456789")
    with path.open("rb", buffering=0) as data:
        data.seek(4)
        done = subprocess.run(
            machine.command("track", "--step", "convert", "--bytes"),
            env=machine.environment(),
            stdin=data,
            capture_output=True,
            check=True,
        )

    assert done.stdout == b"456789"
    assert counts(machine, job_id)[-1] == (6, 6)


def test_step_can_begin_and_end_elsewhere(machine: Machine, job_id: str) -> None:
    """With `--no-start` and `--no-end`, `track` reports only progress."""
    track(machine, b"one\n", "--no-start", "--no-end")

    assert kinds(machine.events(job_id)) == []
    assert counts(machine, job_id)[-1] == (1, None)


def test_parts_of_a_step_add_up(machine: Machine, job_id: str) -> None:
    """A second run with `--part a` replaces the count of the first run."""
    for part in ("a", "b", "a"):
        track(machine, b"one\ntwo\n", "--part", part, "--no-end")

    parts = [e.part for e in machine.events(job_id) if e.kind == "progress"]
    assert {*parts} == {"a", "b"}
    assert counts(machine, job_id)[-1] == (2, None)


def test_rerun_without_a_part_counts_once(machine: Machine, job_id: str) -> None:
    """Without `--part`, each run reports its progress without a part name."""
    for _ in range(2):
        track(machine, b"one\ntwo\n")

    parts = [e.part for e in machine.events(job_id) if e.kind == "progress"]
    assert {*parts} == {None}


def test_line_passes_before_the_next_one_arrives(machine: Machine, job_id: str) -> None:
    """`track` passes each line on before it has read the next line."""
    with tracking(machine) as process:
        pass_on(process, b"one\n")
        pass_on(process, b"half")
        pass_on(process, b" a line\n")
        process.communicate()

    assert process.returncode == FINE
    assert counts(machine, job_id)[-1] == (2, None)


def test_pipe_without_a_backend_is_the_same_pipe(machine: Machine, job_id: str) -> None:
    """Without a backend, `track` copies all bytes and keeps its records."""
    done = track(machine, BINARY, **TO_NOBODY)

    assert (done.returncode, done.stdout) == (FINE, BINARY)
    assert b"not delivered yet" in done.stderr
    assert kinds(machine.events(job_id)) == []
    assert sum(file["waiting"] for file in machine.files) >= 3


def test_pipe_with_a_wrong_key_is_the_same_pipe(machine: Machine, job_id: str) -> None:
    """With a rejected key, `track` copies all bytes and warns on stderr."""
    done = track(machine, BINARY, TRACKERAPI_API_KEY=KEY)

    assert (done.returncode, done.stdout) == (FINE, BINARY)
    assert b"refused the API key" in done.stderr


@pytest.mark.parametrize("base_url", ["", NOWHERE])
def test_pipe_without_a_disk_is_the_same_pipe(
    machine: Machine, job_id: str, tmp_path: Path, base_url: str
) -> None:
    """Without an outbox, `track` copies all bytes and reports from memory."""
    (tmp_path / "file").write_bytes(b"")
    settings = {"TRACKERAPI_OUTBOX": str(tmp_path / "file" / "outbox")}
    if base_url:
        settings["TRACKERAPI_BASE_URL"] = base_url

    done = track(machine, BINARY, **settings)

    assert (done.returncode, done.stdout) == (FINE, BINARY)
    expected = [] if base_url else ["start", "step"]
    assert kinds(machine.events(job_id)) == expected


def test_pipe_with_full_files_is_the_same_pipe(machine: Machine, job_id: str) -> None:
    """If outbox files cannot grow, `track` copies all bytes and still reports."""
    limited = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh"]

    done = subprocess.run(
        [*limited, *machine.command("track", "--step", "convert")],
        env=machine.environment(),
        input=BINARY,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert (done.returncode, done.stdout) == (FINE, BINARY)
    assert kinds(machine.events(job_id)) == ["start", "step"]


def test_reader_gets_its_end_before_the_delivery(
    machine: Machine, job_id: str, proxy: FaultProxy
) -> None:
    """`track` closes stdout at the end of the data, before it waits for delivery."""
    settings = {
        "TRACKERAPI_BASE_URL": proxy.url,
        "TRACKERAPI_SHUTDOWN_TIMEOUT": "3600",
    }
    with proxy.failing(black_hole), tracking(machine, **settings) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"one\n")
        process.stdin.close()
        assert process.stdout.read() == b"one\n"
        assert process.poll() is None


def test_reader_that_goes_away_ends_the_filter_like_cat(
    machine: Machine, job_id: str
) -> None:
    """If its reader ends, `track` ends by SIGPIPE; the count is reported before."""
    with tracking(machine) as process:
        pass_on(process, b"one\ntwo\n")
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(b"three\n")
        assert process.stderr.read() == b""
        process.wait()

    assert process.returncode == -signal.SIGPIPE
    assert counts(machine, job_id)[-1] == (2, None)
    assert kinds(machine.events(job_id)) == ["start"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_the_filter_like_cat(
    machine: Machine, job_id: str, number: signal.Signals
) -> None:
    """A signal ends `track`; the count is reported, and the step stays open."""
    with tracking(machine) as process:
        pass_on(process, b"one\n")
        process.send_signal(number)
        out, err = process.communicate()

    assert (process.returncode, out, err) == (-number, b"", b"")
    assert counts(machine, job_id)[-1] == (1, None)
    assert kinds(machine.events(job_id)) == ["start"]


def test_ignored_signal_stays_ignored(machine: Machine, job_id: str) -> None:
    """If SIGHUP is ignored, as under `nohup`, `track` continues after SIGHUP."""
    command = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"]
    with subprocess.Popen(
        [*command, *machine.command("track", "--step", "convert")],
        env=machine.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
    ) as process:
        pass_on(process, b"one\n")
        process.send_signal(signal.SIGHUP)
        pass_on(process, b"two\n")
        process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == FINE
    assert counts(machine, job_id)[-1] == (2, None)


def test_full_disk_behind_the_pipe_is_a_failure(machine: Machine, job_id: str) -> None:
    """A write error on stdout ends `track` with a failure, and the step stays open."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            machine.command("track", "--step", "convert"),
            env=machine.environment(),
            input=b"one\n",
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )

    assert done.returncode == COPY_FAILED
    assert done.stderr == b"trackerapi: copying failed: No space left on device\n"
    assert kinds(machine.events(job_id)) == ["start"]


def test_unreadable_data_are_a_failure(machine: Machine, job_id: str) -> None:
    """A read error on stdin ends `track` with a failure, and the step stays open."""
    with Path("/proc/self/mem").open("rb", buffering=0) as unreadable:
        done = subprocess.run(
            machine.command("track", "--step", "convert"),
            env=machine.environment(),
            stdin=unreadable,
            capture_output=True,
            check=False,
        )

    assert done.returncode == COPY_FAILED
    assert done.stderr == b"trackerapi: copying failed: Input/output error\n"
    assert kinds(machine.events(job_id)) == ["start"]


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_closed_stream_is_refused_before_files_are_opened(
    machine: Machine, job_id: str, closed: str
) -> None:
    """If stdin or stdout is closed, `track` ends with status 2 and opens no outbox."""
    done = subprocess.run(
        [
            "sh",
            "-c",
            f'exec "$@" {closed}',
            "sh",
            *machine.command("track", "--step", "x"),
        ],
        env=machine.environment(),
        capture_output=True,
        check=False,
    )

    assert done.returncode == USAGE
    assert done.stderr == b"trackerapi: Bad file descriptor\n"
    assert not machine.outbox.exists()


def test_non_blocking_pipe_is_waited_for(machine: Machine, job_id: str) -> None:
    """`track` waits for data and for space in pipes that are set to non-blocking."""
    (stdin, to_filter), (from_filter, stdout) = os.pipe(), os.pipe()
    os.set_blocking(stdin, False)
    os.set_blocking(stdout, False)
    with subprocess.Popen(
        machine.command("track", "--step", "convert"),
        env=machine.environment(),
        stdin=stdin,
        stdout=stdout,
    ) as process:
        os.close(stdin)
        os.close(stdout)
        with os.fdopen(to_filter, "wb") as into, os.fdopen(from_filter, "rb") as out:
            into.write(b"one\n")
            into.flush()
            assert out.readline() == b"one\n"
            writer = threading.Thread(target=lambda: (into.write(BINARY), into.close()))
            writer.start()
            passed = out.read()
            writer.join()

    assert passed == BINARY
    assert process.returncode == FINE


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], b"--step"),
        (["--step", "a", "--bytes", "--null"], b"not allowed with argument --bytes"),
        (["--step", "a", "--total", "-1"], b"total must be 0 or more"),
        (["--step", "a", "--total", "x"], b"not a number: 'x'"),
        (["--step", "a\nb"], b"must not be blank or contain control"),
        (["--step", "a", "--part", ""], b"--part: must not be blank"),
    ],
)
def test_wrong_usage_of_track_ends_with_status_two(
    machine: Machine, job_id: str, arguments: list[str], reason: bytes
) -> None:
    """A usage error ends with status 2 before `track` copies any data."""
    done = subprocess.run(
        machine.command("track", *arguments),
        env=machine.environment(),
        input=b"data\n",
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (USAGE, b"")
    assert reason in done.stderr.splitlines()[-1]
