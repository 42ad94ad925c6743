"""`trackerapi outbox show`, on files of killed processes."""

import pytest

from tests.support.leftovers import (
    SECRET,
    UNKNOWN_CUSTOMER,
    Machine,
)
from trackerapi.cli.exit_statuses import (
    FINE,
    USAGE,
)
from trackerapi.outbox.file import OutboxFile


def test_show_prints_held_records_and_reasons(machine: Machine, held_job: str) -> None:
    """`outbox show` prints each held record with its reason and metadata."""
    (file,) = machine.files

    done = machine.run("outbox", "show", file["id"])

    assert (done.status, done.err) == (FINE, "")
    assert f"{held_job}  create_job" in done.out
    assert f"This provider has no customer {UNKNOWN_CUSTOMER}." in done.out
    assert "the job of this event was refused" in done.out
    assert f"{SECRET} 2" in done.out
    assert "held: 0 waiting, 4 held, 0 delivered" in done.out


def test_show_as_json_is_one_object_a_line(machine: Machine, held_job: str) -> None:
    """`--json` prints one JSON object per record: state, problem and record."""
    (file,) = machine.files

    creation, *events = machine.run("outbox", "show", file["id"], "--json").lines

    assert creation["state"] == "held"
    assert creation["problem"]["status"] == 404
    assert creation["record"]["create_job"]["provider_job_id"] == held_job
    assert [event["record"]["message"] for event in events] == [
        "line 0",
        "line 1",
        "line 2",
    ]


@pytest.mark.parametrize("length", [4, 12])
def test_show_takes_the_beginning_of_an_id(machine: Machine, length: int) -> None:
    """The first 4 characters of an id are enough to select a file."""
    machine.leave()
    (file,) = machine.files

    shown = machine.run("outbox", "show", file["id"][:length], "--json").lines

    assert [record["state"] for record in shown] == ["waiting"] * 4


def test_show_refuses_an_ambiguous_beginning(machine: Machine) -> None:
    """A beginning that two file ids share ends with status 2."""
    machine.leave(events=0)
    machine.leave(events=0)

    done = machine.run("outbox", "show", machine.paths[0].stem[:6])

    assert done.status == USAGE
    assert "matches 2 outbox files" in done.err
    assert "..." not in done.err


def test_show_of_a_delivered_file_shows_its_records_on_request(
    machine: Machine,
) -> None:
    """`--all` also shows settled records."""
    machine.leave(events=1)
    machine.run("sync")
    (file,) = machine.files

    assert machine.run("outbox", "show", file["id"], "--json").lines == []
    shown = machine.run("outbox", "show", file["id"], "--all", "--json").lines
    assert [record["state"] for record in shown] == ["settled", "settled"]


def test_show_of_a_file_delivered_in_part_shows_each_record_once(
    machine: Machine,
) -> None:
    """`--all` shows settled records first, then the undelivered ones."""
    machine.leave(events=2)
    file = OutboxFile.claim(machine.paths[0])
    assert file is not None
    file.settle(len(file.peek(1)), 1, delivered=0)
    file.close()

    shown = machine.run(
        "outbox", "show", machine.files[0]["id"], "--all", "--json"
    ).lines

    assert [record["state"] for record in shown] == ["settled", "waiting", "waiting"]


def test_show_escapes_control_characters(machine: Machine) -> None:
    """Control characters in intact and in damaged records are escaped."""
    machine.leave(events=0)
    with machine.paths[0].open("ab") as file:
        file.write(b'{"event_id":"1","kind":"a\\u001b[2Jb","message":"\\u009bc"}\n')
        file.write(b"damaged \x1b[2J\n")
    (listed,) = machine.files

    done = machine.run("outbox", "show", listed["id"])

    assert "\x1b" not in done.out
    assert "\x9b" not in done.out
    assert "damaged: damaged \N{REPLACEMENT CHARACTER}[2J" in done.out
