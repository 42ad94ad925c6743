"""Random numbers of the library and of the script."""

import random
from pathlib import Path

from trackerapi import TrackerApi


def test_delivery_leaves_the_random_sequence_of_the_script(tmp_path: Path) -> None:
    """Failed requests and their backoff leave the state of `random` unchanged."""
    before = random.getstate()
    try:
        with TrackerApi("key", "http://127.0.0.1:9", outbox=tmp_path) as tracker:
            # The first request imports httpx, which may import rich. The import of
            # rich draws a random number.
            job = tracker.create_job("study-1", 142, "imaging")
            random.seed(7)
            seeded = random.getstate()
            job.send_event("info")
            report = tracker.flush(0.5)

        assert report.last_error is not None  # At least one request has failed.
        assert random.getstate() == seeded
    finally:
        random.setstate(before)
