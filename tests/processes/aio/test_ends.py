"""Ends of processes that run an event loop: signals, exits and forks."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.event_loops import PATIENCE_SECONDS
from tests.support.recorded_jobs import kinds_and_steps, recorded

BEGUN: Final = ["start", "start load"]


SCRIPT: Final = """
import asyncio, sys
from trackerapi import AsyncTrackerApi

async def main():
    tracker = AsyncTrackerApi("key", "http://127.0.0.1:9", mode="offline")
    async with tracker.run_job("one", 142, "tag") as job:
        async with job.step("load"):
            {body}

asyncio.run(main())
"""


def run_script(body: str, outbox: Path) -> "subprocess.Popen[str]":
    """Start `SCRIPT` with `body` as the code inside step `load`."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SCRIPT.format(body=body)],
        env={**os.environ, "TRACKERAPI_OUTBOX": str(outbox)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_sigterm_interrupts_the_job_of_a_loop(outbox: Path) -> None:
    """SIGTERM reports an interrupted job and then ends the process by the signal."""
    with run_script("print(flush=True); await asyncio.sleep(60)", outbox) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        _, stderr = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == -signal.SIGTERM
    assert stderr == ""
    assert kinds_and_steps(outbox) == [*BEGUN, "interrupt"]


def test_unawaited_reports_are_written_before_the_process_ends(outbox: Path) -> None:
    """Notes of 500 unfinished tasks are recorded when `sys.exit()` ends the loop."""
    body = (
        "tasks = [asyncio.create_task(job.note(str(n))) for n in range(500)]; "
        "await asyncio.sleep(0); sys.exit(0)"
    )
    with run_script(body, outbox) as process:
        _, stderr = process.communicate(timeout=PATIENCE_SECONDS)

    assert (process.returncode, stderr) == (0, "")
    notes = [e["message"] for e in recorded(outbox) if e["kind"] == "info"]
    assert notes == [str(number) for number in range(500)]
    assert kinds_and_steps(outbox)[-2:] == ["step load", "complete"]


def test_forked_child_starts_its_own_thread(outbox: Path) -> None:
    """After a fork between two event loops, parent and child record their events."""
    script = """
import asyncio, os
from trackerapi import AsyncTrackerApi

tracker = AsyncTrackerApi("key", "http://127.0.0.1:9", mode="offline")

async def note(name):
    async with tracker.job(name).step("load"):
        await tracker.job(name).note("words")

asyncio.run(note("before"))
child = os.fork()
asyncio.run(note("parent" if child else "child"))
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "TRACKERAPI_OUTBOX": str(outbox)},
        timeout=PATIENCE_SECONDS,
        check=False,
        stderr=subprocess.PIPE,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    for name in ("before", "parent", "child"):
        kinds = [
            event["kind"]
            for event in recorded(outbox)
            if event["provider_job_id"] == name
        ]
        assert kinds == ["start", "info", "step"]
