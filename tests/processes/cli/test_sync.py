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
    Desk,
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


def test_sync_delivers_leftovers_of_a_killed_process(desk: Desk) -> None:
    """All events arrive in order, and the file is archived."""
    job_id = desk.leave(events=3)

    done = desk.spawn("sync")

    assert (done.status, done.err) == (FINE, "")
    assert done.out == "delivered 3 events; 0 waiting, 0 held\n"
    assert desk.messages(job_id) == ["line 0", "line 1", "line 2"]
    assert desk.paths == []
    assert [file["state"] for file in desk.files] == ["delivered"]


def test_sync_makes_no_outbox_file(desk: Desk) -> None:
    """After two runs of `sync`, the outbox has only the file of the job."""
    desk.leave()
    before = [path.name for path in desk.paths]

    desk.run("sync")
    desk.run("sync")

    assert [path.name for path in desk.outbox.rglob("*.outbox")] == before


def test_sync_of_an_empty_outbox_sends_no_request(desk: Desk) -> None:
    """`sync` of an empty outbox ends with status 0 although no backend is reachable."""
    done = desk.run("sync", TRACKERAPI_BASE_URL=NOWHERE)

    assert (done.status, done.err) == (FINE, "")
    assert not desk.outbox.exists()


def test_sync_delivers_in_every_mode_of_jobs(desk: Desk) -> None:
    """`sync` delivers even if `TRACKERAPI_MODE` is `offline`."""
    job_id = desk.leave()

    assert desk.run("sync", TRACKERAPI_MODE="offline").status == FINE
    assert len(desk.events(job_id)) == 3


def test_sync_takes_folder_address_and_key_as_options(
    desk: Desk, tmp_path: Path
) -> None:
    """`--outbox`, `--base-url` and `--api-key-file` override the environment."""
    job_id = desk.leave()
    elsewhere = {
        "TRACKERAPI_BASE_URL": NOWHERE,
        "TRACKERAPI_API_KEY": "",
        "TRACKERAPI_OUTBOX": str(tmp_path / "elsewhere"),
    }
    options = ["--outbox", str(desk.outbox), "--base-url", desk.backend.base_url]
    options += ["--api-key-file", desk.backend.api_key_file]

    assert desk.run("sync", *options, **elsewhere).status == FINE
    assert len(desk.events(job_id)) == 3


def test_sync_knows_its_address_in_every_spelling(desk: Desk) -> None:
    """Capitals and trailing slashes in an address do not make another backend."""
    port = desk.backend.base_url.rpartition(":")[2]
    job_id = desk.leave(TRACKERAPI_BASE_URL=f"HTTP://LOCALHOST:{port}//")

    done = desk.run("sync", TRACKERAPI_BASE_URL=f"http://localhost:{port}")

    assert done.status == FINE
    assert len(desk.events(job_id)) == 3


def test_sync_as_json_can_be_read_by_programs(desk: Desk) -> None:
    """`sync --json` prints one object with all counts."""
    desk.leave(events=2)

    done = desk.run("sync", "--json")

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
    desk: Desk, proxy: FaultProxy, clock: SkippingClock, late_seconds: float
) -> None:
    """`sync` counts the undelivered records, gives one reason, and loses none.

    This also holds if the machine wakes up from a pause after the timeout.
    """
    desk.settings["TRACKERAPI_BASE_URL"] = proxy.url
    job_id = desk.leave(events=3)
    clock.late_seconds = late_seconds
    with proxy.down():
        done = desk.run("sync", "--timeout", "60", "--json")

    assert done.status == UNDELIVERED
    assert (done.json["delivered"], done.json["waiting"]) == (0, 4)
    assert "Connection refused" in done.json["last_error"]
    assert done.err.startswith("trackerapi: the backend cannot be reached")
    assert done.err.count("\n") == 1
    assert desk.run("sync").status == FINE
    assert len(desk.events(job_id)) == 3


def test_sync_retries_a_busy_backend(desk: Desk, proxy: FaultProxy) -> None:
    """After an answer 503, `sync` sends the request again and prints no message."""
    desk.settings["TRACKERAPI_BASE_URL"] = proxy.url
    job_id = desk.leave()
    failing = 2

    def fault(exchange: Exchange) -> None:
        nonlocal failing
        failing -= 1
        (unavailable if failing >= 0 else pass_on)(exchange)

    with proxy.failing(fault):
        done = desk.run("sync")

    assert (done.status, done.err, failing < 0) == (FINE, "", True)
    assert len(desk.events(job_id)) == 3


