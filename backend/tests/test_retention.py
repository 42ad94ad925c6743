"""Retention: jobs that ended long ago are deleted in steps; all other jobs stay."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import closing, contextmanager
from datetime import timedelta
from itertools import product
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import pytest
from sqlalchemy import func, select
from trackerapi_backend.cli.database import open_store
from trackerapi_backend.instants import to_micros, utc_now
from trackerapi_backend.jobs import retention
from trackerapi_backend.jobs.creation import create_job
from trackerapi_backend.jobs.new_event import read_event
from trackerapi_backend.jobs.providers import create_customer
from trackerapi_backend.jobs.recording import Report, record_reports
from trackerapi_backend.jobs.retention import (
    DELETED_STATUSES,
    DOUBT_SECONDS,
    ClockGuard,
)
from trackerapi_backend.settings import storage_from
from trackerapi_backend.store import StoreError
from trackerapi_backend.store import providers as stored_providers
from trackerapi_backend.store.retention import (
    OldJobs,
    delete_old_jobs,
    find_newest_time,
)
from trackerapi_backend.store.schema import events, jobs
from trackerapi_backend.store.sqlite import SqliteStore
from trackerapi_backend.store.writer import Writer

from backend.tests.support.pages import new_link
from backend.tests.support.service import (
    CUSTOMER,
    MAX_WAIT_SECONDS,
    OTHER_CUSTOMER,
    all_items,
    command_here,
    error_line,
    new_job,
    prepare,
    report,
    send_lines,
    serve_existing,
    variables_of,
)
from backend.tests.support.streams import open_stream

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection
    from trackerapi_backend.store import Store

    from backend.tests.support.service import Service

T = TypeVar("T")

NOW = utc_now()
DAYS = 30
OLD, NEW = NOW - timedelta(days=DAYS + 1), NOW - timedelta(days=DAYS - 1)
BEFORE = NOW - timedelta(days=DAYS)
ENDS = {
    "succeeded": "complete",
    "failed": "error",
    "cancelled": "cancel",
    "interrupted": "interrupt",
    "running": "start",
}
"""Kind of the event that gives a job a status."""


@pytest.fixture
def store(tmp_path: Path, database_url: str | None) -> Iterator[Store]:
    """A new store with two providers, on each engine."""
    storage = storage_from({}, variables_of(tmp_path, database_url))
    with closing(open_store(storage, migrate=True)) as store:
        with store.transaction() as db:
            for name, customer_id in (("One", CUSTOMER), ("Two", OTHER_CUSTOMER)):
                provider_id = stored_providers.create_provider(db, name, now=NOW)
                create_customer(db, provider_id, customer_id)
        yield store


def add_job(store: Store, name: str, *times: Any, provider_id: int = 1) -> int:
    """Store a job with events of given times of arrival; return the id of the job.

    Args:
        store: Store with the two providers.
        name: Name of the job.
        times: Pairs of a time and the kind of the event at this time; the job is
            created at the first time.
        provider_id: Provider of the job.
    """
    customer_id = CUSTOMER if provider_id == 1 else OTHER_CUSTOMER
    sent: Any = {"provider_job_id": name, "customer_id": customer_id, "tag": "t"}
    created_at = times[0][0] if times else OLD
    with store.transaction() as db:
        job_id: int = create_job(
            db, provider_id, sent, name_hmac=b"", now=created_at
        ).job.id
    for at, kind in times:
        add_event(store, name, at, kind, provider_id=provider_id)
    return job_id


def add_event(
    store: Store, name: str, at: Any, kind: str, provider_id: int = 1
) -> None:
    """Record an event that arrives at a time."""
    sent: Any = {"provider_job_id": name, "kind": kind}
    event = read_event(sent, now=to_micros(at))
    with store.transaction() as db:
        record_reports(db, [Report(provider_id, [event])])


def old_jobs(store: Store) -> Sequence[int]:
    """Return the ids of the old jobs of provider 1."""
    return store.read(OldJobs(1, BEFORE, DELETED_STATUSES).find)


def test_ended_jobs_without_a_recent_event_are_old(store: Store) -> None:
    """A job is old if it has ended, and its creation and its events are old."""
    expected = set()
    add_job(store, "pending")
    other = store.read(lambda db: stored_providers.find_provider(db, "Two"))
    assert other is not None
    add_job(store, "foreign", (OLD, "complete"), provider_id=other)
    # In the order of the creation, because ids grow even if the clock goes back.
    spans = ((OLD, OLD), (OLD, NEW), (NEW, NEW))
    for (created_at, latest), status in product(spans, ENDS):
        end = created_at + timedelta(seconds=1), ENDS[status]
        times = (created_at, "start"), end, (latest + timedelta(seconds=2), "info")
        job_id = add_job(store, f"{status} {created_at} {latest}", *times)
        if status != "running" and latest == OLD:
            expected.add(job_id)
    assert set(old_jobs(store)) == expected
    assert len(expected) == len(DELETED_STATUSES)


def test_event_before_the_deletion_keeps_a_job(store: Store) -> None:
    """Each step looks at the latest events again, until its deletion has begun."""
    old = OldJobs(1, BEFORE, DELETED_STATUSES)
    kept, begun = (
        add_job(store, name, *[(OLD, "info")] * 4, (OLD, "complete"))
        for name in ("kept", "begun")
    )
    found = old_jobs(store)
    assert sorted(found) == [kept, begun]
    with store.transaction() as db:
        assert not delete_old_jobs(db, old, [begun], 2).is_complete
    for name in ("kept", "begun"):
        add_event(store, name, NOW, "start")
    deleted = []
    is_complete = False
    while not is_complete:
        with store.transaction() as db:
            step = delete_old_jobs(db, old, found, 3)
        deleted += step.job_ids
        is_complete = step.is_complete
    assert deleted == [begun]
    assert store.read(lambda db: db.execute(select(jobs.c.id)).scalars().all()) == [
        kept
    ]
    count = select(func.count()).select_from(events)
    assert store.read(lambda db: db.execute(count).scalar()) == 6


def test_newest_time_is_that_of_the_latest_change(store: Store) -> None:
    """The newest time is that of a job, a key's use or an administrative change."""
    newest = store.read(find_newest_time)
    assert newest is not None
    assert newest >= NOW
    later = utc_now() + timedelta(days=3)
    add_job(store, "later", (later, "start"))
    assert store.read(find_newest_time) == later.replace(
        microsecond=later.microsecond // 1000 * 1000
    )


