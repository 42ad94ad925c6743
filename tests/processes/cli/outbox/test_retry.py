"""`trackerapi outbox retry` on records that a real backend has rejected."""

import json
import re
import uuid

import pytest

from tests.support.fault_proxy import FaultProxy
from tests.support.leftovers import (
    SECRET,
    UNKNOWN_CUSTOMER,
    Machine,
    held_records,
)
from tests.support.scripted_server import NOWHERE
from trackerapi import TrackerApi
from trackerapi.cli.exit_statuses import (
    FINE,
    HELD,
    UNAVAILABLE,
)
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.held import JournalEntry


def test_retry_with_another_customer_fixes_a_rejected_job(
    machine: Machine, held_job: str
) -> None:
    """Retry with the right customer creates the job and delivers its events."""
    customer = str(machine.backend.customer_id)
    done = machine.run("outbox", "retry", "--job", held_job, "--customer-id", customer)

    assert (done.status, done.err) == (FINE, "")
    assert done.out == "4 records taken, 0 still held\n"
    assert machine.messages(held_job) == ["line 0", "line 1", "line 2"]
    assert {file["state"] for file in machine.files} == {"delivered"}
    assert machine.run("sync").out == "delivered 0 events; 0 waiting, 0 held\n"


def test_retry_with_the_known_tag_attaches_to_the_job(machine: Machine) -> None:
    """`sync` advises a retry with `--tag`; a retry with the right tag delivers."""
    job_id = str(uuid.uuid4())
    with TrackerApi(machine.backend.api_key, machine.backend.base_url) as tracker:
        tracker.create_job(job_id, machine.backend.customer_id, "nightly")
    with machine.job(job_id, events=2):
        pass

    refused = machine.run("sync")
    again = machine.run("outbox", "retry", "--job", job_id)
    done = machine.run("outbox", "retry", "--job", job_id, "--tag", "nightly")

    fix = f"trackerapi outbox retry --job '{job_id}' [--customer-id N] --tag TAG"
    assert (refused.status, fix in refused.err) == (HELD, True)
    assert (again.status, done.status) == (HELD, FINE)
    assert machine.messages(job_id) == ["line 0", "line 1"]


def test_retry_fixes_a_job_without_a_sync_before(machine: Machine) -> None:
    """Retry with the right customer also delivers a job that was never sent before."""
    job_id = machine.leave(customer_id=UNKNOWN_CUSTOMER)
    customer = str(machine.backend.customer_id)

    done = machine.run("outbox", "retry", "--job", job_id, "--customer-id", customer)

    assert (done.status, done.err) == (FINE, "")
    assert len(machine.events(job_id)) == 3


def test_retry_without_a_fix_keeps_everything_held(
    machine: Machine, held_job: str
) -> None:
    """Records that are rejected again keep the time of their first rejection."""
    (journal,) = machine.outbox.glob("*.held")
    long_ago = re.sub(r'"since":"[^"]*"', '"since":"2020-01-01"', journal.read_text())
    journal.write_text(long_ago)
    before = held_records(machine)

    done = machine.run("outbox", "retry", "--json")

    assert done.status == HELD
    assert (done.json["taken"], done.json["held"]) == (0, 4)
    assert "no customer" in done.json["reasons"][held_job]
    after = held_records(machine)
    assert [record["since"] for record in after] == ["2020-01-01"] * 4
    assert [record["record"] for record in after] == [r["record"] for r in before]


def test_retry_sends_more_than_one_batch(machine: Machine) -> None:
    """Retry delivers 1,201 held records, which exceed one batch, in order."""
    job_id = machine.leave(customer_id=UNKNOWN_CUSTOMER, events=1_200)
    customer = str(machine.backend.customer_id)
    machine.run("sync")

    done = machine.run("outbox", "retry", "--job", job_id, "--customer-id", customer)

    assert done.out == "1,201 records taken, 0 still held\n"
    assert machine.messages(job_id) == [f"line {number}" for number in range(1_200)]
    assert machine.run("outbox", "replay", "--json").json["duplicates"] == 1_200


def test_retry_of_a_rejected_event_keeps_only_this_event(machine: Machine) -> None:
    """A malformed event stays held; the other event of the job is delivered."""
    job_id = machine.leave(events=1)
    wrong = json.dumps({"provider_job_id": job_id, "event_id": "none"})
    with machine.paths[0].open("a") as file:
        file.write(f"{wrong}\n")
    assert machine.run("sync").status == HELD

    done = machine.run("outbox", "retry", "--job", job_id, "--customer-id", "143")

    assert (done.status, done.out) == (HELD, "0 records taken, 1 still held\n")
    assert "the job stays as it is" in done.err
    assert machine.messages(job_id) == ["line 0"]


