"""SIGKILL at any system call: no event is lost and none is stored twice."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.proving import tracer
from scripts.proving.kills import KillSetup
from scripts.proving.proof import OutcomeCounts, Proof, new_seed, spread
from tests.support.proof_runs import skip_or_fail
from tests.support.running_backend import RunningBackend
from trackerapi import TrackerApi

JOB_SAMPLE, SYNC_SAMPLE, RANDOM_KILLS = 14, 6, 10
LANES = 2

TWO_THREADS = """
import os, sys, threading
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
def write(text):
    for _ in range(3):
        os.write(file, text)
for text in (b"1", b"2"):
    thread = threading.Thread(target=write, args=(text,))
    thread.start()
    thread.join()
write(b"3")
"""
"""Script that writes 111222333; each thread makes three of the calls."""


@pytest.fixture(scope="module")
def traceable() -> None:
    """Skip the test where processes cannot be traced; in CI, fail the test instead."""
    if not tracer.is_possible():
        skip_or_fail("the tracer supports only Linux on x86-64 and AArch64")
    probe = [sys.executable, "-m", "scripts.proving.tracer", "--report", "/dev/null"]
    done = subprocess.run([*probe, "--", "true"], capture_output=True, check=False)
    if done.returncode != 0:
        skip_or_fail("this user may not trace processes")


@pytest.fixture
def setup(backend: RunningBackend, tmp_path: Path) -> KillSetup:
    """Return the folder and the backend of the jobs that are killed."""
    return KillSetup(backend.base_url, backend.api_key, tmp_path)


@pytest.fixture
def tracker(setup: KillSetup) -> Iterator[TrackerApi]:
    """Return a tracker that reads from the backend."""
    with setup.tracker() as asking:
        yield asking


@pytest.fixture
def proof(setup: KillSetup, tracker: TrackerApi) -> Proof:
    """Return a `Proof`, which kills processes and checks the recovery."""
    return Proof(setup, tracker, LANES)


def assert_all_well(counts: OutcomeCounts) -> None:
    """Assert that the backend had each event exactly once after each kill."""
    assert counts.outcomes
    assert [str(outcome) for outcome in counts.wrong] == []


@pytest.mark.usefixtures("traceable")
def test_job_killed_at_system_calls_loses_and_doubles_nothing(
    proof: Proof,
) -> None:
    """After each kill, a sync or rerun delivers every reported event exactly once."""
    counts = proof.kill_job_at_calls(JOB_SAMPLE)

    assert_all_well(counts)
    assert sum(bool(outcome.moment) for outcome in counts.outcomes) > JOB_SAMPLE // 2


@pytest.mark.usefixtures("traceable")
def test_sync_killed_at_system_calls_loses_and_doubles_nothing(
    proof: Proof,
) -> None:
    """After each kill of a sync, the next sync delivers all events exactly once."""
    assert_all_well(proof.kill_sync_at_calls(SYNC_SAMPLE))


def test_jobs_killed_at_random_times_lose_and_double_nothing(proof: Proof) -> None:
    """Jobs killed while they report, claim, deliver or exit lose no event."""
    assert_all_well(proof.kill_at_random(RANDOM_KILLS, new_seed()))


@pytest.mark.usefixtures("traceable")
@pytest.mark.parametrize("kill_at", [2, 6, 9])
def test_tracer_kills_at_the_requested_call_of_any_thread(
    setup: KillSetup, tmp_path: Path, kill_at: int
) -> None:
    """The tracer counts calls of all threads; the call of the kill is not executed."""
    written = tmp_path / "written"
    target = setup.new_job("threads")
    command = [sys.executable, "-c", TWO_THREADS, str(written)]

    # The first call opens the file.
    assert target.trace(command, kill_at + 1).was_killed
    assert written.read_text() == "111222333"[: kill_at - 1]


@pytest.mark.usefixtures("traceable")
def test_traced_command_without_a_kill_ends_as_usual(
    setup: KillSetup, tmp_path: Path
) -> None:
    """A command ends as usual without a kill, or with a kill after its last call."""
    command = [sys.executable, "-c", TWO_THREADS, str(tmp_path / "written")]
    target = setup.new_job("threads")

    assert target.trace(command, 11).status == 0
    undisturbed = target.trace(command)
    assert (undisturbed.status, undisturbed.was_killed) == (0, False)
    assert undisturbed.calls == ["openat", *["write+"] * 6, *["write"] * 3]


def test_sample_is_spread_from_the_first_call_to_the_last() -> None:
    """A sample contains first and last call, and all calls if the sample is large."""
    assert spread(100, 4) == [1, 34, 67, 100]
    assert spread(3, 10) == spread(3, None) == [1, 2, 3]