def test_sync_does_not_wait_longer_than_its_timeout(
    desk: Desk, proxy: FaultProxy
) -> None:
    """`sync` ends after one request if `Retry-After` exceeds its timeout."""
    desk.settings["TRACKERAPI_BASE_URL"] = proxy.url
    desk.leave()

    with proxy.failing(busy(3600)):
        done = desk.run("sync")

    assert done.status == UNDELIVERED
    assert len(proxy.requests) == 1


def test_sync_leaves_a_silent_backend_in_time(desk: Desk, proxy: FaultProxy) -> None:
    """`sync` ends after its timeout if the backend never answers; no record is lost."""
    desk.settings["TRACKERAPI_BASE_URL"] = proxy.url
    job_id = desk.leave()

    with proxy.failing(black_hole):
        done = desk.run("sync", "--timeout", "0.3", "--json")

    assert (done.status, done.json["waiting"]) == (UNDELIVERED, 4)
    assert desk.run("sync").status == FINE
    assert len(desk.events(job_id)) == 3


def test_sync_reports_a_rejected_key_in_one_line(desk: Desk, proxy: FaultProxy) -> None:
    """After an answer 401, `sync` sends no second request and ends with status 1."""
    desk.settings["TRACKERAPI_BASE_URL"] = proxy.url
    desk.leave()

    with proxy.failing(key_refused):
        done = desk.run("sync")

    assert done.status == UNDELIVERED
    assert f"the backend at {proxy.url} refused the API key (HTTP 401" in done.err
    assert done.err.count("\n") == 1
    assert len(proxy.requests) == 1


def test_sync_of_a_rejected_job_ends_with_status_three(desk: Desk) -> None:
    """A job for an unknown customer is held with its events; a line names the fix."""
    job_id = desk.leave(customer_id=UNKNOWN_CUSTOMER)

    done = desk.run("sync", "--json")

    assert done.status == HELD
    assert (done.json["waiting"], done.json["held"]) == (0, 4)
    assert f"trackerapi outbox retry --job {job_id!r}" in done.err
    assert desk.run("sync").status == HELD


def test_sync_creates_a_lost_job_again(desk: Desk, proxy: FaultProxy) -> None:
    """If the backend has lost a job, `sync` creates the job again and delivers."""
    desk.settings["TRACKERAPI_BASE_URL"] = proxy.url
    job_id = desk.leave()
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
        done = desk.run("sync")

    assert done.status == FINE
    assert len(desk.events(job_id)) == 3


def test_sync_leaves_files_of_running_processes(desk: Desk) -> None:
    """A file of a running process is counted separately; the exit status stays 0."""
    with desk.job(str(uuid.uuid4())):
        done = desk.run("sync", "--json")
        text = desk.run("sync").out

    assert (done.status, done.json["waiting"]) == (FINE, 0)
    assert done.json["files"]["live"] == 1
    assert "1 file of running processes left to them" in text


def test_sync_reports_held_records_of_a_running_process(desk: Desk) -> None:
    """If a running process has held records, `sync` ends with status 3."""
    how = {"customer_id": UNKNOWN_CUSTOMER, "mode": "online", "events": 1}
    with desk.job(str(uuid.uuid4()), **how):
        done = desk.run("sync", "--json")

    assert (done.status, done.json["held"]) == (HELD, 2)


def test_sync_leaves_confirmed_records_of_another_address(
    desk: Desk,
) -> None:
    """A confirmed file for another address is listed and kept; the status is 0."""
    desk.leave(TRACKERAPI_BASE_URL=NOWHERE)
    desk.name_provider(1)
    (file,) = desk.files

    done = desk.run("sync")

    assert (done.status, len(desk.paths)) == (FINE, 1)
    assert "1 file for another address or provider left alone" in done.out
    assert f"file {file['id']} (4 records): left alone: it is for {NOWHERE}" in done.err


def new_key(desk: Desk) -> NewApiKey:
    """Create a second key of the provider, with the scope `ingest`."""
    with TrackerApi(desk.backend.api_key, desk.backend.base_url) as tracker:
        return tracker.admin.create_api_key("other", ["ingest"])


def expire(desk: Desk, key: NewApiKey) -> None:
    """Expire a key with immediate effect."""
    with TrackerApi(desk.backend.api_key, desk.backend.base_url) as tracker:
        tracker.admin.expire_api_key(key.key.key_id)


