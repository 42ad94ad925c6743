"""Partitions of the events on PostgreSQL: upgrade, downgrade, months ahead."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from trackerapi_backend.instants import to_micros, utc_now
from trackerapi_backend.jobs.creation import create_job
from trackerapi_backend.jobs.new_event import read_event
from trackerapi_backend.jobs.providers import create_customer
from trackerapi_backend.jobs.recording import Refusal, Report, record_reports
from trackerapi_backend.store import providers as stored_providers
from trackerapi_backend.store.partitions import (
    MONTHS_AHEAD,
    add_partitions,
    list_partitions,
    missing_partitions,
)
from trackerapi_backend.store.postgres import PostgresStore
from trackerapi_backend.store.schema import metadata

from backend.tests.support.postgres import new_database
from backend.tests.support.revisions import config_for
from backend.tests.support.service import (
    CUSTOMER,
    MAX_WAIT_SECONDS,
    prepare,
    serve_existing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection
    from trackerapi_backend.jobs.recording import Recorded

LONG_AGO = datetime(2020, 5, 6, tzinfo=UTC)


@pytest.fixture
def url(postgres: str) -> Iterator[str]:
    """Address of a new database with a provider."""
    with new_database(postgres) as url:
        with (
            closing(PostgresStore(url, migrate=True)) as store,
            store.transaction() as db,
        ):
            stored_providers.create_provider(db, "One", now=utc_now())
            create_customer(db, 1, CUSTOMER)
        yield url


@pytest.fixture
def db(url: str) -> Iterator[Connection]:
    """A transaction on the database."""
    with closing(PostgresStore(url)) as store, store.transaction() as db:
        yield db


def add_job(db: Connection, name: str, at: datetime) -> None:
    """Create a job at a time, with an event that can be sent again."""
    sent: Any = {"provider_job_id": name, "customer_id": CUSTOMER, "tag": "t"}
    create_job(db, 1, sent, name_hmac=b"", now=at)
    assert report(db, name, at) is not Refusal.DUPLICATE


def report(db: Connection, name: str, at: datetime) -> Recorded:
    """Record the event of a job."""
    event_id = "01890a5d-ac96-774b-bcce-b302099a8057"
    sent: Any = {"provider_job_id": name, "kind": "complete", "event_id": event_id}
    [[outcome]] = record_reports(db, [Report(1, [read_event(sent, now=to_micros(at))])])
    return outcome


def differences(db: Connection) -> Any:
    """Return how the database differs from the tables of `store/schema.py`."""
    partitions = {"events_default", *(each.name for each in list_partitions(db))}

    def is_no_partition(name: str | None, kind: str, parents: Any) -> bool:
        owner = name if kind == "table" else parents.get("table_name")
        return owner not in partitions

    options = {"compare_type": True, "include_name": is_no_partition}
    context = MigrationContext.configure(db, opts=options)
    return compare_metadata(context, metadata)


def partition_of_each_job(db: Connection) -> dict[str, str]:
    """Return the name of the table with the events of each job, by name of the job."""
    query = (
        "SELECT DISTINCT provider_job_id, events.tableoid::regclass::text"
        " FROM events JOIN jobs ON jobs.id = events.job_id"
    )
    return {row[0]: row[1] for row in db.execute(text(query))}


def test_upgrade_keeps_stored_events_in_the_first_partition(url: str) -> None:
    """Down and up again, the events stay; the schema is that of `store/schema.py`."""
    count = text("SELECT count(*) FROM events")
    with closing(PostgresStore(url)) as store, store.transaction() as db:
        assert differences(db) == []
        add_job(db, "old", LONG_AGO)
        add_job(db, "new", utc_now())
        command.downgrade(config_for(db), "0013")
        assert "events_first" not in inspect(db).get_table_names()
        assert db.execute(count).scalar() == 2
        command.upgrade(config_for(db), "head")
    # The commands have dropped the prepared statements of the connection.
    with closing(PostgresStore(url)) as store, store.transaction() as db:
        add_partitions(db, utc_now())
        assert differences(db) == []
        jobs = ("old", "new")
        assert partition_of_each_job(db) == dict.fromkeys(jobs, "events_first")
        for name in jobs:
            assert report(db, name, utc_now()) is Refusal.DUPLICATE
        # No index exists twice: the first partition has kept its own.
        indexes = inspect(db).get_indexes("events_first")
        assert len(indexes) == len(inspect(db).get_indexes("events"))
        command.downgrade(config_for(db), "base")
        assert inspect(db).get_table_names() == ["alembic_version"]


def test_each_month_has_a_partition(db: Connection) -> None:
    """New jobs of later months are in partitions that exist before."""
    now = utc_now()
    later = [now + timedelta(days=31 * number) for number in range(4)]
    names = [each.name for each in list_partitions(db)]
    assert sorted(names)[-1] == "events_first"
    assert len(names) == MONTHS_AHEAD + 1
    assert missing_partitions(db, now) == []
    for number, at in enumerate(later):
        add_partitions(db, at)
        add_partitions(db, at)
        add_job(db, f"job {number}", at)
    months = {f"job {number}": f"events_{at:%Y_%m}" for number, at in enumerate(later)}
    assert partition_of_each_job(db) == months | {"job 0": "events_first"}


def test_events_without_a_month_are_in_the_default_partition(db: Connection) -> None:
    """Events of a clock far ahead are stored, and their month stays without one."""
    ahead = utc_now() + timedelta(days=400)
    add_job(db, "ahead", ahead)
    assert partition_of_each_job(db) == {"ahead": "events_default"}
    add_partitions(db, ahead)
    names = [each.name for each in list_partitions(db)]
    assert f"events_{ahead:%Y_%m}" not in names
    assert report(db, "ahead", ahead) is Refusal.DUPLICATE


def test_server_adds_the_partitions_of_the_next_months(
    tmp_path: Path, postgres: str
) -> None:
    """A server that runs for months creates partitions before jobs need them."""
    with new_database(postgres) as url:
        keys = prepare(tmp_path, url)
        with closing(PostgresStore(url)) as store:
            expected = store.read(list_partitions)
            with store.transaction() as db:
                for each in expected[:MONTHS_AHEAD]:
                    db.exec_driver_sql(f"DROP TABLE {each.name}")
            prelude = (
                "from trackerapi_backend.jobs import retention\n"
                "retention.START_SECONDS = 0.0\n"
            )
            with serve_existing(tmp_path, keys, url, prelude=prelude):
                until = time.monotonic() + MAX_WAIT_SECONDS
                while store.read(list_partitions) != expected:
                    assert time.monotonic() < until
                    time.sleep(0.02)
