"""`trackerapi sync` on the files of killed processes, with a real backend."""

import os
import uuid
from pathlib import Path
from typing import Final

import pytest

from tests.support.command_fixtures import SkippingClock
from tests.support.fault_proxy import Exchange, FaultProxy, pass_on
from tests.support.faults import black_hole, busy, key_refused, unavailable
from tests.support.leftovers import (
    UNKNOWN_CUSTOMER,
    Machine,
)
from tests.support.scripted_server import KEY, NOWHERE
from trackerapi import TrackerApi
from trackerapi.cli.exit_statuses import (
    FINE,
    HELD,
    UNAVAILABLE,
    UNDELIVERED,
    USAGE,
)
from trackerapi.models import NewApiKey

SOMEBODY: Final = 65534
"""User id of a user other than root."""


def test_sync_delivers_leftovers_of_a_killed_process(machine: Machine) -> None:
    """All events arrive in order, and the file is archived."""
    job_id = machine.leave(events=3)

    done = machine.spawn("sync")

    assert (done.status, done.err) == (FINE, "")
    assert done.out == "delivered 3 events; 0 waiting, 0 held\n"
    assert machine.messages(job_id) == ["line 0", "line 1", "line 2"]
    assert machine.paths == []
    assert [file["state"] for file in machine.files] == ["delivered"]


def test_sync_makes_no_outbox_file(machine: Machine) -> None:
    """After two runs of `sync`, the outbox has only the file of the job."""
    machine.leave()
    before = [path.name for path in machine.paths]

    machine.run("sync")
    machine.run("sync")

    assert [path.name for path in machine.outbox.rglob("*.outbox")] == before


def test_sync_of_an_empty_outbox_sends_no_request(machine: Machine) -> None:
    """`sync` of an empty outbox ends with status 0 although no backend is reachable."""
    done = machine.run("sync", TRACKERAPI_BASE_URL=NOWHERE)

    assert (done.status, done.err) == (FINE, "")
    assert not machine.outbox.exists()


def test_sync_delivers_in_every_mode_of_jobs(machine: Machine) -> None:
    """`sync` delivers even if `TRACKERAPI_MODE` is `offline`."""
    job_id = machine.leave()

    assert machine.run("sync", TRACKERAPI_MODE="offline").status == FINE
    assert len(machine.events(job_id)) == 3


def test_sync_takes_folder_address_and_key_as_options(
    machine: Machine, tmp_path: Path
) -> None:
    """`--outbox`, `--base-url` and `--api-key-file` override the environment."""
    job_id = machine.leave()
    elsewhere = {
        "TRACKERAPI_BASE_URL": NOWHERE,
        "TRACKERAPI_API_KEY": "",
        "TRACKERAPI_OUTBOX": str(tmp_path / "elsewhere"),
    }
    options = ["--outbox", str(machine.outbox), "--base-url", machine.backend.base_url]
    options += ["--api-key-file", machine.backend.api_key_file]

    assert machine.run("sync", *options, **elsewhere).status == FINE
    assert len(machine.events(job_id)) == 3


def test_sync_knows_its_address_in_every_spelling(machine: Machine) -> None:
    """Capitals and trailing slashes in an address do not make another backend."""
    port = machine.backend.base_url.rpartition(":")[2]
    job_id = machine.leave(TRACKERAPI_BASE_URL=f"HTTP://LOCALHOST:{port}//")

    done = machine.run("sync", TRACKERAPI_BASE_URL=f"http://localhost:{port}")

    assert done.status == FINE
    assert len(machine.events(job_id)) == 3


def test_sync_as_json_can_be_read_by_programs(machine: Machine) -> None:
    """`sync --json` prints one object with all counts."""
    machine.leave(events=2)

    done = machine.run("sync", "--json")

    assert done.err == ""
    assert done.json == {
        "delivered": 2,
        "waiting": 0,
        "held": 0,
        "dropped": {},
        "last_error": None,
        "files": {
            "live": 0,
            "elsewhere": 0,
            "unconfirmed": 0,
            "newer": 0,
            "unreadable": 0,
        },
        "remaining": [],
    }


