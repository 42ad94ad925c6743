"""Forks within forks, filters, finalizers and blocks, in real processes."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.recorded_jobs import kinds_and_steps

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
# Hooks run in reverse order: this one runs while all others hold their locks.
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
from trackerapi.process import forks as process

class Forking:
    def __del__(self):
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)

tracker = TrackerApi("key", "http://127.0.0.1:9", mode="offline", outbox=sys.argv[1])
with tracker.run_job("job", 142, "imaging") as job:
    with process.no_forks():
        Forking()
"""


@pytest.mark.parametrize("what", ["report", "leave"])
def test_signal_handler_may_fork_during_a_fork(outbox: Path, what: str) -> None:
    """A fork in a signal handler during another fork does not deadlock."""
    command = [sys.executable, "-W", "ignore", "-c", FORKS_WITHIN_A_FORK, str(outbox)]
    run = subprocess.run([*command, what], check=True, timeout=60, capture_output=True)

    assert run.stdout == b"True\n"
    events = kinds_and_steps(outbox)
    assert events[0] == "start"
    assert events.count("info") == (2 if what == "report" else 0)
    assert events.count("complete") == 1


@pytest.mark.parametrize(("kind", "ends"), [("start", 2), ("progress", 1), ("step", 2)])
def test_filter_may_fork(outbox: Path, kind: str, ends: int) -> None:
    """`before_send` may fork; only the parent ends a step that was open at the fork."""
    command = [sys.executable, "-W", "ignore", "-c", FORKS_IN_A_FILTER, str(outbox)]
    subprocess.run([*command, kind], check=True, timeout=60)

    assert kinds_and_steps(outbox).count("step load") == ends


def test_finalizer_may_fork_while_forks_are_blocked(outbox: Path) -> None:
    """A finalizer may fork in the thread that blocks forks, without a deadlock."""
    command = [sys.executable, "-W", "ignore", "-c", FORKS_IN_A_FINALIZER, str(outbox)]
    subprocess.run(command, check=True, timeout=60)

    assert kinds_and_steps(outbox) == ["start", "complete"]


FORKED_WITHIN: Final = {
    "blocks": """
with tracker.run_job("job", 142, "imaging") as job, job.step("load"):
    fork()
""",
    "decorated function": """
@tracker.as_job("imaging", provider_job_id="job", customer_id=142)
@step("load")
def run():
    fork()

run()
""",
    "grandchild": """
with tracker.run_job("job", 142, "imaging") as job, job.step("load"):
    child = os.fork()
    if not child:
        fork()
        os._exit(0)
    os.waitpid(child, 0)
""",
}

FORKED_BEGIN: Final = """
import os, sys
from trackerapi import TrackerApi, step

def fork():
    child = os.fork()
    if not child:
        if sys.argv[2] == "return":
            return
        raise {"exit": SystemExit(0), "exit 1": SystemExit(1), "raise": OSError("x")}[
            sys.argv[2]
        ]
    os.waitpid(child, 0)

tracker = TrackerApi("key", "http://127.0.0.1:9", mode="offline", outbox=sys.argv[1])
"""

DAEMON: Final = """
import os, sys
from trackerapi import TrackerApi

tracker = TrackerApi("key", "http://127.0.0.1:9", mode="offline", outbox=sys.argv[1])
with tracker.run_job("job", 142, "imaging"):
    if os.fork():
        os._exit(0)
    sys.stdin.read()  # until the parent is gone and waited for
print("done", flush=True)
"""


@pytest.mark.parametrize("end", ["exit", "exit 1", "raise", "return"])
@pytest.mark.parametrize("where", FORKED_WITHIN)
def test_forked_child_leaves_the_end_of_a_block_to_its_parent(
    outbox: Path, where: str, end: str
) -> None:
    """A forked child that leaves the block reports no end of the job or step."""
    script = FORKED_BEGIN + FORKED_WITHIN[where]
    command = [sys.executable, "-W", "ignore", "-c", script, str(outbox), end]
    subprocess.run(command, check=True, timeout=60, stderr=subprocess.DEVNULL)

    events = kinds_and_steps(outbox)
    assert sorted(events) == ["complete", "start", "start load", "step load"]


def test_daemon_without_a_parent_ends_the_block(outbox: Path) -> None:
    """If the parent has ended, the forked child reports the end of the job."""
    command = [sys.executable, "-W", "ignore", "-c", DAEMON, str(outbox)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.wait(timeout=60) == 0
        process.stdin.close()
        assert process.stdout.read() == "done\n"

    assert kinds_and_steps(outbox) == ["start", "complete"]
