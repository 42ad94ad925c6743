"""Full, limited and read-only disks: the job runs on and no event is lost."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.proof_runs import (
    EXIT_SECONDS,
    FLUSHED,
    HOUR,
    PRINTED,
    Lab,
    Pictures,
    fill,
)


@pytest.mark.parametrize("backend_is_up", [True, False])
def test_disk_that_is_full_for_a_while_loses_no_event(
    lab: Lab, undisturbed: Pictures, small_disk: Path, backend_is_up: bool
) -> None:
    """Records that the full disk cannot store stay in memory until their delivery."""
    lab.settings["TRACKERAPI_OUTBOX"] = str(small_disk / "outbox")
    with lab.start("--flush", "30") as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        with ExitStack() as outage:
            if not backend_is_up:
                outage.enter_context(lab.proxy.down())
            ballast = fill(small_disk)
            job.open_gate()
            job.await_gate("phase 3")
        ballast.unlink()
        job.open_gate()
        job.run_through("reported")

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


def test_disk_that_stays_full_loses_no_event_while_the_backend_answers(
    lab: Lab, undisturbed: Pictures, small_disk: Path
) -> None:
    """All records are delivered from memory before the job ends."""
    lab.settings["TRACKERAPI_OUTBOX"] = str(small_disk / "outbox")
    with lab.start("--flush", "30") as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        fill(small_disk)
        job.open_gate()
        job.run_through("phase 3")

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


def test_file_size_limit_loses_no_event(lab: Lab, undisturbed: Pictures) -> None:
    """A write that a file size limit cuts short leaves no torn record behind."""
    lab.prelude = "tests.support.preludes.short_files"
    with lab.start("--flush", "30") as job:
        job.run_through()

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


def test_outbox_below_a_file_loses_no_event(lab: Lab, undisturbed: Pictures) -> None:
    """If the outbox folder cannot be created, all records are delivered from memory."""
    (lab.folder / "file").write_bytes(b"")
    lab.settings["TRACKERAPI_OUTBOX"] = str(lab.folder / "file" / "outbox")
    with lab.start("--flush", "30") as job:
        job.run_through()

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


def test_outbox_on_a_read_only_disk_loses_no_event(
    lab: Lab, undisturbed: Pictures, read_only_disk: Path
) -> None:
    """If the outbox folder is read-only, all records are delivered from memory."""
    lab.settings["TRACKERAPI_OUTBOX"] = str(read_only_disk)
    with lab.start("--flush", "30") as job:
        job.run_through()

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


def test_job_without_disk_and_backend_runs_unchanged(
    lab: Lab, undisturbed: Pictures
) -> None:
    """The output is unchanged, and the exit takes at most EXIT_SECONDS."""
    (lab.folder / "file").write_bytes(b"")
    lab.settings["TRACKERAPI_OUTBOX"] = str(lab.folder / "file" / "outbox")
    ending = {"TRACKERAPI_SHUTDOWN_TIMEOUT": HOUR}
    with lab.proxy.down(), lab.start(**ending) as job:
        exit_seconds = job.run_through()

    assert tuple(job.printed) == PRINTED
    assert exit_seconds <= EXIT_SECONDS
