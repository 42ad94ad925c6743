"""Records that no backend accepted: `sync` names them, `outbox claim` binds them."""

from collections.abc import Callable
from typing import Final

import pytest

from tests.support.leftovers import Machine
from tests.support.scripted_server import NOWHERE
from trackerapi.cli.exit_statuses import FINE, UNDELIVERED, USAGE

Settings = dict[str, str]

STRANDED: Final[dict[str, Callable[[Machine], Settings]]] = {
    "key with quotes": lambda machine: {
        "TRACKERAPI_API_KEY": f'"{machine.backend.api_key}"'
    },
    "key that is a word": lambda _: {"TRACKERAPI_API_KEY": "YOUR_API_KEY"},
    "key with another secret": lambda _: {
        "TRACKERAPI_API_KEY": "trk_3kTMd9aZ_" + "x" * 43 + "_AAAAAA"
    },
    "wrong port": lambda _: {"TRACKERAPI_BASE_URL": NOWHERE},
    "https for http": lambda machine: {
        "TRACKERAPI_BASE_URL": machine.backend.base_url.replace("http:", "https:")
    },
    "path behind the address": lambda machine: {
        "TRACKERAPI_BASE_URL": f"{machine.backend.base_url}/api"
    },
    "longer host": lambda _: {
        "TRACKERAPI_BASE_URL": f"http://{'.'.join(3 * ['a' * 60])}.test:9"
    },
}
"""Settings whose address or key no backend accepts; the keys name the mistakes."""

stranding = pytest.mark.parametrize("wrong", STRANDED.values(), ids=STRANDED)


@stranding
def test_sync_names_records_that_no_backend_accepted(
    machine: Machine, wrong: Callable[[Machine], Settings]
) -> None:
    """`sync` ends with 1 and prints file, reason and command; the file is unchanged."""
    machine.leave(mode="offline", **wrong(machine))
    (file,) = machine.files
    before = machine.paths[0].read_bytes()

    done = machine.run("sync")

    assert done.status == UNDELIVERED
    assert f"file {file['id']} (4 records): no backend has ever accepted" in done.err
    assert f"run: trackerapi outbox claim {file['id']}\n" in done.err
    assert machine.paths[0].read_bytes() == before


@stranding
def test_claimed_records_are_delivered(
    machine: Machine, wrong: Callable[[Machine], Settings]
) -> None:
    """The command that `sync` prints binds the file; the next `sync` delivers it."""
    job_id = machine.leave(mode="offline", **wrong(machine))
    (file,) = machine.files

    claimed = machine.run("outbox", "claim", file["id"], "--yes")

    assert (claimed.status, claimed.err) == (FINE, "")
    assert claimed.out.startswith("bound 1 file to http://")
    assert machine.run("sync").status == FINE
    assert machine.messages(job_id) == ["line 0", "line 1", "line 2"]


def test_job_with_a_wrong_path_is_unreachable_and_not_refused(machine: Machine) -> None:
    """With a wrong path in the address, records stay undelivered and are not held."""
    wrong = {
        "TRACKERAPI_BASE_URL": f"{machine.backend.base_url}/api",
        "FLUSH_SECONDS": "10",
    }
    with machine.job(job_id := "wrong-path", mode="online", events=0, **wrong) as job:
        waiting, held = job.report("line")

    assert (waiting, held) == (2, 0)
    assert machine.run("sync", "--timeout", "5").status == UNDELIVERED
    assert machine.run("outbox", "claim", "--all", "--yes").status == FINE
    assert machine.run("sync").status == FINE
    assert machine.messages(job_id) == ["line"]


def test_end_of_a_script_names_the_command_for_a_wrong_address(
    machine: Machine,
) -> None:
    """The last line of a script with a wrong address names `outbox claim`."""
    report = ("event", "info", "--job", "wrong-address", "--message", "line")

    wrong = machine.spawn(*report, TRACKERAPI_BASE_URL=NOWHERE)

    last = wrong.err.splitlines()[-1]
    assert "not delivered yet: 1 record stays in" in last
    assert f"if {NOWHERE} or the API key is wrong" in last
    assert "`trackerapi outbox claim`" in last


def test_claim_refuses_without_a_terminal_or_consent(machine: Machine) -> None:
    """Without a terminal and without `--yes`, claim lists the files and binds none."""
    machine.leave(TRACKERAPI_BASE_URL=NOWHERE)
    (file,) = machine.files

    done = machine.run("outbox", "claim")

    assert (done.status, done.out) == (USAGE, "")
    assert f"file {file['id']}: 4 records for {NOWHERE}" in done.err
    assert "pass --yes to do it" in done.err
    assert machine.files == [file]