@pytest.mark.parametrize("is_down", [False, True], ids=["key ended", "backend down"])
def test_records_of_an_accepted_key_go_with_the_next_key(
    desk: Desk, proxy: FaultProxy, *, is_down: bool
) -> None:
    """Records of an accepted key are delivered with the provider's next key."""
    desk.settings["TRACKERAPI_BASE_URL"] = proxy.url
    old = new_key(desk)
    desk.settings["TRACKERAPI_API_KEY"] = old.api_key
    before = desk.leave()
    assert desk.run("sync").status == FINE
    if is_down:
        with proxy.down():
            job_id = desk.leave()
    expire(desk, old)
    if not is_down:
        job_id = desk.leave()
        assert desk.run("sync").status == UNDELIVERED

    done = desk.run("sync", TRACKERAPI_API_KEY=new_key(desk).api_key)

    assert (done.status, done.err) == (FINE, "")
    assert [len(desk.events(each)) for each in (before, job_id)] == [3, 3]


@pytest.mark.parametrize("is_job", [True, False], ids=["next job", "sync"])
def test_records_of_a_key_that_never_worked_go_with_an_admin_key(
    desk: Desk, *, is_job: bool
) -> None:
    """Records of a key that was never accepted are delivered with an `admin` key."""
    old = new_key(desk)
    expire(desk, old)
    job_id = desk.leave(TRACKERAPI_API_KEY=old.api_key)
    other = new_key(desk).api_key

    assert desk.run("sync", TRACKERAPI_API_KEY=other).status == UNDELIVERED
    if is_job:
        with desk.job(str(uuid.uuid4()), mode="online") as job:
            assert job.report("line") == (0, 0)
    assert desk.run("sync").status == FINE

    assert len(desk.events(job_id)) == 3


def test_next_job_delivers_records_of_an_accepted_key(desk: Desk) -> None:
    """A job with the provider's next key delivers leftovers of the expired key."""
    old = new_key(desk)
    desk.leave(TRACKERAPI_API_KEY=old.api_key)
    assert desk.run("sync", TRACKERAPI_API_KEY=old.api_key).status == FINE
    left = desk.leave(TRACKERAPI_API_KEY=old.api_key)
    expire(desk, old)

    with desk.job(str(uuid.uuid4()), mode="online") as job:
        assert job.report("line") == (0, 0)

    assert len(desk.events(left)) == 3


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("is_remembered", [True, False])
def test_one_answer_that_names_another_provider_strands_nothing(
    desk: Desk, proxy: FaultProxy, *, is_remembered: bool
) -> None:
    """One answer with a wrong provider does not prevent the delivery of any record."""
    desk.settings["TRACKERAPI_BASE_URL"] = proxy.url
    job_id = desk.leave()
    if is_remembered:
        desk.name_provider(1)
    key_id = desk.backend.api_key.split("_")[1].encode()
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
        first = desk.run("sync")

    assert (first.status, first.err) == (FINE, "")
    assert len(desk.events(job_id)) == 3
    later = desk.leave()
    assert desk.run("sync", TRACKERAPI_API_KEY=new_key(desk).api_key).status == FINE
    assert len(desk.events(later)) == 3


def test_sync_delivers_with_another_key_of_the_same_provider(desk: Desk) -> None:
    """Records of one key are delivered with another key of the same provider."""
    job_id = desk.leave()
    with TrackerApi(desk.backend.api_key, desk.backend.base_url) as tracker:
        provider_id = tracker.verify_api_key().provider_id
        other = tracker.admin.create_api_key("other", ["ingest"]).api_key
    desk.name_provider(provider_id)

    assert desk.run("sync", TRACKERAPI_API_KEY=other).status == FINE
    assert len(desk.events(job_id)) == 3


def test_sync_leaves_records_of_another_provider_alone(desk: Desk) -> None:
    """`sync` does not deliver records whose file names another provider."""
    desk.leave(TRACKERAPI_API_KEY=KEY)
    desk.name_provider(123_456)

    done = desk.run("sync", "--json")

    assert (done.status, done.json["files"]["elsewhere"]) == (FINE, 1)
    assert len(desk.paths) == 1


@pytest.mark.usefixtures("clock")
def test_sync_without_a_known_provider_reports_undelivered_records(
    desk: Desk, proxy: FaultProxy
) -> None:
    """If the backend is down, records of another key count as undelivered."""
    desk.settings["TRACKERAPI_BASE_URL"] = proxy.url
    desk.leave(TRACKERAPI_API_KEY=KEY)
    desk.name_provider(1)

    with proxy.down():
        done = desk.run("sync", "--timeout", "60", "--json")

    assert (done.status, done.json["waiting"]) == (UNDELIVERED, 4)


