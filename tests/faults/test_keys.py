"""Rejected and replaced API keys: records stay in the outbox until a key works."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.proof_runs import (
    EXIT_SECONDS,
    FLUSHED,
    HOUR,
    PRINTED,
    Lab,
    Pictures,
    wrong_secret,
)
from trackerapi import TrackerApi
from trackerapi.models import NewApiKey


@pytest.fixture
def key_file(lab: Lab) -> Path:
    """Return the file that contains the API key of the lab's processes."""
    file = lab.folder / "key"
    lab.settings |= {"TRACKERAPI_API_KEY": "", "TRACKERAPI_API_KEY_FILE": str(file)}
    return file


@pytest.fixture
def tracker(lab: Lab) -> Iterator[TrackerApi]:
    """Return a tracker with a key that may create other keys."""
    with lab.direct_tracker() as asking:
        yield asking


def put(key: str, file: Path) -> None:
    """Replace the key in a file atomically."""
    new = file.with_suffix(".new")
    new.write_text(key + "\n", encoding="ascii")
    new.replace(file)


def new_key(tracker: TrackerApi) -> NewApiKey:
    """Create a key with the scope `ingest`."""
    return tracker.admin.create_api_key(f"faults {uuid.uuid4()}", scopes=["ingest"])


def test_key_that_was_wrong_from_the_start_is_replaced_while_the_job_runs(
    lab: Lab, undisturbed: Pictures, key_file: Path
) -> None:
    """The running process reads the replaced key file, creates its job and delivers."""
    put(wrong_secret(lab.backend.api_key), key_file)
    with lab.start("--flush", "30") as job:
        job.pass_gate("phase 1")
        job.pass_gate("phase 2")
        job.await_gate("phase 3")
        lab.proxy.await_requests(1)
        put(lab.backend.api_key, key_file)
        job.open_gate()
        job.run_through("reported")

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


def test_new_key_replaces_a_key_that_expired_in_mid_run(
    lab: Lab, undisturbed: Pictures, key_file: Path, tracker: TrackerApi
) -> None:
    """Events reported after the key expired arrive with the next key in the file."""
    ended, good = new_key(tracker), new_key(tracker)
    put(ended.api_key, key_file)
    with lab.start("--flush", "30") as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        tracker.admin.expire_api_key(ended.key.key_id)
        before = len(lab.proxy.requests)
        job.open_gate()
        job.await_gate("phase 3")
        lab.proxy.await_requests(1, since=before)
        put(good.api_key, key_file)
        job.open_gate()
        job.run_through("reported")

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


def test_next_process_delivers_records_of_an_expired_key_with_its_own_key(
    lab: Lab, undisturbed: Pictures, key_file: Path, tracker: TrackerApi
) -> None:
    """The job ends as usual after its key expired; a sync with a new key delivers."""
    ended, good = new_key(tracker), new_key(tracker)
    put(ended.api_key, key_file)
    with lab.start(TRACKERAPI_SHUTDOWN_TIMEOUT=HOUR) as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        # After one delivery, the outbox records name their provider.
        lab.await_delivered()
        tracker.admin.expire_api_key(ended.key.key_id)
        job.open_gate()
        exit_seconds = job.run_through("phase 3")

    assert tuple(job.printed) == PRINTED
    assert exit_seconds <= EXIT_SECONDS
    put(good.api_key, key_file)
    lab.sync()
    lab.assert_all_arrived(undisturbed)
