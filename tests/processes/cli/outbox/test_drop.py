"""`trackerapi outbox drop`: dropped records, remaining records, and consent."""

import os
import uuid
from typing import Final

import pytest

from tests.support.leftovers import (
    UNKNOWN_CUSTOMER,
    Machine,
)
from trackerapi.cli.exit_statuses import (
    FINE,
    UNDELIVERED,
    USAGE,
)
from trackerapi.outbox.file import OutboxFile

A_MOMENT: Final = 1_700_000_000.0


def test_drop_refuses_without_a_terminal_or_consent(
    machine: Machine, held_job: str
) -> None:
    """Without a terminal, drop without `--yes` ends with status 2 and drops nothing."""
    done = machine.run("outbox", "drop")

    assert (done.status, done.out) == (USAGE, "")
    assert done.err == (
        "trackerapi: this would drop 4 held records; pass --yes to do it\n"
    )
    assert held_job in machine.texts()


@pytest.mark.parametrize(("typed", "status"), [("y\n", FINE), ("\n", USAGE)])
def test_drop_asks_at_a_terminal(
    machine: Machine, held_job: str, typed: str, status: int
) -> None:
    """On a terminal, drop removes records only after the answer yes."""
    done = machine.type(typed, "outbox", "drop", "--job", held_job)

    assert done.status == status
    assert f"drop 4 held records of job '{held_job}' for good? [y/N]" in done.err
    assert (held_job in machine.texts()) is (status != FINE)


def test_dropped_records_are_removed_from_the_disk(
    machine: Machine, held_job: str
) -> None:
    """No file contains text of a dropped record; other records are still delivered."""
    waiting = machine.leave()
    with machine.paths[0].open("ab") as file:
        file.write(machine.paths[1].read_bytes().splitlines(keepends=True)[-1])

    done = machine.run("outbox", "drop", "--held", "--yes")

    assert (done.status, done.out) == (FINE, "dropped 4 records\n")
    assert held_job not in machine.texts()
    assert [file["waiting"] for file in machine.files] == [1, 4]
    assert machine.run("sync").status == FINE
    assert len(machine.events(waiting)) == 3
    assert machine.run("outbox", "drop", "--yes").out == "nothing to drop\n"


def test_drop_of_a_job_leaves_the_others(machine: Machine) -> None:
    """`--job` removes the records of one job; other records keep their order."""
    kept, dropped = machine.leave(), machine.leave()
    _merge(machine)

    done = machine.run("outbox", "drop", "--waiting", "--job", dropped, "--yes")

    assert done.out == "dropped 4 records\n"
    assert dropped not in machine.texts()
    assert machine.run("sync").status == FINE
    assert machine.messages(kept) == ["line 0", "line 1", "line 2"]


def test_record_dropped_after_delivered_ones_is_removed_from_the_disk(
    machine: Machine,
) -> None:
    """Drop removes records from a file whose first record is already delivered."""
    kept, dropped = machine.leave(), machine.leave()
    _merge(machine)
    file = OutboxFile.claim(machine.paths[0])
    assert file is not None
    file.settle(len(file.peek(1)), 1, delivered=0)
    file.close()

    done = machine.run("outbox", "drop", "--waiting", "--job", dropped, "--yes")

    assert done.out == "dropped 4 records\n"
    assert dropped not in machine.texts()
    assert machine.texts().count(kept) == 4


def test_drop_of_a_job_takes_undelivered_records_too(machine: Machine) -> None:
    """Drop removes deferred events and unsent events of a misspelt job id."""
    misspelt, kept = str(uuid.uuid4()), machine.leave()
    report = ("event", "info", "--job", misspelt, "--message", "lost")
    machine.spawn(*report)
    assert machine.run("sync").status == UNDELIVERED
    machine.spawn(*report, TRACKERAPI_MODE="offline")

    refused = machine.run("outbox", "drop", "--job", misspelt)
    done = machine.run("outbox", "drop", "--job", misspelt, "--yes")

    assert f"would drop 2 waiting records of job '{misspelt}'" in refused.err
    assert done.out == "dropped 2 records\n"
    assert misspelt not in machine.texts()
    assert machine.run("sync").status == FINE
    assert len(machine.events(kept)) == 3


