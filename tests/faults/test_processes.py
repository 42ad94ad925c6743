"""Forks, kills and concurrent deliveries of one outbox: each event arrives once."""

import os
import shutil

import pytest

from scripts.proving.job import CHILD_EVENTS
from tests.support import faults
from tests.support.proof_runs import PRINTED, Lab, Pictures

OFFLINE = {"TRACKERAPI_MODE": "offline"}


@pytest.mark.parametrize("end_of_child", ["exit", "_exit"])
@pytest.mark.parametrize("end_of_parent", ["close", "exit", "_exit"])
def test_parent_and_child_of_a_fork_report_on_the_same_job(
    lab: Lab, end_of_child: str, end_of_parent: str
) -> None:
    """Events of parent and child arrive once, for each way to end the two processes."""
    with lab.start("--fork", end_of_child, "--ending", end_of_parent) as job:
        job.run_through()
    lab.sync()

    assert tuple(job.printed) == PRINTED
    processes = [entry.process_id for entry in lab.record]
    assert len(set(processes)) == 2
    assert processes.count(min(processes, key=processes.count)) == CHILD_EVENTS
    lab.assert_nothing_lost_or_doubled()
    with lab.direct_tracker() as tracker:
        assert tracker.get_job(lab.job_id).percent == 100.0


@pytest.mark.parametrize("ending", ["exit", "_exit"])
def test_job_that_never_closes_its_tracker_loses_nothing(
    lab: Lab, undisturbed: Pictures, ending: str
) -> None:
    """The exit of the interpreter delivers; after `os._exit()` a sync delivers."""
    # Delivery at the exit may take long on a busy machine.
    with lab.start("--ending", ending, TRACKERAPI_SHUTDOWN_TIMEOUT="60") as job:
        job.run_through()
    if ending == "_exit":
        lab.sync()

    lab.assert_all_arrived(undisturbed)


def test_living_child_does_not_lock_the_file_of_its_killed_parent(lab: Lab) -> None:
    """The leftover file of a killed parent is delivered while its child still runs."""
    os.mkfifo(lab.fifo)
    with lab.proxy.down(), lab.start("--fork", "waits") as job:
        for gate in PRINTED[:3]:
            job.pass_gate(gate)
        job.await_gate("reported")
        job.kill()
        lab.proxy.come_up()
        lab.sync()
        # The child may have claimed the file before the sync.
        lab.await_delivered()
        with lab.fifo.open("wb"):
            pass
        job.await_children()
    lab.sync()

    lab.assert_nothing_lost_or_doubled()


def test_killed_job_is_delivered_by_a_sync(lab: Lab) -> None:
    """Each event whose call returned arrives once after SIGKILL."""
    with lab.start() as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        with lab.proxy.down():
            job.open_gate()
            job.await_gate("phase 3")
            job.kill()
    lab.sync()

    lab.assert_nothing_lost_or_doubled()


def test_restart_of_a_killed_job_delivers_both_runs(lab: Lab) -> None:
    """A rerun delivers the leftover file of the killed run and ends at 100 percent."""
    with lab.start() as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        with lab.proxy.down():
            job.open_gate()
            job.await_gate("phase 3")
            job.kill()
    with lab.start("--round", "2", "--flush", "30") as again:
        again.run_through()

    assert "waiting 0, held 0" in again.printed
    lab.assert_nothing_lost_or_doubled()
    with lab.direct_tracker() as tracker:
        assert tracker.get_job(lab.job_id).percent == 100.0


@pytest.mark.parametrize("torn", ['{"event_id":"0', '{"create_job":{"p', "\0" * 99])
def test_torn_last_line_blocks_no_other_record(
    lab: Lab, undisturbed: Pictures, torn: str
) -> None:
    """Delivery ignores the torn last line; all records before the line arrive."""
    with lab.start(**OFFLINE) as job:
        job.run_through()
    (left,) = lab.outbox.glob("*.outbox")
    with left.open("a", encoding="ascii") as file:
        file.write(torn)
    lab.sync()

    lab.assert_all_arrived(undisturbed)


@pytest.mark.parametrize("damage", ["\n", "{}\n", "nonsense\n", "\0\0\0\n"])
def test_damaged_line_blocks_no_other_record(
    lab: Lab, undisturbed: Pictures, damage: str
) -> None:
    """A damaged line is held or dropped; the records before and after it arrive."""
    with lab.start(**OFFLINE) as job:
        job.run_through()
    (left,) = lab.outbox.glob("*.outbox")
    lines = left.read_text(encoding="ascii").splitlines(keepends=True)
    lines.insert(len(lines) // 2, damage)
    left.write_text("".join(lines), encoding="ascii")
    with lab.start_sync() as syncing:
        syncing.finish(0, 3)

    lab.assert_all_arrived(undisturbed)


@pytest.mark.parametrize("prelude", ["", "tests.support.preludes.no_locks"])
def test_two_syncs_at_once_deliver_each_event_once(
    lab: Lab, undisturbed: Pictures, prelude: str
) -> None:
    """Concurrent syncs store each event once, even on file systems without locks."""
    lab.prelude = prelude
    with lab.start(**OFFLINE) as job:
        job.run_through()
    assert not lab.proxy.requests
    with lab.proxy.failing(faults.dripping(0.001)):
        with lab.start_sync() as one, lab.start_sync() as other:
            one.finish(0, 1)
            other.finish(0, 1)
    lab.sync()

    lab.assert_all_arrived(undisturbed, in_order_of_arrival=False)


def test_copies_of_one_outbox_are_delivered_once(
    lab: Lab, undisturbed: Pictures
) -> None:
    """Records copied to a second folder, such as a backup, are stored once."""
    with lab.start(**OFFLINE) as job:
        job.run_through()
    copy = lab.folder / "copy"
    shutil.copytree(lab.outbox, copy)
    with (
        lab.start_sync() as one,
        lab.start_sync(TRACKERAPI_OUTBOX=str(copy)) as other,
    ):
        one.finish()
        other.finish()

    lab.assert_all_arrived(undisturbed, in_order_of_arrival=False)


@pytest.mark.parametrize("prelude", ["", "tests.support.preludes.no_locks"])
def test_sync_beside_a_running_job_loses_and_doubles_nothing(
    lab: Lab, undisturbed: Pictures, prelude: str
) -> None:
    """A sync beside a running job loses and doubles no event, even without locks."""
    lab.prelude = prelude
    with lab.start("--flush", "30") as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        with lab.proxy.down():
            job.open_gate()
            job.await_gate("phase 3")
        with lab.start_sync(2.0) as syncing:
            job.open_gate()
            job.run_through("reported")
            syncing.finish(0, 1)

    assert "waiting 0, held 0" in job.printed
    lab.assert_all_arrived(undisturbed, in_order_of_arrival=not prelude)


def test_outbox_never_contains_the_secret_of_the_key(lab: Lab) -> None:
    """No file of the outbox contains the secret of the API key."""
    with lab.proxy.down(), lab.start() as job:
        job.run_through()
    secret = lab.backend.api_key.split("_")[2]
    waiting = [file for file in lab.outbox.rglob("*") if file.is_file()]

    assert waiting
    assert not [file for file in waiting if secret in file.read_text("latin-1")]