def test_retry_of_an_event_of_a_lost_job_creates_the_job(machine: Machine) -> None:
    """Retry of held events creates their lost job and delivers the events."""
    job_id = machine.leave(events=2)
    (path,) = machine.paths
    file = OutboxFile.claim(path)
    assert file is not None
    events = path.read_bytes().splitlines(keepends=True)[2:]
    file.held.add([JournalEntry(record=e, problem={"title": "Lost"}) for e in events])
    file.settle(file.end - file.start, 3, delivered=0)
    file.close()

    done = machine.run("outbox", "retry", "--json")

    assert (done.status, done.json["held"], done.json["waiting"]) == (FINE, 0, 0)
    assert len(machine.events(job_id)) == 2


def test_retry_with_a_wrong_customer_keeps_the_newest_reason(
    machine: Machine, held_job: str
) -> None:
    """A second wrong customer replaces the reason; the right customer fixes the job."""
    wrong, right = str(UNKNOWN_CUSTOMER + 1), str(machine.backend.customer_id)

    done = machine.run("outbox", "retry", "--job", held_job, "--customer-id", wrong)

    assert done.status == HELD
    assert f"no customer {wrong}" in done.err
    fix = machine.run("outbox", "retry", "--job", held_job, "--customer-id", right)
    assert fix.status == FINE
    assert len(machine.events(held_job)) == 3


def test_retry_of_one_job_leaves_the_others_held(
    machine: Machine, held_job: str
) -> None:
    """With `--job`, retry sends only held records of that job."""
    other = machine.leave(customer_id=UNKNOWN_CUSTOMER, events=1)
    customer = str(machine.backend.customer_id)

    done = machine.run("outbox", "retry", "--job", held_job, "--customer-id", customer)

    assert done.status == FINE
    assert sum(file["held"] for file in machine.files) == 2
    assert other in machine.texts()


def test_retry_works_while_the_job_runs(machine: Machine) -> None:
    """Retry delivers held records of a running job; later reports are delivered too."""
    job_id, customer = str(uuid.uuid4()), str(machine.backend.customer_id)
    how = {"customer_id": UNKNOWN_CUSTOMER, "mode": "online", "events": 2}
    with machine.job(job_id, **how) as job:
        assert job.report("refused with its job") == (0, 4)
        done = machine.run(
            "outbox", "retry", "--job", job_id, "--customer-id", customer
        )
        assert (done.status, done.out) == (FINE, "4 records taken, 0 still held\n")
        assert job.report("after the fix") == (0, 0)

    assert machine.messages(job_id) == [
        "line 0",
        "line 1",
        "refused with its job",
        "after the fix",
    ]


def test_retry_with_nothing_held_prints_the_folder(machine: Machine) -> None:
    """If no record is held, retry prints the outbox folder and ends with status 0."""
    machine.leave()

    done = machine.run("outbox", "retry", "--job", "elsewhere")

    assert done.status == FINE
    assert done.out == f"nothing is held of job 'elsewhere' in {machine.outbox}\n"


def test_retry_of_an_empty_outbox_sends_no_request(machine: Machine) -> None:
    """If no record is held, retry ends with status 0 even without a backend."""
    done = machine.run("outbox", "retry", TRACKERAPI_BASE_URL=NOWHERE)

    assert (done.status, done.err) == (FINE, "")


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("command", ["retry", "replay"])
def test_command_without_a_backend_ends_with_status_one(
    machine: Machine, command: str
) -> None:
    """Without a backend, the command prints one line and changes no file."""
    with FaultProxy(machine.backend.base_url) as proxy:
        machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
        machine.leave(events=1)
        machine.leave(customer_id=UNKNOWN_CUSTOMER)
        machine.run("sync")
        before = machine.texts()
        with proxy.down():
            done = machine.run("outbox", command, "--timeout", "60")

    assert done.status == UNAVAILABLE
    assert done.err.startswith("trackerapi: the backend cannot be reached")
    assert done.err.count("\n") == 1
    assert machine.texts() == before


@pytest.mark.parametrize("command", ["retry", "replay"])
def test_command_with_a_rejected_key_ends_with_status_one(
    machine: Machine, held_job: str, command: str
) -> None:
    """One line reports that the key was rejected, without the secret of the key."""
    key_id = machine.backend.api_key.split("_")[1]
    other = f"trk_{key_id}_{SECRET}_abc123"

    done = machine.run("outbox", command, TRACKERAPI_API_KEY=other)

    assert done.status == UNAVAILABLE
    assert "refused the API key (HTTP 401" in done.err
    assert done.err.count("\n") == 1
    assert SECRET not in done.out + done.err