@pytest.mark.parametrize("late_seconds", [0.0, 3600.0])
def test_sync_without_a_backend_ends_with_status_one(
    machine: Machine, proxy: FaultProxy, clock: SkippingClock, late_seconds: float
) -> None:
    """`sync` counts the undelivered records, gives one reason, and loses none.

    This also holds if the machine wakes up from a pause after the timeout.
    """
    machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
    job_id = machine.leave(events=3)
    clock.late_seconds = late_seconds
    with proxy.down():
        done = machine.run("sync", "--timeout", "60", "--json")

    assert done.status == UNDELIVERED
    assert (done.json["delivered"], done.json["waiting"]) == (0, 4)
    assert "Connection refused" in done.json["last_error"]
    assert done.err.startswith("trackerapi: the backend cannot be reached")
    assert done.err.count("\n") == 1
    assert machine.run("sync").status == FINE
    assert len(machine.events(job_id)) == 3


def test_sync_retries_a_busy_backend(machine: Machine, proxy: FaultProxy) -> None:
    """After an answer 503, `sync` sends the request again and prints no message."""
    machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
    job_id = machine.leave()
    failing = 2

    def fault(exchange: Exchange) -> None:
        nonlocal failing
        failing -= 1
        (unavailable if failing >= 0 else pass_on)(exchange)

    with proxy.failing(fault):
        done = machine.run("sync")

    assert (done.status, done.err, failing < 0) == (FINE, "", True)
    assert len(machine.events(job_id)) == 3


def test_sync_does_not_wait_longer_than_its_timeout(
    machine: Machine, proxy: FaultProxy
) -> None:
    """`sync` ends after one request if `Retry-After` exceeds its timeout."""
    machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
    machine.leave()

    with proxy.failing(busy(3600)):
        done = machine.run("sync")

    assert done.status == UNDELIVERED
    assert len(proxy.requests) == 1


def test_sync_leaves_a_silent_backend_in_time(
    machine: Machine, proxy: FaultProxy
) -> None:
    """`sync` ends after its timeout if the backend never answers; no record is lost."""
    machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
    job_id = machine.leave()

    with proxy.failing(black_hole):
        done = machine.run("sync", "--timeout", "0.3", "--json")

    assert (done.status, done.json["waiting"]) == (UNDELIVERED, 4)
    assert machine.run("sync").status == FINE
    assert len(machine.events(job_id)) == 3


def test_sync_reports_a_rejected_key_in_one_line(
    machine: Machine, proxy: FaultProxy
) -> None:
    """After an answer 401, `sync` sends no second request and ends with status 1."""
    machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
    machine.leave()

    with proxy.failing(key_refused):
        done = machine.run("sync")

    assert done.status == UNDELIVERED
    assert f"the backend at {proxy.url} refused the API key (HTTP 401" in done.err
    assert done.err.count("\n") == 1
    assert len(proxy.requests) == 1


def test_sync_of_a_rejected_job_ends_with_status_three(machine: Machine) -> None:
    """A job for an unknown customer is held with its events; a line names the fix."""
    job_id = machine.leave(customer_id=UNKNOWN_CUSTOMER)

    done = machine.run("sync", "--json")

    assert done.status == HELD
    assert (done.json["waiting"], done.json["held"]) == (0, 4)
    assert f"trackerapi outbox retry --job {job_id!r}" in done.err
    assert machine.run("sync").status == HELD


def test_sync_creates_a_lost_job_again(machine: Machine, proxy: FaultProxy) -> None:
    """If the backend has lost a job, `sync` creates the job again and delivers."""
    machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
    job_id = machine.leave()
    is_lost = True

    def fault(exchange: Exchange) -> None:
        nonlocal is_lost
        exchange.read_body()
        if exchange.target == "/jobs" and is_lost:
            is_lost = False
            other = str(uuid.uuid4()).encode()
            exchange._body = exchange._body.replace(job_id.encode(), other)
        pass_on(exchange)

    with proxy.failing(fault):
        done = machine.run("sync")

    assert done.status == FINE
    assert len(machine.events(job_id)) == 3


