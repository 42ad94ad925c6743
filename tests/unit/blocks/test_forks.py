"""Forks at awkward moments, with real processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.blocks.conftest import story

FORKS_WITHIN_A_FORK = """
import os, signal, sys

def fork():
    child = os.fork()
    if not child:
        if sys.argv[2] == "report":
            job.note("child")
            tracker.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

def interrupted():
    if is_armed:
        is_armed.clear()
        os.kill(os.getpid(), signal.SIGUSR1)
        for _ in range(1000):
            pass

is_armed = []
# Hooks are called in turned order: this one while all others hold their locks.
os.register_at_fork(before=interrupted)
signal.signal(signal.SIGUSR1, lambda number, frame: fork())

from trackerapi import TrackerApi
tracker = TrackerApi("key", "http://127.0.0.1:9", mode="offline", outbox=sys.argv[1])
with tracker.run_job("job", 142, "imaging") as job:
    is_armed.append(1)
    fork()
    assert not is_armed
    print(callable(signal.getsignal(signal.SIGTERM)))
"""

FORKS_IN_A_FILTER = """
import os, sys
from trackerapi import TrackerApi

def before_send(event):
    if event.kind == sys.argv[2] and not forked:
        forked.append(1)
        child = os.fork()
        if child:
            assert os.waitpid(child, 0)[1] == 0
    return event

forked = []
tracker = TrackerApi(
    "key", "http://127.0.0.1:9", mode="offline", outbox=sys.argv[1],
    before_send=before_send,
)
with tracker.job("job").step("load") as step:
    step.advance(1)
    step.advance(1)
tracker.close()
os._exit(0)
"""

FORKS_IN_A_FINALIZER = """
import gc, os, sys, threading
from trackerapi import TrackerApi
from trackerapi.delivery import process

class Forking:
    def __del__(self):
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)

tracker = TrackerApi("key", "http://127.0.0.1:9", mode="offline", outbox=sys.argv[1])
with tracker.run_job("job", 142, "imaging") as job:
    with process.unforked():
        Forking()
"""


@pytest.mark.parametrize("what", ["report", "leave"])
def test_signal_handler_may_fork_in_the_middle_of_a_fork(
    outbox: Path, what: str
) -> None:
    """No lock of ours waits for its own thread, and SIGTERM is watched as before."""
    command = [sys.executable, "-W", "ignore", "-c", FORKS_WITHIN_A_FORK, str(outbox)]
    run = subprocess.run([*command, what], check=True, timeout=60, capture_output=True)

    assert run.stdout == b"True\n"
    told = story(outbox)
    assert told[0] == "start"
    assert told.count("info") == (2 if what == "report" else 0)
    assert told.count("complete") == 1


@pytest.mark.parametrize("kind", ["start", "progress", "step"])
def test_filter_may_fork(outbox: Path, kind: str) -> None:
    """Parent and child both go on reporting."""
    command = [sys.executable, "-W", "ignore", "-c", FORKS_IN_A_FILTER, str(outbox)]
    subprocess.run([*command, kind], check=True, timeout=60)

    assert story(outbox).count("step load") == 2


def test_finalizer_may_fork_while_forks_are_held_up(outbox: Path) -> None:
    """A thread that holds forks of others up does not wait for itself."""
    command = [sys.executable, "-W", "ignore", "-c", FORKS_IN_A_FINALIZER, str(outbox)]
    subprocess.run(command, check=True, timeout=60)

    assert story(outbox) == ["start", "complete"]