def test_misspelt_job_is_reported_by_its_own_process_alone(machine: Machine) -> None:
    """`sync` names a misspelt job; processes of other jobs do not print the job id."""
    misspelt = str(uuid.uuid4())
    first = machine.spawn("event", "info", "--job", misspelt, "--message", "lost")
    known = machine.leave()
    machine.run("sync")

    later = machine.spawn("event", "info", "--job", known, "--message", "fine")
    synced = machine.run("sync")

    assert f"outbox drop --job '{misspelt}'" in first.err
    assert misspelt not in later.err
    assert synced.status == UNDELIVERED
    assert f"the backend does not know job '{misspelt}'" in synced.err
    assert f"run: trackerapi outbox drop --job '{misspelt}'" in synced.err


def test_drop_leaves_undelivered_records_of_a_running_process(machine: Machine) -> None:
    """Records of a running process stay, and their count is printed."""
    left = machine.leave()
    with machine.job(str(uuid.uuid4())):
        done = machine.run("outbox", "drop", "--waiting", "--yes", "--json")
        counts = [(file["state"], file["waiting"]) for file in machine.files]

    assert done.json == {"dropped": 4, "left_to_running_processes": 4}
    assert counts == [("live", 4)]
    assert left not in machine.texts()


def test_drop_releases_held_records_of_a_running_process(machine: Machine) -> None:
    """Drop removes held records of a running job, and the job continues to report."""
    job_id = str(uuid.uuid4())
    how = {"customer_id": UNKNOWN_CUSTOMER, "mode": "online", "events": 2}
    with machine.job(job_id, **how) as job:
        done = machine.run("outbox", "drop", "--job", job_id, "--yes")
        assert done.out == "dropped 3 records\n"
        assert [file["held"] for file in machine.files] == [0]
        assert sum(job.report("after that")) > 0


def test_drop_of_delivered_records_leaves_nothing_to_replay(machine: Machine) -> None:
    """`drop --delivered` removes archived records, of one job or of all jobs."""
    first, second = machine.leave(), machine.leave()
    _merge(machine)
    machine.run("sync")
    (archived,) = machine.outbox.glob("delivered/*.outbox")
    os.utime(archived, (A_MOMENT, A_MOMENT))

    done = machine.run("outbox", "drop", "--delivered", "--job", first, "--yes")

    assert done.out == "dropped 4 records\n"
    assert first not in machine.texts()
    assert [file["delivered"] for file in machine.files] == [3]
    (archived,) = machine.outbox.glob("delivered/*.outbox")
    # The modification time decides when the archive is purged.
    assert archived.stat().st_mtime == A_MOMENT
    assert machine.run("outbox", "drop", "--delivered", "--yes").status == FINE
    assert second not in machine.texts()
    assert machine.files == []


def test_drop_on_a_full_disk_leaves_everything_as_it_was(machine: Machine) -> None:
    """If the disk is full, drop ends with status 2 and leaves all files unchanged."""
    kept, dropped = machine.leave(events=30), machine.leave()
    _merge(machine)
    before = machine.texts()
    arguments = ("drop", "--waiting", "--job", dropped, "--yes")

    done = machine.spawn("outbox", *arguments, limit="-f 1")

    assert (done.status, done.out, done.err.count("\n")) == (USAGE, "", 1)
    assert machine.texts() == before
    assert machine.run("outbox", *arguments).status == FINE
    assert kept in machine.texts()


def _merge(machine: Machine) -> None:
    """Move the records of all outbox files into the first file."""
    first, *others = machine.paths
    with first.open("ab") as file:
        for path in others:
            file.writelines(path.read_bytes().splitlines(keepends=True)[1:])
            path.unlink()
