"""Killed anywhere, a process loses nothing and doubles nothing."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.proving import tracer
from scripts.proving.kills import Ground
from scripts.proving.proof import Proof, Tally, new_seed, spread
from tests.support.proof_runs import missing
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
"""Writes 111222333; each thread makes few calls."""


@pytest.fixture(scope="module")
def traceable() -> None:
    """Go on only where processes can be traced."""
    if not tracer.is_possible():
        missing("system calls are only known of Linux on x86-64 or AArch64")
    probe = [sys.executable, "-m", "scripts.proving.tracer", "--report", "/dev/null"]
    done = subprocess.run([*probe, "--", "true"], capture_output=True, check=False)
    if done.returncode != 0:
        missing("this user may not trace processes")


@pytest.fixture
def ground(backend: RunningBackend, tmp_path: Path) -> Ground:
    """Return a place for kills."""
    return Ground(backend.base_url, backend.api_key, tmp_path)


@pytest.fixture
def tracker(ground: Ground) -> Iterator[TrackerApi]:
    """Return a tracker that asks."""
    with ground.tracker() as asking:
        yield asking


@pytest.fixture
def proof(ground: Ground, tracker: TrackerApi) -> Proof:
    """Return what kills."""
    return Proof(ground, tracker, LANES)


def assert_all_well(tally: Tally) -> None:
    """Assert that after each kill everything was there once."""
    assert tally.outcomes
    assert [str(outcome) for outcome in tally.wrong] == []


@pytest.mark.usefixtures("traceable")
def test_job_that_is_killed_at_its_system_calls_loses_and_doubles_nothing(
    proof: Proof,
) -> None:
    """A sync or a rerun brings all whose calls had returned, each once."""
    tally = proof.kill_job_at_calls(JOB_SAMPLE)

    assert_all_well(tally)
    assert sum(bool(outcome.moment) for outcome in tally.outcomes) > JOB_SAMPLE // 2


@pytest.mark.usefixtures("traceable")
def test_sync_that_is_killed_at_its_system_calls_loses_and_doubles_nothing(
    proof: Proof,
) -> None:
    """The next sync brings what a killed one has not, and nothing again."""
    assert_all_well(proof.kill_sync_at_calls(SYNC_SAMPLE))


def test_jobs_that_are_killed_at_random_lose_and_double_nothing(proof: Proof) -> None:
    """Killed while they report, take over, deliver or end, jobs keep what they said."""
    assert_all_well(proof.kill_at_random(RANDOM_KILLS, new_seed()))


@pytest.mark.usefixtures("traceable")
@pytest.mark.parametrize("kill_at", [2, 6, 9])
def test_tracer_kills_at_the_call_asked_for_whichever_thread_makes_it(
    ground: Ground, tmp_path: Path, kill_at: int
) -> None:
    """Calls are counted over all threads; the one of the kill does not take place."""
    written = tmp_path / "written"
    plot = ground.plot("threads")
    command = [sys.executable, "-c", TWO_THREADS, str(written)]

    # The first call opens the file.
    assert plot.trace(command, kill_at + 1).was_killed
    assert written.read_text() == "111222333"[: kill_at - 1]


@pytest.mark.usefixtures("traceable")
def test_tracer_lets_be_what_it_is_not_to_kill(ground: Ground, tmp_path: Path) -> None:
    """Without a kill, or with one beyond the end, a command ends as ever."""
    command = [sys.executable, "-c", TWO_THREADS, str(tmp_path / "written")]
    plot = ground.plot("threads")

    assert plot.trace(command, 11).status == 0
    undisturbed = plot.trace(command)
    assert (undisturbed.status, undisturbed.was_killed) == (0, False)
    assert undisturbed.calls == ["openat", *["write+"] * 6, *["write"] * 3]


def test_sample_is_spread_from_the_first_call_to_the_last() -> None:
    """A sample holds begin and end, and all if it is large enough."""
    assert spread(100, 4) == [1, 34, 67, 100]
    assert spread(3, 10) == spread(3, None) == [1, 2, 3]