def test_lock_of_maintenance_has_one_holder(
    store: Store, tmp_path: Path, database_url: str | None
) -> None:
    """While one process of PostgreSQL has the lock, another process does not get it."""
    release = store.lock_maintenance()
    assert release is not None
    if database_url is not None:
        storage = storage_from({}, variables_of(tmp_path, database_url))
        with closing(open_store(storage)) as other:
            assert other.lock_maintenance() is None
            release()
            # PostgreSQL notices the end of a connection after a moment.
            until = time.monotonic() + MAX_WAIT_SECONDS
            while (release_other := other.lock_maintenance()) is None:
                assert time.monotonic() < until
                time.sleep(0.01)
            release_other()
    else:
        release()


@pytest.mark.parametrize(
    ("checks", "trusted"),
    [
        # Days that each of two clocks shows: the clock of the backend, which may jump,
        # and the monotonic clock since the start.
        ([(0.0, 0.0), (3.0, 3.0)], [True, True]),
        ([(0.9, 0.0), (1.8, 0.1)], [True, True]),
        ([(1.1, 0.0), (1.0, 0.9), (1.2, 1.1)], [False, False, True]),
        ([(5000.0, 0.0), (0.1, 0.1), (1.1, 1.1)], [False, False, True]),
        ([(0.0, 0.0), (9.0, 1.0), (9.5, 1.5), (10.1, 2.1)], [True, False, False, True]),
        ([(-9.0, 0.0), (-8.9, 0.1)], [True, True]),
    ],
    ids=[
        "right clock",
        "jump of less than a day",
        "ahead by a day at the start",
        "ahead by years at the start, then corrected",
        "jump while the server runs",
        "behind",
    ],
)
def test_clock_that_has_jumped_ahead_is_doubted_for_a_day(
    checks: list[tuple[float, float]], trusted: list[bool]
) -> None:
    """After a jump of more than a day, nothing is deleted for a day."""
    assert timedelta(seconds=DOUBT_SECONDS) == timedelta(days=1)
    guard = ClockGuard(NOW, 0.0)
    assert [
        guard.trusts(NOW + timedelta(days=clock), monotonic * 86_400)
        for clock, monotonic in checks
    ] == trusted