def test_sync_names_files_that_it_cannot_read(desk: Desk) -> None:
    """Files that are unreadable or of a later version are counted; the status is 1."""
    desk.leave()
    (path,) = desk.paths
    content = path.read_bytes()
    later = content.replace(b'"trackerapi_outbox": 1', b'"trackerapi_outbox": 2')
    path.with_name("later.outbox").write_bytes(later)
    path.with_name("none.outbox").write_bytes(b"nothing of ours\n")

    done = desk.run("sync", "--json")

    assert (done.status, done.json["delivered"]) == (UNDELIVERED, 3)
    assert done.json["files"]["newer"] == 1
    assert done.json["files"]["unreadable"] == 1


def test_sync_sets_one_unusable_file_aside(desk: Desk) -> None:
    """`sync` delivers the other files and prints the path of the unusable journal."""
    desk.leave()
    (path,) = desk.paths
    path.with_suffix(".held").mkdir()
    job_id = desk.leave()

    done = desk.run("sync")

    assert done.status == UNDELIVERED
    assert len(desk.events(job_id)) == 3
    assert f"{path.with_suffix('.held')} cannot be used" in done.err
    assert desk.run("outbox", "retry").status == UNAVAILABLE


def test_unusable_leftover_does_not_delay_the_end_of_a_script(desk: Desk) -> None:
    """A script delivers its own records, ends, and names the unusable file once."""
    desk.leave()
    (path,) = desk.paths
    path.with_suffix(".held").mkdir()
    job_id, customer = str(uuid.uuid4()), str(desk.backend.customer_id)
    start = ("job", "start", "import", "--customer", customer, "--id", job_id)
    report = ("event", "info", "--job", job_id, "--message", "own")

    # If the unusable file delayed the end, `spawn()` would time out.
    all_done = [
        desk.spawn(*command, TRACKERAPI_SHUTDOWN_TIMEOUT="3600")
        for command in (start, report)
    ]

    assert [done.status for done in all_done] == [FINE, FINE]
    for done in all_done:
        assert "Traceback" not in done.err
        assert done.err.count(f"{path.with_suffix('.held')} cannot be used") == 1
    assert "own" in desk.messages(job_id)


def test_files_that_root_makes_belong_to_the_owner_of_the_outbox(
    desk: Desk,
) -> None:
    """Commands run by root give new files to the owner of the outbox folder."""
    if os.geteuid() != 0:
        pytest.skip("only root can make files of another user")
    refused = desk.leave(customer_id=UNKNOWN_CUSTOMER)
    desk.leave()
    for path in (desk.outbox, *desk.paths):
        os.chown(path, SOMEBODY, SOMEBODY)

    assert desk.run("sync").status == HELD

    made = [desk.outbox, *desk.outbox.rglob("*")]
    kinds = {path.suffix for path in made}
    assert kinds >= {".outbox", ".ack", ".held", ".jsonl"}
    assert {path.stat().st_uid for path in made} == {SOMEBODY}
    customer = ("--customer-id", str(desk.backend.customer_id))
    desk.run("outbox", "retry", "--job", refused, *customer)
    desk.run("outbox", "drop", "--delivered", "--job", refused, "--yes")
    assert {p.stat().st_uid for p in desk.outbox.rglob("*")} == {SOMEBODY}


def test_sync_of_more_files_than_a_process_may_open(desk: Desk) -> None:
    """`sync` delivers 101 files although the process may open only 40 files."""
    job_id = desk.leave(events=1)
    (path,) = desk.paths
    header, *records = path.read_bytes().splitlines(keepends=True)
    for number in range(100):
        event = records[-1].replace(b'"line 0"', f'"copy {number}"'.encode())
        event = event.replace(b'{"event_id":"', b'{"event_id":"%08x' % number, 1)
        # Remove 8 digits, so that the event id keeps its length.
        event = event[:21] + event[29:]
        path.with_name(f"{path.stem}{number}.outbox").write_bytes(header + event)

    done = desk.spawn("sync", limit="-n 40")

    assert (done.status, done.err) == (FINE, "")
    assert len(desk.events(job_id)) == 101


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
    desk: Desk, arguments: list[str], settings: dict[str, str]
) -> None:
    """A usage error ends with status 2 and is printed on stderr only."""
    done = desk.run("sync", *arguments, **settings)

    assert (done.status, done.out) == (USAGE, "")
    assert done.err.splitlines()[-1].startswith("trackerapi")


def test_sync_shows_its_progress_at_a_terminal(desk: Desk) -> None:
    """A terminal shows a count of delivered records, cleared at the end."""
    desk.leave(events=3)

    done = desk.type("", "sync")

    assert "delivered 1 of 4 records" in done.err
    assert done.err.endswith("\r\x1b[K")
    assert done.out == "delivered 3 events; 0 waiting, 0 held\n"
