"""Texts for the provider, which must not appear on the page of a customer."""

import random
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import httpx

from tests.support.backend_jobs import deliver
from trackerapi import JobConfig, TrackerApi, TrackerJob

MARKERS: Final = 10_000
MARKERS_A_JOB: Final = 250
MARKER: Final = re.compile(r"canary-\d+-canary")
SHOWN: Final = "A sentence for the customer"


def markers(first: int) -> Iterator[str]:
    """Return an iterator over unique markers with numbers from `first` on."""
    return (f"canary-{number}-canary" for number in range(first, first + 10**6))


def error_raised_in(path: str, marker: str) -> Exception:
    """Return an exception with a marker in the path and a line of its traceback."""
    source = (
        f"def fail_{marker.replace('-', '_')}(secret):\n    raise ValueError(secret)"
    )
    code = compile(
        f"{source}\nfail_{marker.replace('-', '_')}({marker!r})", path, "exec"
    )
    try:
        exec(code, {})  # noqa: S102
    except ValueError as error:
        return error
    raise AssertionError


def plant_in_step(job: TrackerJob, given: Iterator[str]) -> None:
    """Fail a step with markers in message, locals, path, notes and chained errors."""
    secret, path = next(given), next(given)
    try:
        with job.step("load") as step:
            patient = {"name": next(given)}
            step.metadata[next(given)] = next(given)
            step.detail(next(given), host=next(given))
            error = error_raised_in(f"/data/{path}/job.py", next(given))
            error.add_note(next(given))
            raise RuntimeError(secret, patient) from error
    except RuntimeError:
        pass


def plant_in_items(job: TrackerJob, given: Iterator[str]) -> None:
    """Fail items with markers in their names and errors."""
    with job.step("segment") as step:
        for item in step.track([next(given), next(given)]):
            error = OSError(2, next(given), f"/data/{next(given)}.nii")
            step.item_failed(item, customer=SHOWN, error=error)
        step.item_failed({next(given): next(given)})


def plant_in_attempts(job: TrackerJob, given: Iterator[str]) -> None:
    """Fail two attempts with markers, then succeed."""
    with job.step("segment") as step:
        for attempt in step.attempts(3, wait_seconds=0):
            with attempt:
                if not attempt.is_last:
                    raise KeyError(next(given))


def plant_in_events(job: TrackerJob, given: Iterator[str]) -> None:
    """Send events with markers in each field that only the provider can read."""
    job.send_event(
        kind="info",
        name="report",
        detail=next(given),
        metadata={next(given): next(given)},
    )
    job.send_event(kind=next(given), detail=next(given))
    job.send_event(kind="error", name=next(given), detail=next(given))
    job.send_event(kind="progress", name="report", completed=1, part=next(given))
    job.detail(value=next(given))


PLANTERS: Final[list[Callable[[TrackerJob, Iterator[str]], None]]] = [
    plant_in_step,
    plant_in_items,
    plant_in_attempts,
    plant_in_events,
]


def planted_job(
    tracker: TrackerApi, config: JobConfig, number: int, generator: random.Random
) -> TrackerJob:
    """Run a job with about `MARKERS_A_JOB` markers; fail it with another marker."""
    given = markers(number * 10_000)
    last = number * 10_000 + MARKERS_A_JOB
    job = tracker.run_job(
        f"{next(given)}-{uuid.uuid4()}",
        142,
        config.tag,
        metadata={next(given): next(given)},
        # Without a title, the page shows other names of the job.
        title=f"{SHOWN}, title" if number % 2 else None,
        reference=f"{SHOWN}, reference" if number % 2 else None,
    )
    try:
        with job:
            while True:
                generator.choice(PLANTERS)(job, given)
                marker = next(given)
                if int(marker.split("-")[1]) > last:
                    raise OSError(marker)
    except OSError:
        job.note(SHOWN)
    return job


def test_ten_thousand_markers_reach_no_customer(
    tracker: TrackerApi, config: JobConfig, tmp_path: Path
) -> None:
    """Markers that the provider can read never appear on the customer's page."""
    generator = random.Random(4)  # noqa: S311 - not used for secrets
    jobs = [
        planted_job(tracker, config, number, generator)
        for number in range(1, MARKERS // MARKERS_A_JOB + 1)
    ]
    deliver(tracker)

    stored: set[str] = set()
    for number, job in enumerate(jobs, 1):
        stored |= set(MARKER.findall(str(list(job.events()))))
        link = job.share_link()
        with httpx.Client(follow_redirects=True, timeout=60) as customer:
            page = customer.get(link)
        answer = page.text + str(page.headers) + str(page.url)
        assert SHOWN in page.text
        for text in ("title", "reference"):
            assert (f"{SHOWN}, {text}" in page.text) == bool(number % 2)
        assert MARKER.findall(answer) == []
    # Events for the provider contain most markers.
    assert len(stored) > MARKERS * 0.7
