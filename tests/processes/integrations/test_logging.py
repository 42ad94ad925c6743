"""`TrackerHandler` at the end of a process."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.recorded_jobs import lines


def test_count_of_a_flood_is_reported_at_the_end_of_the_process(tmp_path: Path) -> None:
    """At the end of the process, the handler reports how many records it left out.

    The script does not close the handler, which limits the records of a second.
    """
    script = """
import logging, sys
from trackerapi import TrackerApi
from trackerapi.integrations.logging import TrackerHandler
tracker = TrackerApi("key", "http://127.0.0.1:9", mode="offline", outbox=sys.argv[1])
logging.getLogger("work").addHandler(TrackerHandler())
logging.getLogger("work").propagate = False
with tracker.run_job("job", 142, "undescribed"):
    for number in range(100_000):
        logging.getLogger("work").error("again")
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(tmp_path)],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")
    assert "left out" in lines(tmp_path)[-1]["detail"]