def test_sync_leaves_files_of_running_processes(machine: Machine) -> None:
    """A file of a running process is counted separately; the exit status stays 0."""
    with machine.job(str(uuid.uuid4())):
        done = machine.run("sync", "--json")
        text = machine.run("sync").out

    assert (done.status, done.json["waiting"]) == (FINE, 0)
    assert done.json["files"]["live"] == 1
    assert "1 file left to their running processes" in text


def test_sync_reports_held_records_of_a_running_process(machine: Machine) -> None:
    """If a running process has held records, `sync` ends with status 3."""
    how = {"customer_id": UNKNOWN_CUSTOMER, "mode": "online", "events": 1}
    with machine.job(str(uuid.uuid4()), **how):
        done = machine.run("sync", "--json")

    assert (done.status, done.json["held"]) == (HELD, 2)


def test_sync_leaves_confirmed_records_of_another_address(
    machine: Machine,
) -> None:
    """A confirmed file for another address is listed and kept; the status is 0."""
    machine.leave(TRACKERAPI_BASE_URL=NOWHERE)
    machine.name_provider(1)
    (file,) = machine.files

    done = machine.run("sync")

    assert (done.status, len(machine.paths)) == (FINE, 1)
    assert "1 file for another address or provider left alone" in done.out
    assert f"file {file['id']} (4 records): left alone: it is for {NOWHERE}" in done.err


def new_key(machine: Machine) -> NewApiKey:
    """Create a second key of the provider, with the scope `ingest`."""
    with TrackerApi(machine.backend.api_key, machine.backend.base_url) as tracker:
        return tracker.admin.create_api_key("other", ["ingest"])


def expire(machine: Machine, key: NewApiKey) -> None:
    """Expire a key with immediate effect."""
    with TrackerApi(machine.backend.api_key, machine.backend.base_url) as tracker:
        tracker.admin.expire_api_key(key.key.key_id)


@pytest.mark.parametrize("is_down", [False, True], ids=["key ended", "backend down"])
def test_records_of_an_accepted_key_go_with_the_next_key(
    machine: Machine, proxy: FaultProxy, *, is_down: bool
) -> None:
    """Records of an accepted key are delivered with the provider's next key."""
    machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
    old = new_key(machine)
    machine.settings["TRACKERAPI_API_KEY"] = old.api_key
    before = machine.leave()
    assert machine.run("sync").status == FINE
    if is_down:
        with proxy.down():
            job_id = machine.leave()
    expire(machine, old)
    if not is_down:
        job_id = machine.leave()
        assert machine.run("sync").status == UNDELIVERED

    done = machine.run("sync", TRACKERAPI_API_KEY=new_key(machine).api_key)

    assert (done.status, done.err) == (FINE, "")
    assert [len(machine.events(each)) for each in (before, job_id)] == [3, 3]


@pytest.mark.parametrize("is_job", [True, False], ids=["next job", "sync"])
def test_records_of_a_key_that_never_worked_go_with_an_admin_key(
    machine: Machine, *, is_job: bool
) -> None:
    """Records of a key that was never accepted are delivered with an `admin` key."""
    old = new_key(machine)
    expire(machine, old)
    job_id = machine.leave(TRACKERAPI_API_KEY=old.api_key)
    other = new_key(machine).api_key

    assert machine.run("sync", TRACKERAPI_API_KEY=other).status == UNDELIVERED
    if is_job:
        with machine.job(str(uuid.uuid4()), mode="online") as job:
            assert job.report("line") == (0, 0)
    assert machine.run("sync").status == FINE

    assert len(machine.events(job_id)) == 3


