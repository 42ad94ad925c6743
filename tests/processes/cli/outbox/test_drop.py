"""`trackerapi outbox drop`: dropped records, remaining records, and consent."""

import os
import uuid
from typing import Final

import pytest

from tests.support.leftovers import (
    UNKNOWN_CUSTOMER,
    Desk,
)
from trackerapi.cli.exit_statuses import (
    FINE,
    UNDELIVERED,
    USAGE,
)
from trackerapi.outbox.file import OutboxFile

A_MOMENT: Final = 1_700_000_000.0


def test_drop_refuses_without_a_terminal_or_consent(desk: Desk, held_job: str) -> None:
    """Without a terminal, drop without `--yes` ends with status 2 and drops nothing."""
    done = desk.run("outbox", "drop")

    assert (done.status, done.out) == (USAGE, "")
    assert done.err == (
        "trackerapi: this would drop 4 held records; pass --yes to do it\n"
    )
    assert held_job in desk.texts()


@pytest.mark.parametrize(("typed", "status"), [("y\n", FINE), ("\n", USAGE)])
def test_drop_asks_at_a_terminal(
    desk: Desk, held_job: str, typed: str, status: int
) -> None:
    """On a terminal, drop removes records only after the answer yes."""
    done = desk.type(typed, "outbox", "drop", "--job", held_job)

    assert done.status == status
    assert f"drop 4 held records of job '{held_job}' for good? [y/N]" in done.err
    assert (held_job in desk.texts()) is (status != FINE)


def test_dropped_records_are_removed_from_the_disk(desk: Desk, held_job: str) -> None:
    """No file contains text of a dropped record; other records are still delivered."""
    waiting = desk.leave()
    with desk.paths[0].open("ab") as file:
        file.write(desk.paths[1].read_bytes().splitlines(keepends=True)[-1])

    done = desk.run("outbox", "drop", "--held", "--yes")

    assert (done.status, done.out) == (FINE, "dropped 4 records\n")
    assert held_job not in desk.texts()
    assert [file["waiting"] for file in desk.files] == [1, 4]
    assert desk.run("sync").status == FINE
    assert len(desk.events(waiting)) == 3
    assert desk.run("outbox", "drop", "--yes").out == "nothing to drop\n"


def test_drop_of_a_job_leaves_the_others(desk: Desk) -> None:
    """`--job` removes the records of one job; other records keep their order."""
    kept, dropped = desk.leave(), desk.leave()
    _merge(desk)

    done = desk.run("outbox", "drop", "--waiting", "--job", dropped, "--yes")

    assert done.out == "dropped 4 records\n"
    assert dropped not in desk.texts()
    assert desk.run("sync").status == FINE
    assert desk.messages(kept) == ["line 0", "line 1", "line 2"]


def test_record_dropped_after_delivered_ones_is_removed_from_the_disk(
    desk: Desk,
) -> None:
    """Drop removes records from a file whose first record is already delivered."""
    kept, dropped = desk.leave(), desk.leave()
    _merge(desk)
    file = OutboxFile.claim(desk.paths[0])
    assert file is not None
    file.settle(len(file.peek(1)), 1, delivered=0)
    file.close()

    done = desk.run("outbox", "drop", "--waiting", "--job", dropped, "--yes")

    assert done.out == "dropped 4 records\n"
    assert dropped not in desk.texts()
    assert desk.texts().count(kept) == 4


def test_drop_of_a_job_takes_undelivered_records_too(desk: Desk) -> None:
    """Drop removes deferred events and unsent events of a misspelt job id."""
    misspelt, kept = str(uuid.uuid4()), desk.leave()
    report = ("event", "info", "--job", misspelt, "--message", "lost")
    desk.spawn(*report)
    assert desk.run("sync").status == UNDELIVERED
    desk.spawn(*report, TRACKERAPI_MODE="offline")

    refused = desk.run("outbox", "drop", "--job", misspelt)
    done = desk.run("outbox", "drop", "--job", misspelt, "--yes")

    assert f"would drop 2 waiting records of job '{misspelt}'" in refused.err
    assert done.out == "dropped 2 records\n"
    assert misspelt not in desk.texts()
    assert desk.run("sync").status == FINE
    assert len(desk.events(kept)) == 3


