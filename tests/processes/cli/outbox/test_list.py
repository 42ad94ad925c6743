"""`trackerapi outbox list`, on files of killed processes; usage errors."""

import json
import os
import uuid
from pathlib import Path

import pytest

from tests.support.leftovers import (
    NO_SETTINGS,
    SECRET,
    UNKNOWN_CUSTOMER,
    Machine,
)
from trackerapi.cli.exit_statuses import (
    FINE,
    USAGE,
)


def test_list_shows_the_state_of_each_file(machine: Machine) -> None:
    """Live, undelivered, held and delivered files are distinguished and counted."""
    machine.leave()
    machine.run("sync")
    machine.leave(customer_id=UNKNOWN_CUSTOMER, events=1)
    machine.run("sync")
    machine.leave(events=2)
    with machine.job(str(uuid.uuid4()), events=0):
        files = {file["state"]: file for file in machine.files}
        text = machine.run("outbox", "list").out

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
    assert all(file["base_url"] == machine.backend.base_url for file in files.values())
    assert files["waiting"]["key_id"] == machine.backend.api_key.split("_")[1]
    heading, *rows, total = text.splitlines()
    assert heading.split()[:5] == ["ID", "STATE", "WAITING", "HELD", "DELIVERED"]
    assert [row.split()[:5] for row in rows] == [
        [files[state]["id"], state, *map(str, counts[state])]
        for state in ("held", "waiting", "live")
    ]
    assert total == "3 files: 4 waiting, 2 held"


def test_list_shows_no_reported_texts(machine: Machine, held_job: str) -> None:
    """`outbox list` prints neither metadata nor job ids."""
    listed = machine.run("outbox", "list").out + json.dumps(machine.files)

    assert SECRET in machine.texts()
    assert SECRET not in listed
    assert held_job not in listed


def test_list_needs_neither_address_nor_key(machine: Machine) -> None:
    """Without an address and a key, `outbox list` counts the undelivered records."""
    machine.leave()

    done = machine.run("outbox", "list", **NO_SETTINGS)

    assert (done.status, done.err) == (FINE, "")
    assert "1 file: 4 waiting, 0 held" in done.out


def test_list_of_an_empty_outbox_names_the_folder(machine: Machine) -> None:
    """If the outbox folder is missing, list prints its path and ends with status 0."""
    done = machine.run("outbox", "list")

    assert (done.status, done.err) == (FINE, "")
    assert done.out == f"nothing waits in {machine.outbox}\n"
    assert machine.run("outbox", "list", "--json").json["files"] == []


def test_list_reads_a_file_that_ends_with_a_torn_line(machine: Machine) -> None:
    """An incomplete last line is not counted as a record."""
    machine.leave(events=1)
    with machine.paths[0].open("ab") as file:
        file.write(b'{"event_id":"half')

    assert [file["waiting"] for file in machine.files] == [2]


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
    machine: Machine, arguments: list[str]
) -> None:
    """After a usage error, the last line on standard error is the message."""
    machine.leave()
    (machine.outbox / "torn.outbox").write_bytes(b"nothing of ours\n")
    later = machine.paths[0].read_bytes().replace(b'_outbox": 1', b'_outbox": 2')
    (machine.outbox / "later.outbox").write_bytes(later)

    done = machine.run("outbox", *arguments)

    assert (done.status, done.out) == (USAGE, "")
    assert done.err.splitlines()[-1].startswith("trackerapi")


@pytest.mark.parametrize("command", ["list", "show", "retry", "drop", "export", "sync"])
def test_pipe_in_place_of_a_journal_blocks_no_command(
    machine: Machine, held_job: str, tmp_path: Path, command: str
) -> None:
    """Each command ends although the journal is a named pipe, and keeps the pipe."""
    (file,) = machine.paths
    journal = file.with_suffix(".held")
    journal.unlink()
    os.mkfifo(journal)
    options = {
        "show": [machine.files[0]["id"]],
        "drop": ["--held", "--job", held_job, "--yes"],
        "export": [str(tmp_path / "reports.bundle")],
    }
    line = ["sync"] if command == "sync" else ["outbox", command]

    done = machine.spawn(*line, *options.get(command, []))

    assert journal.is_fifo()
    assert file.exists()
    if command != "list":
        assert "not a regular file" in done.err or done.status != FINE