@contextmanager
def serve_with_age(
    folder: Path, url: str | None, settings: str
) -> Iterator[tuple[subprocess.Popen[str], Service]]:
    """Serve providers One, with an age of retention, and Two, without an age.

    Passes begin at once. A file `later` in the folder sets their clock 40 days ahead.

    Args:
        folder: Folder of the backend's files.
        url: Address of a PostgreSQL database; None for SQLite.
        settings: Code that changes constants of the module `retention`.
    """
    keys, environment = prepare(folder, url), variables_of(folder, url)
    age = ("provider", "set", "--provider", "One", "--retention-days", f"{DAYS}")
    assert command_here(*age, environment=environment).returncode == 0
    prelude = (
        "from datetime import timedelta\n"
        "from pathlib import Path\n"
        "from trackerapi_backend.jobs import retention\n"
        "now = retention.utc_now\n"
        f"age = lambda: timedelta(days=40 * Path({str(folder / 'later')!r}).exists())\n"
        "retention.utc_now = lambda: now() + age()\n"
        "retention.MAX_JUMP = timedelta(days=400)\n"
        "retention.START_SECONDS, retention.PASS_EVERY_SECONDS = 0.0, 0.05\n"
        f"{settings}\n"
    )
    with serve_existing(folder, keys, url, prelude=prelude) as served:
        yield served


def ended_job(api: httpx.Client, **members: Any) -> dict[str, Any]:
    """Create a job that has succeeded, with 20 events."""
    job = new_job(api, **members)
    infos = [{"provider_job_id": job["provider_job_id"], "kind": "info"}] * 19
    assert send_lines(api, infos).json()["accepted"] == len(infos)
    report(api, job, kind="complete")
    return job


def end(server: subprocess.Popen[str]) -> None:
    """End a server by SIGTERM."""
    server.terminate()
    assert server.wait(MAX_WAIT_SECONDS) == 0


def wait_until(is_reached: Callable[[], bool]) -> None:
    """Wait until a state is reached."""
    until = time.monotonic() + MAX_WAIT_SECONDS
    while not is_reached():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_streams_pages_and_tokens_of_deleted_jobs_end(
    tmp_path: Path, database_url: str | None
) -> None:
    """Old jobs vanish while the server runs; other jobs stay, and names are free."""
    serving = serve_with_age(tmp_path, database_url, "retention.MAX_ROWS = 5")
    with (
        serving as (server, service),
        service.client() as api,
        service.client("other") as other,
    ):
        old = [ended_job(api) for _ in range(2)]
        running = new_job(api)
        foreign = ended_job(other, customer_id=OTHER_CUSTOMER)
        path = f"/jobs/{old[1]['id']}"
        page = new_link(api, old[1])["url"]
        token = {"X-API-Key": api.post(f"{path}/tokens", json={}).json()["token"]}
        assert httpx.get(page, follow_redirects=True).status_code == 200
        owner_url = f"{service.base_url}/api-keys/protected"
        assert httpx.get(owner_url, headers=token).status_code == 200
        with open_stream(api, f"{path}/stream") as stream:
            assert stream.message().id
            (tmp_path / "later").touch()
            assert list(stream.messages()) == []
        wait_until(lambda: len(all_items(api, "/jobs")) == 1)
        assert all_items(api, "/jobs")[0]["id"] == running["id"]
        assert httpx.get(page).status_code == 404
        assert httpx.get(owner_url, headers=token).status_code == 401
        assert len(all_items(other, f"/jobs/{foreign['id']}/events")) == 20
        again = new_job(api, provider_job_id=old[0]["provider_job_id"])
        assert again["id"] != old[0]["id"]
        end(server)
    environment = variables_of(tmp_path, database_url)
    listed = command_here("audit", "--all", "--json", environment=environment).stdout
    entries = [json.loads(line) for line in listed.splitlines()]
    passes = [each for each in entries if each["action"] == "delete_old_jobs"]
    assert sum(each["details"]["deleted_jobs"] for each in passes) == len(old)
    assert {each["provider_id"] for each in passes} == {1}


