"""While a key does not work everything waits; a good one brings it all."""

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
    """Return the file from which the lab's processes read their key."""
    file = lab.folder / "key"
    lab.settings |= {"TRACKERAPI_API_KEY": "", "TRACKERAPI_API_KEY_FILE": str(file)}
    return file


@pytest.fixture
def tracker(lab: Lab) -> Iterator[TrackerApi]:
    """Return a tracker with a key that may make others."""
    with lab.asking() as asking:
        yield asking


def put(key: str, file: Path) -> None:
    """Replace the key in a file at one go."""
    new = file.with_suffix(".new")
    new.write_text(key + "\n", encoding="ascii")
    new.replace(file)


def new_key(tracker: TrackerApi) -> NewApiKey:
    """Make a key that may report."""
    return tracker.admin.create_api_key(f"faults {uuid.uuid4()}", scopes=["ingest"])


def test_key_that_was_wrong_from_the_start_is_replaced_while_the_job_runs(
    lab: Lab, undisturbed: Pictures, key_file: Path
) -> None:
    """The same process reads the key anew, creates its job and delivers."""
    put(wrong_secret(lab.backend.api_key), key_file)
    with lab.start("--flush", "30") as job:
        job.pass_gate("phase 1")
        job.pass_gate("phase 2")
        job.await_gate("phase 3")
        lab.proxy.await_requests(1)
        put(lab.backend.api_key, key_file)
        job.let_on()
        job.run_through("reported")

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


def test_key_of_another_name_replaces_the_one_that_ended_in_mid_run(
    lab: Lab, undisturbed: Pictures, key_file: Path, tracker: TrackerApi
) -> None:
    """What waits since a key was ended goes with the provider's next key."""
    ended, good = new_key(tracker), new_key(tracker)
    put(ended.api_key, key_file)
    with lab.start("--flush", "30") as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        tracker.admin.expire_api_key(ended.key.key_id)
        before = len(lab.proxy.requests)
        job.let_on()
        job.await_gate("phase 3")
        lab.proxy.await_requests(1, since=before)
        put(good.api_key, key_file)
        job.let_on()
        job.run_through("reported")

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


def test_next_process_delivers_with_its_key_what_the_ended_key_left(
    lab: Lab, undisturbed: Pictures, key_file: Path, tracker: TrackerApi
) -> None:
    """A job whose key ends in mid-run ends like any other; a sync brings the rest."""
    ended, good = new_key(tracker), new_key(tracker)
    put(ended.api_key, key_file)
    with lab.start(TRACKERAPI_SHUTDOWN_TIMEOUT=HOUR) as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        # Only now is it sure that the provider of the records is known.
        lab.await_delivered()
        tracker.admin.expire_api_key(ended.key.key_id)
        job.let_on()
        exit_seconds = job.run_through("phase 3")

    assert tuple(job.printed) == PRINTED
    assert exit_seconds <= EXIT_SECONDS
    put(good.api_key, key_file)
    lab.sync()
    lab.assert_all_arrived(undisturbed)
