"""`trackerapi outbox list` and `show`, on what killed processes have left."""

import json
import os
import uuid
from pathlib import Path

import pytest

from tests.support.leftovers import (
    NO_SETTINGS,
    SECRET,
    UNKNOWN_CUSTOMER,
    Desk,
)
from trackerapi.cli.exit_statuses import (
    FINE,
    USAGE,
)
from trackerapi.outbox.file import OutboxFile


def test_list_tells_each_file_and_what_it_is_for(desk: Desk) -> None:
    """Live, waiting, held and delivered files are told apart and counted."""
    desk.leave()
    desk.run("sync")
    desk.leave(customer_id=UNKNOWN_CUSTOMER, events=1)
    desk.run("sync")
    desk.leave(events=2)
    with desk.job(str(uuid.uuid4()), events=0):
        files = {file["state"]: file for file in desk.files}
        text = desk.run("outbox", "list").out

    counts = {
        state: (file["waiting"], file["held"], file["delivered"])
        for state, file in files.items()
    }
    assert counts == {
        "live": (1, 0, 0),
        "waiting": (3, 0, 0),
        "held": (0, 2, 0),
        "delivered": (0, 0, 3),
    }
    assert all(file["base_url"] == desk.backend.base_url for file in files.values())
    assert files["waiting"]["key_id"] == desk.backend.api_key.split("_")[1]
    heading, *rows, total = text.splitlines()
    assert heading.split()[:5] == ["ID", "STATE", "WAITING", "HELD", "DELIVERED"]
    assert [row.split()[:5] for row in rows] == [
        [files[state]["id"], state, *map(str, counts[state])]
        for state in ("held", "waiting", "live")
    ]
    assert total == "3 files: 4 waiting, 2 held"


def test_list_shows_nothing_that_a_job_has_reported(desk: Desk, held_job: str) -> None:
    """What is the provider's alone is shown to who asks for it, not to who lists."""
    listed = desk.run("outbox", "list").out + json.dumps(desk.files)

    assert SECRET in desk.texts()
    assert SECRET not in listed
    assert held_job not in listed


def test_list_needs_neither_address_nor_key(desk: Desk) -> None:
    """The operator of a machine without a network sees what waits."""
    desk.leave()

    done = desk.run("outbox", "list", **NO_SETTINGS)

    assert (done.status, done.err) == (FINE, "")
    assert "1 file: 4 waiting, 0 held" in done.out


def test_list_of_an_empty_outbox_says_where_it_looked(desk: Desk) -> None:
    """An outbox that nobody has used yet is no mistake."""
    done = desk.run("outbox", "list")

    assert (done.status, done.err) == (FINE, "")
    assert done.out == f"nothing waits in {desk.outbox}\n"
    assert desk.run("outbox", "list", "--json").json["files"] == []


def test_list_reads_a_file_that_a_torn_line_ends(desk: Desk) -> None:
    """Half a record, for which no call has returned, counts for nothing."""
    desk.leave(events=1)
    with desk.paths[0].open("ab") as file:
        file.write(b'{"event_id":"half')

    assert [file["waiting"] for file in desk.files] == [2]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["list", "--outbox", "/missing/folder"],
        ["list", "--outbox", "/dev/null"],
        ["list", "--outbox", " "],
        ["show"],
        ["show", "nobody"],
        ["show", ""],
        ["show", "torn"],
        ["show", "later"],
        ["retry", "--customer-id", "142"],
        ["retry", "--job", "a", "--customer-id", "0"],
        ["retry", "--job", "a", "--customer-id", "me"],
        ["replay", "--since", "yesterday"],
        ["drop", "--held", "--waiting"],
    ],
)
def test_wrong_usage_of_outbox_ends_with_status_two(
    desk: Desk, arguments: list[str]
) -> None:
    """A mistake of the operator is told in one line, after the usage at most."""
    desk.leave()
    (desk.outbox / "torn.outbox").write_bytes(b"nothing of ours\n")
    later = desk.paths[0].read_bytes().replace(b'_outbox": 1', b'_outbox": 2')
    (desk.outbox / "later.outbox").write_bytes(later)

    done = desk.run("outbox", *arguments)

    assert (done.status, done.out) == (USAGE, "")
    assert done.err.splitlines()[-1].startswith("trackerapi")


