"""Module imports during calls of `AsyncTrackerApi`."""

import subprocess
import sys
from pathlib import Path

from tests.support.event_loops import (
    PATIENCE_SECONDS,
)
from tests.support.scripted_server import NOWHERE


def test_reports_load_no_module_in_the_loop(outbox: Path) -> None:
    """Reporting calls import no module in the thread of the event loop."""
    script = f"""
import asyncio, sys, threading
from trackerapi import AsyncTrackerApi

class Watch:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is threading.main_thread():
            print(name)

async def main():
    sys.meta_path.insert(0, Watch())
    async with AsyncTrackerApi("key", "{NOWHERE}", outbox="{outbox}") as tracker:
        async with tracker.run_job("one", 142, "tag") as job:
            async with job.step("load", total=3) as load:
                async for _ in load.track([1]):
                    await load.note("words")
                tracker.admin
            try:
                async with job.step("segment"):
                    raise ValueError
            except ValueError:
                pass

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    )

    assert done.stdout == ""