def test_misspelt_job_is_reported_by_its_own_process_alone(desk: Desk) -> None:
    """`sync` names a misspelt job; processes of other jobs do not print the job id."""
    misspelt = str(uuid.uuid4())
    first = desk.spawn("event", "info", "--job", misspelt, "--message", "lost")
    known = desk.leave()
    desk.run("sync")

    later = desk.spawn("event", "info", "--job", known, "--message", "fine")
    synced = desk.run("sync")

    assert f"outbox drop --job '{misspelt}'" in first.err
    assert misspelt not in later.err
    assert synced.status == UNDELIVERED
    assert f"the backend does not know job '{misspelt}'" in synced.err
    assert f"run: trackerapi outbox drop --job '{misspelt}'" in synced.err


def test_drop_leaves_undelivered_records_of_a_running_process(desk: Desk) -> None:
    """Records of a running process stay, and their count is printed."""
    left = desk.leave()
    with desk.job(str(uuid.uuid4())):
        done = desk.run("outbox", "drop", "--waiting", "--yes", "--json")
        counts = [(file["state"], file["waiting"]) for file in desk.files]

    assert done.json == {"dropped": 4, "left_to_running_processes": 4}
    assert counts == [("live", 4)]
    assert left not in desk.texts()


def test_drop_releases_held_records_of_a_running_process(desk: Desk) -> None:
    """Drop removes held records of a running job, and the job continues to report."""
    job_id = str(uuid.uuid4())
    how = {"customer_id": UNKNOWN_CUSTOMER, "mode": "online", "events": 2}
    with desk.job(job_id, **how) as job:
        done = desk.run("outbox", "drop", "--job", job_id, "--yes")
        assert done.out == "dropped 3 records\n"
        assert [file["held"] for file in desk.files] == [0]
        assert sum(job.report("after that")) > 0


def test_drop_of_delivered_records_leaves_nothing_to_replay(desk: Desk) -> None:
    """`drop --delivered` removes archived records, of one job or of all jobs."""
    first, second = desk.leave(), desk.leave()
    _merge(desk)
    desk.run("sync")
    (archived,) = desk.outbox.glob("delivered/*.outbox")
    os.utime(archived, (A_MOMENT, A_MOMENT))

    done = desk.run("outbox", "drop", "--delivered", "--job", first, "--yes")

    assert done.out == "dropped 4 records\n"
    assert first not in desk.texts()
    assert [file["delivered"] for file in desk.files] == [3]
    (archived,) = desk.outbox.glob("delivered/*.outbox")
    # The modification time decides when the archive is purged.
    assert archived.stat().st_mtime == A_MOMENT
    assert desk.run("outbox", "drop", "--delivered", "--yes").status == FINE
    assert second not in desk.texts()
    assert desk.files == []


def test_drop_on_a_full_disk_leaves_everything_as_it_was(desk: Desk) -> None:
    """If the disk is full, drop ends with status 2 and leaves all files unchanged."""
    kept, dropped = desk.leave(events=30), desk.leave()
    _merge(desk)
    before = desk.texts()
    arguments = ("drop", "--waiting", "--job", dropped, "--yes")

    done = desk.spawn("outbox", *arguments, limit="-f 1")

    assert (done.status, done.out, done.err.count("\n")) == (USAGE, "", 1)
    assert desk.texts() == before
    assert desk.run("outbox", *arguments).status == FINE
    assert kept in desk.texts()


def _merge(desk: Desk) -> None:
    """Move the records of all outbox files into the first file."""
    first, *others = desk.paths
    with first.open("ab") as file:
        for path in others:
            file.writelines(path.read_bytes().splitlines(keepends=True)[1:])
            path.unlink()