def test_signal_ends_a_pass_and_the_server(
    tmp_path: Path, database_url: str | None
) -> None:
    """SIGTERM ends a server between two steps; the job is still to be deleted."""
    slow = "retention.MAX_ROWS, retention.MIN_PAUSE_SECONDS = 1, 0.5"
    serving = serve_with_age(tmp_path, database_url, slow)
    with serving as (server, service), service.client() as api:
        path = f"/jobs/{ended_job(api)['id']}/events"
        (tmp_path / "later").touch()
        wait_until(lambda: all_items(api, path)[0]["sequence"] > 1)
        end(server)
    storage = storage_from({}, variables_of(tmp_path, database_url))
    with closing(open_store(storage)) as store:
        old = OldJobs(1, utc_now() + timedelta(days=1), DELETED_STATUSES)
        assert len(store.read(old.find)) == 1


class FailingStore(SqliteStore):
    """Store with failing first reads."""

    failures = 5

    def read(self, query: Callable[[Connection], T]) -> T:
        """Return the result of a query, or fail."""
        if self.failures:
            self.failures -= 1
            raise StoreError("the disk is gone")
        return super().read(query)


def test_failure_is_logged_once_and_ends_no_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After several failed passes with one line in the log, a pass deletes the job."""
    monkeypatch.setattr(retention, "START_SECONDS", 0.0)
    monkeypatch.setattr(retention, "PASS_EVERY_SECONDS", 0.0)
    with closing(FailingStore(tmp_path / "own.db", migrate=True)) as store:
        with store.transaction() as db:
            stored_providers.create_provider(db, "One", now=NOW)
            stored_providers.set_retention(db, 1, DAYS, caller_key_id=None)
            create_customer(db, 1, CUSTOMER)
        add_job(store, "old", (OLD, "complete"))
        asyncio.run(_delete_all_jobs(store))
    lines = [each for each in caplog.messages if "old jobs are not deleted" in each]
    assert lines == ["old jobs are not deleted: the disk is gone"]


async def _delete_all_jobs(store: FailingStore) -> None:
    writer = Writer(store)
    services: Any = SimpleNamespace(store=store, writer=writer)
    async with (
        retention.deleting_old_jobs(services),
        asyncio.timeout(MAX_WAIT_SECONDS),
    ):
        while store.failures or store.read(
            lambda db: db.execute(select(jobs.c.id)).first()
        ):
            await asyncio.sleep(0.01)
    await asyncio.to_thread(writer.close)


def test_age_can_be_set_beside_a_server(tmp_path: Path) -> None:
    """`provider set` sets the age while a server uses the SQLite file."""
    keys, environment = prepare(tmp_path), variables_of(tmp_path)
    with serve_existing(tmp_path, keys):
        change = ("provider", "set", "--retention-days", "7")
        result = command_here(*change, environment=environment)
        assert result.returncode == 0, result.stderr
        shown = command_here("provider", "show", environment=environment).stdout
    assert "retention-days\t7\n" in shown


def test_command_sets_and_shows_the_age(tmp_path: Path) -> None:
    """`provider set` changes only the age, and `--unset` removes it."""
    prepare(tmp_path)
    environment = variables_of(tmp_path)
    change = ("provider", "set", "--retention-days")
    shown = command_here(*change, "90", environment=environment).stdout
    assert "retention-days\t90\n" in shown
    name = ("provider", "set", "--display-name", "Clinic")
    assert "retention-days\t90\n" in command_here(*name, environment=environment).stdout
    unset = ("provider", "set", "--unset", "retention-days")
    assert "retention-days\t-\n" in command_here(*unset, environment=environment).stdout
    for wrong in ("0", "36501", "1.5", "-1"):
        result = command_here(*change, wrong, environment=environment)
        assert result.returncode == 2
        assert "--retention-days" in result.stderr
    both = command_here(*change, "1", *unset[2:], environment=environment)
    assert "exclude each other" in error_line(both)
