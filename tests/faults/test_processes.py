"""Forks, kills and several deliverers of one outbox: each event arrives once."""

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
    """Events of both arrive once each, however either of them ends."""
    with lab.start("--fork", end_of_child, "--ending", end_of_parent) as job:
        job.run_through()
    lab.sync()

    assert tuple(job.printed) == PRINTED
    processes = [entry.process_id for entry in lab.record]
    assert len(set(processes)) == 2
    assert processes.count(min(processes, key=processes.count)) == CHILD_EVENTS
    lab.assert_nothing_lost_or_doubled()
    with lab.asking() as tracker:
        assert tracker.get_job(lab.job_id).percent == 100.0


@pytest.mark.parametrize("ending", ["exit", "_exit"])
def test_job_that_never_closes_its_tracker_loses_nothing(
    lab: Lab, undisturbed: Pictures, ending: str
) -> None:
    """The end of the interpreter is like a close, and without one a sync delivers."""
    # A busy machine may take its time over the delivery at the end.
    with lab.start("--ending", ending, TRACKERAPI_SHUTDOWN_TIMEOUT="60") as job:
        job.run_through()
    if ending == "_exit":
        lab.sync()

    lab.assert_all_arrived(undisturbed)


def test_child_that_lives_on_does_not_hold_what_its_parent_left(lab: Lab) -> None:
    """What a killed parent has left is delivered while its child is still at work."""
    os.mkfifo(lab.fifo)
    with lab.proxy.down(), lab.start("--fork", "waits") as job:
        for gate in PRINTED[:3]:
            job.pass_gate(gate)
        job.await_gate("reported")
        job.kill()
        lab.proxy.come_up()
        lab.sync()
        # Unless the child was faster and has taken it over itself.
        lab.await_delivered()
        with lab.fifo.open("wb"):
            pass
        job.await_children()
    lab.sync()

    lab.assert_nothing_lost_or_doubled()


def test_killed_job_is_delivered_by_a_sync(lab: Lab) -> None:
    """All that calls have returned arrives after SIGKILL, and nothing twice."""
    with lab.start() as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        with lab.proxy.down():
            job.let_on()
            job.await_gate("phase 3")
            job.kill()
    lab.sync()

    lab.assert_nothing_lost_or_doubled()


def test_restart_of_a_killed_job_delivers_both_runs(lab: Lab) -> None:
    """The plain rerun takes over what the killed run left, and ends at 100."""
    with lab.start() as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        with lab.proxy.down():
            job.let_on()
            job.await_gate("phase 3")
            job.kill()
    with lab.start("--round", "2", "--flush", "30") as again:
        again.run_through()

    assert "waiting 0, held 0" in again.printed
    lab.assert_nothing_lost_or_doubled()
    with lab.asking() as tracker:
        assert tracker.get_job(lab.job_id).percent == 100.0


@pytest.mark.parametrize("torn", ['{"event_id":"0', '{"create_job":{"p', "\0" * 99])
def test_torn_last_line_keeps_nothing_back(
    lab: Lab, undisturbed: Pictures, torn: str
) -> None:
    """What a kill has left of a record is passed over; all before it arrives."""
    with lab.start(**OFFLINE) as job:
        job.run_through()
    (left,) = lab.outbox.glob("*.outbox")
    with left.open("a", encoding="ascii") as file:
        file.write(torn)
    lab.sync()

    lab.assert_all_arrived(undisturbed)


@pytest.mark.parametrize("damage", ["\n", "{}\n", "nonsense\n", "\0\0\0\n"])
def test_damaged_line_keeps_nothing_back(
    lab: Lab, undisturbed: Pictures, damage: str
) -> None:
    """A line that is no record is held or dropped; all around it arrives."""
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
    """Two deliverers of the same files do no harm, even where locks do not work."""
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
    """Files that lie in two places, such as a volume and its backup, count once."""
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
def test_sync_beside_the_living_owner_does_no_harm(
    lab: Lab, undisturbed: Pictures, prelude: str
) -> None:
    """Nobody doubles or loses what a living job has, even where locks do not work."""
    lab.prelude = prelude
    with lab.start("--flush", "30") as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        with lab.proxy.down():
            job.let_on()
            job.await_gate("phase 3")
        with lab.start_sync(2.0) as syncing:
            job.let_on()
            job.run_through("reported")
            syncing.finish(0, 1)

    assert "waiting 0, held 0" in job.printed
    lab.assert_all_arrived(undisturbed, in_order_of_arrival=not prelude)


def test_key_is_nowhere_in_the_outbox(lab: Lab) -> None:
    """Neither what waits nor what is delivered holds the key's secret."""
    with lab.proxy.down(), lab.start() as job:
        job.run_through()
    secret = lab.backend.api_key.split("_")[2]
    waiting = [file for file in lab.outbox.rglob("*") if file.is_file()]

    assert waiting
    assert not [file for file in waiting if secret in file.read_text("latin-1")]