def test_next_job_delivers_records_of_an_accepted_key(machine: Machine) -> None:
    """A job with the provider's next key delivers leftovers of the expired key."""
    old = new_key(machine)
    machine.leave(TRACKERAPI_API_KEY=old.api_key)
    assert machine.run("sync", TRACKERAPI_API_KEY=old.api_key).status == FINE
    left = machine.leave(TRACKERAPI_API_KEY=old.api_key)
    expire(machine, old)

    with machine.job(str(uuid.uuid4()), mode="online") as job:
        assert job.report("line") == (0, 0)

    assert len(machine.events(left)) == 3


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("is_remembered", [True, False])
def test_one_answer_that_names_another_provider_strands_nothing(
    machine: Machine, proxy: FaultProxy, *, is_remembered: bool
) -> None:
    """One answer with a wrong provider does not prevent the delivery of any record."""
    machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
    job_id = machine.leave()
    if is_remembered:
        machine.name_provider(1)
    key_id = machine.backend.api_key.split("_")[1].encode()
    others = key_id if is_remembered else key_id[::-1]
    is_confused = iter([True])

    def confused(exchange: Exchange) -> None:
        answer = exchange.ask_backend()
        if "api-keys" in exchange.request.target and next(is_confused, False):
            assert b'"provider_id":1,' in answer
            answer = answer.replace(b'"provider_id":1,', b'"provider_id":9,')
            answer = answer.replace(key_id, others)
        exchange.answer(answer)

    with proxy.failing(confused):
        first = machine.run("sync")

    assert (first.status, first.err) == (FINE, "")
    assert len(machine.events(job_id)) == 3
    later = machine.leave()
    assert (
        machine.run("sync", TRACKERAPI_API_KEY=new_key(machine).api_key).status == FINE
    )
    assert len(machine.events(later)) == 3


def test_sync_delivers_with_another_key_of_the_same_provider(machine: Machine) -> None:
    """Records of one key are delivered with another key of the same provider."""
    job_id = machine.leave()
    with TrackerApi(machine.backend.api_key, machine.backend.base_url) as tracker:
        provider_id = tracker.verify_api_key().provider_id
        other = tracker.admin.create_api_key("other", ["ingest"]).api_key
    machine.name_provider(provider_id)

    assert machine.run("sync", TRACKERAPI_API_KEY=other).status == FINE
    assert len(machine.events(job_id)) == 3


def test_sync_leaves_records_of_another_provider_alone(machine: Machine) -> None:
    """`sync` does not deliver records whose file names another provider."""
    machine.leave(TRACKERAPI_API_KEY=KEY)
    machine.name_provider(123_456)

    done = machine.run("sync", "--json")

    assert (done.status, done.json["files"]["elsewhere"]) == (FINE, 1)
    assert len(machine.paths) == 1


@pytest.mark.usefixtures("clock")
def test_sync_without_a_known_provider_reports_undelivered_records(
    machine: Machine, proxy: FaultProxy
) -> None:
    """If the backend is down, records of another key count as undelivered."""
    machine.settings["TRACKERAPI_BASE_URL"] = proxy.url
    machine.leave(TRACKERAPI_API_KEY=KEY)
    machine.name_provider(1)

    with proxy.down():
        done = machine.run("sync", "--timeout", "60", "--json")

    assert (done.status, done.json["waiting"]) == (UNDELIVERED, 4)


def test_sync_names_files_that_it_cannot_read(machine: Machine) -> None:
    """Files that are unreadable or of a later version are counted; the status is 1."""
    machine.leave()
    (path,) = machine.paths
    content = path.read_bytes()
    later = content.replace(b'"trackerapi_outbox": 1', b'"trackerapi_outbox": 2')
    path.with_name("later.outbox").write_bytes(later)
    path.with_name("none.outbox").write_bytes(b"nothing of ours\n")

    done = machine.run("sync", "--json")

    assert (done.status, done.json["delivered"]) == (UNDELIVERED, 3)
    assert done.json["files"]["newer"] == 1
    assert done.json["files"]["unreadable"] == 1
    fixes = {each["path"]: each["reason"] for each in done.json["remaining"]}
    assert fixes[str(path.with_name("later.outbox"))].endswith("update trackerapi")
    damaged = str(path.with_name("none.outbox"))
    assert fixes[damaged].endswith(f"move this file out of the outbox: {damaged}")


def test_sync_sets_one_unusable_file_aside(machine: Machine) -> None:
    """`sync` delivers the other files and prints the path of the unusable journal."""
    machine.leave()
    (path,) = machine.paths
    path.with_suffix(".held").mkdir()
    job_id = machine.leave()

    done = machine.run("sync")

    assert done.status == UNDELIVERED
    assert len(machine.events(job_id)) == 3
    assert f"{path.with_suffix('.held')} cannot be used" in done.err
    assert machine.run("outbox", "retry").status == UNAVAILABLE


