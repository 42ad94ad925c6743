"""A disk that takes no more costs the job nothing, and the backend no event."""

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
def test_disk_that_is_full_for_a_while_costs_no_event(
    lab: Lab, undisturbed: Pictures, small_disk: Path, backend_is_up: bool
) -> None:
    """What finds no room is kept in memory and delivered, whether or not at once."""
    lab.settings["TRACKERAPI_OUTBOX"] = str(small_disk / "outbox")
    with lab.start("--flush", "30") as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        with ExitStack() as outage:
            if not backend_is_up:
                outage.enter_context(lab.proxy.down())
            ballast = fill(small_disk)
            job.let_on()
            job.await_gate("phase 3")
        ballast.unlink()
        job.let_on()
        job.run_through("reported")

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


def test_disk_that_stays_full_costs_no_event_while_the_backend_answers(
    lab: Lab, undisturbed: Pictures, small_disk: Path
) -> None:
    """All arrives from memory before the job has ended."""
    lab.settings["TRACKERAPI_OUTBOX"] = str(small_disk / "outbox")
    with lab.start("--flush", "30") as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        fill(small_disk)
        job.let_on()
        job.run_through("phase 3")

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


def test_file_that_may_not_grow_costs_no_event(lab: Lab, undisturbed: Pictures) -> None:
    """A write that is cut short by a limit leaves no torn event behind."""
    lab.prelude = "tests.support.preludes.short_files"
    with lab.start("--flush", "30") as job:
        job.run_through()

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


def test_outbox_below_a_file_costs_no_event(lab: Lab, undisturbed: Pictures) -> None:
    """A folder that nobody can make is like a full disk from the start."""
    (lab.folder / "file").write_bytes(b"")
    lab.settings["TRACKERAPI_OUTBOX"] = str(lab.folder / "file" / "outbox")
    with lab.start("--flush", "30") as job:
        job.run_through()

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


def test_outbox_on_a_read_only_disk_costs_no_event(
    lab: Lab, undisturbed: Pictures, read_only_disk: Path
) -> None:
    """A folder in which nobody can write is like a full disk from the start."""
    lab.settings["TRACKERAPI_OUTBOX"] = str(read_only_disk)
    with lab.start("--flush", "30") as job:
        job.run_through()

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


def test_job_without_disk_and_backend_is_the_same_job(
    lab: Lab, undisturbed: Pictures
) -> None:
    """Where nothing can be kept and nothing be sent, the job still ends as ever."""
    (lab.folder / "file").write_bytes(b"")
    lab.settings["TRACKERAPI_OUTBOX"] = str(lab.folder / "file" / "outbox")
    ending = {"TRACKERAPI_SHUTDOWN_TIMEOUT": HOUR}
    with lab.proxy.down(), lab.start(**ending) as job:
        exit_seconds = job.run_through()

    assert tuple(job.printed) == PRINTED
    assert exit_seconds <= EXIT_SECONDS