def test_show_tells_what_is_held_and_why(desk: Desk, held_job: str) -> None:
    """Each record with its reason, and with what the job reported."""
    (file,) = desk.files

    done = desk.run("outbox", "show", file["id"])

    assert (done.status, done.err) == (FINE, "")
    assert f"{held_job}  create_job" in done.out
    assert f"This provider has no customer {UNKNOWN_CUSTOMER}." in done.out
    assert "the job of this event was refused" in done.out
    assert f"{SECRET} 2" in done.out
    assert "held: 0 waiting, 4 held, 0 delivered" in done.out


def test_show_as_json_is_one_object_a_line(desk: Desk, held_job: str) -> None:
    """A program reads record after record, each as it was recorded."""
    (file,) = desk.files

    creation, *events = desk.run("outbox", "show", file["id"], "--json").lines

    assert creation["state"] == "held"
    assert creation["problem"]["status"] == 404
    assert creation["record"]["create_job"]["provider_job_id"] == held_job
    assert [event["record"]["message"] for event in events] == [
        "line 0",
        "line 1",
        "line 2",
    ]


@pytest.mark.parametrize("length", [4, 12])
def test_show_takes_the_beginning_of_an_id(desk: Desk, length: int) -> None:
    """Nobody has to type a whole id."""
    desk.leave()
    (file,) = desk.files

    shown = desk.run("outbox", "show", file["id"][:length], "--json").lines

    assert [record["state"] for record in shown] == ["waiting"] * 4


def test_show_refuses_a_beginning_that_means_several(desk: Desk) -> None:
    """Names begin with the time, so that a beginning of it may be that of many."""
    desk.leave(events=0)
    desk.leave(events=0)

    done = desk.run("outbox", "show", desk.paths[0].stem[:6])

    assert done.status == USAGE
    assert "means 2 outbox files" in done.err


def test_show_of_a_delivered_file_shows_its_records_if_asked(desk: Desk) -> None:
    """`--all` also shows what is settled."""
    desk.leave(events=1)
    desk.run("sync")
    (file,) = desk.files

    assert desk.run("outbox", "show", file["id"], "--json").lines == []
    shown = desk.run("outbox", "show", file["id"], "--all", "--json").lines
    assert [record["state"] for record in shown] == ["settled", "settled"]


def test_show_of_a_file_delivered_in_part_shows_each_record_once(desk: Desk) -> None:
    """`--all` shows settled records first, then the undelivered ones."""
    desk.leave(events=2)
    file = OutboxFile.claim(desk.paths[0])
    assert file is not None
    file.settle(len(file.peek(1)), 1, delivered=0)
    file.close()

    shown = desk.run("outbox", "show", desk.files[0]["id"], "--all", "--json").lines

    assert [record["state"] for record in shown] == ["settled", "waiting", "waiting"]


def test_show_lets_no_record_steer_the_terminal(desk: Desk) -> None:
    """Control characters of a record, and of a damaged one, are shown harmless."""
    desk.leave(events=0)
    with desk.paths[0].open("ab") as file:
        file.write(b'{"event_id":"1","kind":"a\\u001b[2Jb","message":"\\u009bc"}\n')
        file.write(b"damaged \x1b[2J\n")
    (listed,) = desk.files

    done = desk.run("outbox", "show", listed["id"])

    assert "\x1b" not in done.out
    assert "\x9b" not in done.out
    assert "damaged: damaged \N{REPLACEMENT CHARACTER}[2J" in done.out


@pytest.mark.parametrize("command", ["list", "show", "retry", "drop", "export", "sync"])
def test_pipe_in_place_of_a_journal_holds_up_no_command(
    desk: Desk, held_job: str, tmp_path: Path, command: str
) -> None:
    """A journal of held records that became a pipe is unreadable, and stays."""
    (file,) = desk.paths
    journal = file.with_suffix(".held")
    journal.unlink()
    os.mkfifo(journal)
    options = {
        "show": [desk.files[0]["id"]],
        "drop": ["--held", "--job", held_job, "--yes"],
        "export": [str(tmp_path / "reports.bundle")],
    }
    line = ["sync"] if command == "sync" else ["outbox", command]

    done = desk.spawn(*line, *options.get(command, []))

    assert journal.is_fifo()
    assert file.exists()
    if command != "list":
        assert "not a regular file" in done.err or done.status != FINE