@pytest.mark.parametrize(("typed", "status"), [("y\n", FINE), ("\n", USAGE)])
def test_claim_asks_at_a_terminal(machine: Machine, typed: str, status: int) -> None:
    """On a terminal, claim binds only after the answer yes."""
    machine.leave(TRACKERAPI_BASE_URL=NOWHERE)

    done = machine.type(typed, "outbox", "claim")

    assert done.status == status
    assert "bind 4 records of 1 file to http://" in done.err
    is_bound = machine.files[0]["base_url"] == machine.backend.base_url
    assert is_bound is (status == FINE)


def test_dry_run_lists_and_changes_nothing(machine: Machine) -> None:
    """`--dry-run` lists the files, sends no request and asks no question."""
    machine.leave(TRACKERAPI_BASE_URL=NOWHERE)
    (file,) = machine.files

    done = machine.run("outbox", "claim", "--dry-run")
    as_json = machine.run("outbox", "claim", "--dry-run", "--json").json

    assert done.status == FINE
    assert done.out.splitlines()[-1] == "1 file: 4 records"
    assert [each["id"] for each in as_json["files"]] == [file["id"]]
    assert as_json["bound"] == []
    assert machine.files == [file]


def test_claim_binds_nothing_to_a_key_that_the_backend_refuses(
    machine: Machine,
) -> None:
    """Claim binds no file to a key that the backend refuses."""
    machine.leave(TRACKERAPI_BASE_URL=NOWHERE)
    (file,) = machine.files

    wrong = "trk_3kTMd9aZ_" + "x" * 43 + "_AAAAAA"
    done = machine.run("outbox", "claim", "--yes", TRACKERAPI_API_KEY=wrong)

    assert done.status == UNDELIVERED
    assert "nothing was bound" in done.err
    assert machine.files == [file]


def test_claim_of_all_leaves_confirmed_files_alone(machine: Machine) -> None:
    """Records of another provider are bound only when their file is named."""
    machine.leave(TRACKERAPI_API_KEY="trk_3kTMd9aZ_" + "x" * 43 + "_AAAAAA")
    machine.name_provider(123_456)
    (file,) = machine.files

    assert machine.run("outbox", "claim", "--yes").out.startswith("nothing to bind")
    assert machine.files == [file]
    done = machine.run("outbox", "claim", file["id"][:6], "--yes", "--json")
    assert (done.status, len(done.json["bound"])) == (FINE, 1)
    assert machine.run("sync").status == FINE


def test_file_that_is_named_twice_is_bound_once(machine: Machine) -> None:
    """A file named by its id and by the first 6 characters of the id is bound once."""
    machine.leave(TRACKERAPI_BASE_URL=NOWHERE)
    (file,) = machine.files

    done = machine.run("outbox", "claim", file["id"], file["id"][:6], "--yes", "--json")

    assert [each["id"] for each in done.json["files"]] == [file["id"]]
    assert len(done.json["bound"]) == 1


def test_claim_with_the_wrong_key_of_the_file_does_not_call_it_accepted(
    machine: Machine,
) -> None:
    """Claim with a file's rejected key does not print that the key was accepted."""
    wrong = "trk_3kTMd9aZ_" + "x" * 43 + "_AAAAAA"
    machine.leave(TRACKERAPI_API_KEY=wrong)

    done = machine.run("outbox", "claim", "--yes", TRACKERAPI_API_KEY=wrong)

    assert "all files are for this address and key, or for another" in done.out


def test_claim_leaves_files_of_running_processes(machine: Machine) -> None:
    """The file of a running process cannot be claimed."""
    with machine.job("claimed-alive", TRACKERAPI_BASE_URL=NOWHERE):
        (file,) = machine.files
        done = machine.run("outbox", "claim", file["id"], "--yes")
        everything = machine.run("outbox", "claim", "--yes")

    assert done.status == USAGE
    assert "a running process has file" in done.err
    assert everything.out.startswith("nothing to bind")


def test_held_records_are_claimed_with_their_reasons(
    machine: Machine, held_job: str
) -> None:
    """After a claim, `outbox retry` sends held records and creates the job."""
    content = machine.paths[0].read_bytes()
    address = machine.backend.base_url.encode()
    elsewhere = content.replace(address, b"http://127.0.0.1:1".ljust(len(address)))
    machine.paths[0].write_bytes(
        elsewhere.replace(b'"provider_id": 1', b'"provider_id": null')
    )
    (file,) = machine.files

    before = machine.run("outbox", "retry", "--job", held_job)
    done = machine.run("outbox", "claim", file["id"], "--yes")

    assert f"run: trackerapi outbox claim {file['id']}" in before.err
    assert (done.status, "outbox retry" in done.out) == (FINE, True)
    customer = str(machine.backend.customer_id)
    retried = machine.run(
        "outbox", "retry", "--job", held_job, "--customer-id", customer
    )
    assert retried.out == "4 records taken, 0 still held\n"
    assert len(machine.events(held_job)) == 3