def test_unusable_leftover_does_not_delay_the_end_of_a_script(machine: Machine) -> None:
    """A script delivers its own records, ends, and names the unusable file once."""
    machine.leave()
    (path,) = machine.paths
    path.with_suffix(".held").mkdir()
    job_id, customer = str(uuid.uuid4()), str(machine.backend.customer_id)
    start = ("job", "start", "import", "--customer", customer, "--id", job_id)
    report = ("event", "info", "--job", job_id, "--message", "own")

    # If the unusable file delayed the end, `spawn()` would time out.
    all_done = [
        machine.spawn(*command, TRACKERAPI_SHUTDOWN_TIMEOUT="3600")
        for command in (start, report)
    ]

    assert [done.status for done in all_done] == [FINE, FINE]
    for done in all_done:
        assert "Traceback" not in done.err
        assert done.err.count(f"{path.with_suffix('.held')} cannot be used") == 1
    assert "own" in machine.messages(job_id)


def test_files_that_root_makes_belong_to_the_owner_of_the_outbox(
    machine: Machine,
) -> None:
    """Commands run by root give new files to the owner of the outbox folder."""
    if os.geteuid() != 0:
        pytest.skip("only root can make files of another user")
    refused = machine.leave(customer_id=UNKNOWN_CUSTOMER)
    machine.leave()
    for path in (machine.outbox, *machine.paths):
        os.chown(path, SOMEBODY, SOMEBODY)

    assert machine.run("sync").status == HELD

    made = [machine.outbox, *machine.outbox.rglob("*")]
    kinds = {path.suffix for path in made}
    assert kinds >= {".outbox", ".ack", ".held", ".jsonl"}
    assert {path.stat().st_uid for path in made} == {SOMEBODY}
    customer = ("--customer-id", str(machine.backend.customer_id))
    machine.run("outbox", "retry", "--job", refused, *customer)
    machine.run("outbox", "drop", "--delivered", "--job", refused, "--yes")
    assert {p.stat().st_uid for p in machine.outbox.rglob("*")} == {SOMEBODY}


def test_sync_of_more_files_than_a_process_may_open(machine: Machine) -> None:
    """`sync` delivers 101 files although the process may open only 40 files."""
    job_id = machine.leave(events=1)
    (path,) = machine.paths
    header, *records = path.read_bytes().splitlines(keepends=True)
    for number in range(100):
        event = records[-1].replace(b'"line 0"', f'"copy {number}"'.encode())
        event = event.replace(b'{"event_id":"', b'{"event_id":"%08x' % number, 1)
        # Remove 8 digits, so that the event id keeps its length.
        event = event[:21] + event[29:]
        path.with_name(f"{path.stem}{number}.outbox").write_bytes(header + event)

    done = machine.spawn("sync", limit="-n 40")

    assert (done.status, done.err) == (FINE, "")
    assert len(machine.events(job_id)) == 101


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (["--timeout", "0"], {}),
        (["--timeout", "soon"], {}),
        (["--outbox", "/missing/folder"], {}),
        (["--api-key-file", "/missing"], {}),
        ([], {"TRACKERAPI_API_KEY": ""}),
        ([], {"TRACKERAPI_BASE_URL": ""}),
    ],
)
def test_wrong_usage_of_sync_ends_with_status_two(
    machine: Machine, arguments: list[str], settings: dict[str, str]
) -> None:
    """A usage error ends with status 2 and is printed on stderr only."""
    done = machine.run("sync", *arguments, **settings)

    assert (done.status, done.out) == (USAGE, "")
    assert done.err.splitlines()[-1].startswith("trackerapi")


def test_sync_shows_its_progress_at_a_terminal(machine: Machine) -> None:
    """A terminal shows a count of delivered records, cleared at the end."""
    machine.leave(events=3)

    done = machine.type("", "sync")

    assert "delivered 1 of 4 records" in done.err
    assert done.err.endswith("\r\x1b[K")
    assert done.out == "delivered 3 events; 0 waiting, 0 held\n"
