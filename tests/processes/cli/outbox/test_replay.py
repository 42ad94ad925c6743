"""`trackerapi outbox replay` to backends that have or have not lost records."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from demo.backend import start_backend
from tests.support.fault_proxy import FaultProxy
from tests.support.leftovers import (
    UNKNOWN_CUSTOMER,
    Machine,
)
from tests.support.running_backend import RunningBackend
from trackerapi.cli.exit_statuses import (
    FINE,
    HELD,
)


def test_replay_repairs_a_backend_restored_from_a_backup(tmp_path: Path) -> None:
    """Replay restores jobs and events newer than the backup of the backend."""
    data, copy = tmp_path / "data", tmp_path / "copy"
    with FaultProxy("") as proxy:
        machine = Machine(RunningBackend("", "", "", 0), tmp_path / "outbox")
        machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
        with _serving(data, machine, proxy):
            before = machine.leave()
            assert machine.run("sync").status == FINE
        shutil.copytree(data, copy)
        with _serving(data, machine, proxy):
            after = machine.leave(events=2)
            assert machine.run("sync").status == FINE
        with _serving(copy, machine, proxy):
            done = machine.run("outbox", "replay", "--json")

            assert done.status == FINE
            assert (done.json["jobs"], done.json["accepted"]) == (2, 2)
            assert done.json["duplicates"] == 3
            assert len(machine.events(before)) == 3
            assert machine.messages(after) == ["line 0", "line 1"]


@contextmanager
def _serving(folder: Path, machine: Machine, proxy: FaultProxy) -> Iterator[None]:
    """Run a backend from a folder, behind a proxy."""
    with start_backend(folder) as started:
        url, key = started.base_url, started.api_key
        machine.backend = RunningBackend(url, key, "", started.customer_id)
        proxy.backend_url = url
        yield


def test_replay_sends_delivered_records_of_a_running_process(machine: Machine) -> None:
    """Files of running processes are read, and not changed."""
    job_id = str(uuid.uuid4())
    with machine.job(job_id, mode="online"):
        content = machine.texts()
        done = machine.run("outbox", "replay")
        assert machine.texts() == content

    assert (done.status, done.err) == (FINE, "")
    assert done.out == "1 job: 0 events accepted, 3 duplicates\n"


def test_replay_leaves_out_undelivered_held_and_dropped_records(
    machine: Machine, held_job: str
) -> None:
    """Only delivered records are sent again."""
    machine.leave()
    customer = machine.backend.customer_id
    how = {"customer_id": UNKNOWN_CUSTOMER, "mode": "online", "events": 1}
    with machine.job(str(uuid.uuid4()), **how) as job:
        job.report("is dropped")
        machine.run("outbox", "drop", "--yes")
        done = machine.run("outbox", "replay", "--json")

    assert customer != UNKNOWN_CUSTOMER
    assert done.status == FINE
    assert (done.json["accepted"], done.json["duplicates"]) == (0, 3)
    assert done.json["refused"] == 0


def test_replay_of_one_job_or_since_a_time_sends_less(machine: Machine) -> None:
    """Replay sends only records of the given job, or since the given time."""
    job_id, _ = machine.leave(events=1), machine.leave(events=2)
    machine.run("sync")
    soon = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    past = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()

    def duplicates(*options: str) -> int:
        count: int = machine.run("outbox", "replay", "--json", *options).json[
            "duplicates"
        ]
        return count

    assert duplicates() == 3
    assert duplicates("--job", job_id) == 1
    assert duplicates("--since", past) == 3
    assert duplicates("--since", soon) == 0


def test_replay_skips_damaged_records(machine: Machine) -> None:
    """Replay leaves out a damaged record and sends the other records."""
    machine.leave(events=2)
    machine.run("sync")
    (path,) = machine.outbox.rglob("*.outbox")
    content = path.read_bytes()
    spoilt = content.index(b'{"event_id"')
    path.write_bytes(content[:spoilt] + b"#" + content[spoilt + 1 :])

    done = machine.run("outbox", "replay", "--json")

    assert (done.status, done.json["duplicates"], done.json["refused"]) == (FINE, 1, 0)


def test_replay_prints_rejections_of_the_backend(machine: Machine) -> None:
    """Replay prints the reason of a job that the backend rejects; the status is 3."""
    job_id = machine.leave()
    machine.run("sync")
    for path in machine.outbox.rglob("*.outbox"):
        old, new = b'"customer_id":142', b'"customer_id":143'
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new))

    done = machine.run("outbox", "replay", "--json")

    assert done.status == HELD
    assert done.json["refused"] == 1
    assert list(done.json["reasons"]) == [job_id]


def test_replay_creates_a_fixed_job_for_the_right_customer(
    machine: Machine, held_job: str
) -> None:
    """Replay creates a job for the customer that `outbox retry` has set."""
    customer = str(machine.backend.customer_id)
    machine.run("outbox", "retry", "--job", held_job, "--customer-id", customer)

    done = machine.run("outbox", "replay", "--json")

    assert (done.status, done.json["refused"]) == (FINE, 0)
    assert done.json["duplicates"] == 3
