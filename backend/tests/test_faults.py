"""Faults during ingest: each acknowledged event is stored once, states are right."""

from __future__ import annotations

import os
import random
import time
from contextlib import ExitStack, closing
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from trackerapi_backend.cli.database import open_store
from trackerapi_backend.settings import storage_from
from trackerapi_backend.store.migrations import HEAD

from backend.tests.support.fault_preludes import (
    CLOCK,
    FAULTY_DRIVER,
    SLOW_COMMITS,
    Number,
)
from backend.tests.support.histories import KINDS
from backend.tests.support.hot_jobs import HotJobs
from backend.tests.support.postgres import new_database
from backend.tests.support.revisions import downgrade
from backend.tests.support.servers import (
    Servers,
    assert_unavailable,
    ingest,
    wait_for_readiness,
    wait_until,
)
from backend.tests.support.service import (
    OTHER_CUSTOMER,
    all_items,
    new_job,
    prepare,
    report,
    send_lines,
    serve_existing,
    variables_of,
)

if TYPE_CHECKING:
    from pathlib import Path

KILL_ROUNDS = int(os.environ.get("KILL_ROUNDS", "2"))
"""Number of kills in each test; `scripts/prove.sh` sets a larger number."""

EARLIER_REVISIONS = ["0001", "0006", f"{int(HEAD) - 1:04}"]
"""Oldest, middle and latest earlier revision; test_migrations.py has all."""

ROUND_SECONDS = 1.5
"""Latest moment of a kill, in seconds after the first event."""


def kill_during_ingest(folder: Path, url: str | None, *, processes: int) -> None:
    """Kill a process at random moments of the ingest; check the store each time."""
    servers = Servers(folder, url, count=processes, prelude=SLOW_COMMITS)
    with closing(servers):
        jobs = HotJobs(servers.services)
        with jobs.reporters():
            for number in range(KILL_ROUNDS):
                jobs.wait_for_events(1)
                time.sleep(random.uniform(0, ROUND_SECONDS))  # noqa: S311 -- no secret
                servers.kill(number % processes)
                if processes > 1:
                    jobs.wait_for_events(1)
                jobs.assert_stored(folder, url, ended=False)
                servers.restart(number % processes)
            jobs.wait_for_events(1)
        servers.close()
        jobs.assert_stored(folder, url, ended=True)


def test_killed_server_keeps_acknowledged_events(
    tmp_path: Path, database_url: str | None
) -> None:
    """After each `kill -9`, the store has each acknowledged event once."""
    kill_during_ingest(tmp_path, database_url, processes=1)


def test_killed_server_beside_another_keeps_acknowledged_events(
    tmp_path: Path, postgres: str
) -> None:
    """After each `kill -9` of one of two processes, the other acknowledges reports."""
    with new_database(postgres) as url:
        kill_during_ingest(tmp_path, url, processes=2)


def test_wrong_clock_of_the_server_loses_no_event(
    tmp_path: Path, database_url: str | None
) -> None:
    """Reports are stored while the clock is a year ahead, and a day back after that."""
    days = Number(tmp_path / "days")
    prelude = CLOCK.format(path=str(days.path))
    with ingest(tmp_path, database_url, prelude=prelude) as (service, jobs):
        for shift in (365, -1):
            days.set(shift)
            jobs.wait_for_events(30)
            with service.client() as api:
                # With a wrong clock, keys, new jobs and `/readyz` still work.
                report(api, new_job(api), kind="start")
                assert api.get("/readyz").status_code == 200


def test_failing_driver_gets_503_and_loses_no_event(
    tmp_path: Path, database_url: str | None
) -> None:
    """I/O errors of the database get 503; while all fail, `/readyz` gets 503 too."""
    chance = Number(tmp_path / "chance")
    prelude = FAULTY_DRIVER.format(path=str(chance.path))
    with ingest(tmp_path, database_url, prelude=prelude) as (service, jobs):
        chance.set(0.03)
        wait_until(lambda: len(jobs.rejections) > 10)
        jobs.wait_for_events(30)
        chance.set(1)
        wait_for_readiness(service, 503)
        with service.client() as api:
            assert_unavailable(api.get("/jobs"))
        chance.set(0)
        wait_for_readiness(service, 200)


def test_batch_whose_parts_fail_keeps_the_order_of_its_lines(
    tmp_path: Path, database_url: str | None
) -> None:
    """A batch beside another provider, sent again after each 503, is stored once."""
    keys, chance = prepare(tmp_path, database_url), Number(tmp_path / "chance")
    prelude = FAULTY_DRIVER.format(path=str(chance.path))
    with ExitStack() as stack:
        served = serve_existing(tmp_path, keys, database_url, prelude=prelude)
        _process, service = stack.enter_context(served)
        api = stack.enter_context(service.client())
        other = stack.enter_context(service.client("other"))
        other_job = new_job(other, customer_id=OTHER_CUSTOMER)
        job = new_job(api)

        def is_stored(lines: list[dict[str, Any]]) -> bool:
            # A batch is recorded in parts only while several providers report.
            event = {"provider_job_id": other_job["provider_job_id"], "kind": "info"}
            other.post("/events", json=event)
            return send_lines(api, lines).is_success

        events = [
            {
                "provider_job_id": job["provider_job_id"],
                "kind": "info",
                "event_id": str(uuid4()),
            }
            for _ in range(10_000)
        ]
        chance.set(0.05)
        for first in range(0, len(events), 1000):
            wait_until(partial(is_stored, events[first : first + 1000]))
        chance.set(0)
        listed = all_items(api, f"/jobs/{job['id']}/events")
        assert [event["event_id"] for event in listed] == [
            event["event_id"] for event in events
        ]


def test_replaced_file_gets_503_until_it_is_back(tmp_path: Path) -> None:
    """Reports get 503 while the file is replaced; it has all acknowledged events."""
    file, aside = tmp_path / "backend.db", tmp_path / "aside"
    with ingest(tmp_path, None) as (service, jobs):
        file.rename(aside)
        file.write_bytes(aside.read_bytes())
        wait_until(lambda: len(jobs.rejections) > 10)
        wait_for_readiness(service, 503)
        aside.replace(file)
        wait_for_readiness(service, 200)


def test_upgrade_keeps_acknowledged_events(
    tmp_path: Path, database_url: str | None
) -> None:
    """Clients report through an upgrade from each earlier schema without a loss."""
    storage = storage_from({}, variables_of(tmp_path, database_url))
    with closing(Servers(tmp_path, database_url)) as servers:
        # A downgrade drops the columns of these members.
        later = {"part", "failed", "max_attempts"}
        jobs = HotJobs(servers.services, [e for e in KINDS if later.isdisjoint(e)])
        with jobs.reporters():
            for revision in EARLIER_REVISIONS:
                jobs.wait_for_events(10)
                servers.kill(0)
                downgrade(tmp_path, revision, database_url)
                open_store(storage, migrate=True).close()
                servers.restart(0)
                for copy in tmp_path.glob("*.before-*"):
                    copy.unlink()
            jobs.wait_for_events(10)
        servers.close()
        jobs.assert_stored(tmp_path, database_url, ended=True)
