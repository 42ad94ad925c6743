"""Faults of PostgreSQL during ingest: each acknowledged event is stored once."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING

import psycopg
import pytest

from backend.tests.support.database_proxy import Fault, database_proxy
from backend.tests.support.fault_preludes import SHORT_RETRIES
from backend.tests.support.postgres import changed_url, new_database, postgres_server
from backend.tests.support.servers import (
    Servers,
    assert_unavailable,
    ingest,
    wait_for_readiness,
    wait_until,
)
from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    new_job,
    report,
    send_lines,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from scripts.postgres_server import PostgresServer

SHORT_LIMITS = "-c statement_timeout=2s -c lock_timeout=1s"


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server that tests may stop."""
    with postgres_server() as server:
        yield server


@pytest.fixture
def url(postgres: str) -> Iterator[str]:
    """Address of a new database."""
    with new_database(postgres) as url:
        yield url


def is_waiting(db: psycopg.Connection[tuple[object, ...]]) -> bool:
    """Return whether another session of the database waits for the lock of a row."""
    found = db.execute(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock' AND wait_event <> 'advisory'"
    )
    return found.fetchone() is not None


def deadlocks(db: psycopg.Connection[tuple[object, ...]]) -> object:
    """Return the number of deadlocks in the database."""
    found = db.execute(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    return found and found[0]


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_restarted_database_keeps_acknowledged_events(
    tmp_path: Path, own_server: PostgresServer, mode: str
) -> None:
    """Reports wait during a restart; only reports in COMMIT may get 503."""
    with new_database(own_server.url()) as url:
        with ingest(tmp_path, url) as (_service, jobs):
            own_server.stop(mode)
            own_server.start()
            jobs.wait_for_events(1)
            assert len(jobs.rejections) <= 8


def test_stopped_database_gets_503(tmp_path: Path, own_server: PostgresServer) -> None:
    """While PostgreSQL is stopped, reads, reports and `/readyz` get 503."""
    with (
        new_database(own_server.url()) as url,
        ingest(tmp_path, url, prelude=SHORT_RETRIES) as (service, jobs),
        service.client() as api,
    ):
        own_server.stop("immediate")
        try:
            assert_unavailable(api.get("/jobs"))
            wait_until(lambda: bool(jobs.rejections))
            wait_for_readiness(service, 503)
        finally:
            own_server.start()
        wait_for_readiness(service, 200)


@pytest.mark.parametrize(
    "fault", [Fault.RANDOM_CUT, Fault.CUT_BEFORE_COMMIT, Fault.CUT_AFTER_COMMIT]
)
def test_cut_connection_loses_and_doubles_no_event(
    tmp_path: Path, url: str, fault: Fault
) -> None:
    """A report is repeated after its connection is cut, and counts once."""
    with database_proxy(url) as proxy, ingest(tmp_path, proxy.url):
        proxy.fault = fault
        wait_until(lambda: proxy.cuts >= 5)
        proxy.fault = Fault.NONE


def test_silent_database_gets_503(tmp_path: Path, url: str) -> None:
    """While PostgreSQL is silent, reads, reports and `/readyz` get 503."""
    with (
        database_proxy(
            changed_url(url, options=SHORT_LIMITS, connect_timeout=2)
        ) as proxy,
        ingest(tmp_path, proxy.url, prelude=SHORT_RETRIES) as (service, jobs),
        service.client() as api,
    ):
        proxy.fault = Fault.SILENCE
        wait_until(lambda: bool(jobs.rejections))
        assert_unavailable(api.get("/jobs"))
        wait_for_readiness(service, 503)
        proxy.fault = Fault.NONE
        wait_for_readiness(service, 200)


@pytest.mark.parametrize(
    "limits",
    ["-c lock_timeout=500ms", "-c lock_timeout=0 -c statement_timeout=500ms"],
    ids=["lock", "statement"],
)
def test_locked_job_gets_503(tmp_path: Path, url: str, limits: str) -> None:
    """Reports on a job that another session locks get 503 until the lock ends."""
    with (
        closing(
            Servers(tmp_path, changed_url(url, options=limits), prelude=SHORT_RETRIES)
        ) as servers,
        servers.services[0].client() as api,
    ):
        job = new_job(api)
        sent = {"provider_job_id": job["provider_job_id"], "kind": "start"}
        with psycopg.connect(url) as db:
            db.execute("SELECT 1 FROM jobs WHERE id = %s FOR UPDATE", [job["id"]])
            assert_unavailable(api.post("/events", json=sent))
        report(api, job, kind="start")
        assert api.get(f"/jobs/{job['id']}").json()["event_count"] == 1


def test_deadlock_with_another_session_only_delays_a_report(
    tmp_path: Path, url: str
) -> None:
    """The victim of a deadlock is repeated: its events are stored once."""
    with (
        closing(
            Servers(tmp_path, changed_url(url, options="-c deadlock_timeout=2s"))
        ) as servers,
        servers.services[0].client() as api,
        psycopg.connect(changed_url(url, options="-c deadlock_timeout=1h")) as db,
        psycopg.connect(url, autocommit=True) as watch,
    ):
        jobs = [new_job(api) for _ in range(2)]
        lock = "SELECT 1 FROM jobs WHERE id = %s FOR UPDATE"
        db.execute(lock, [jobs[1]["id"]])
        answers: list[httpx.Response] = []
        lines = [
            {"provider_job_id": job["provider_job_id"], "kind": "start"} for job in jobs
        ]
        sending = threading.Thread(
            target=lambda: answers.append(send_lines(api, lines))
        )
        sending.start()
        wait_until(lambda: is_waiting(watch))
        db.execute(lock, [jobs[0]["id"]])
        db.rollback()
        sending.join(MAX_WAIT_SECONDS)
        assert answers[0].json()["accepted"] == 2
        assert deadlocks(watch) == 1
