"""Partitions of the events on PostgreSQL: upgrade, downgrade, months ahead."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
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
from trackerapi_backend.jobs.retention import DELETED_STATUSES
from trackerapi_backend.store import providers as stored_providers
from trackerapi_backend.store.old_partitions import begin_checks
from trackerapi_backend.store.partitions import (
    MONTHS_AHEAD,
    add_partitions,
    list_partitions,
    missing_partitions,
)
from trackerapi_backend.store.postgres import PostgresStore
from trackerapi_backend.store.retention import list_ages
from trackerapi_backend.store.schema import metadata

from backend.tests.support.postgres import new_database
from backend.tests.support.revisions import config_for
from backend.tests.support.service import (
    CUSTOMER,
    MAX_WAIT_SECONDS,
    command_here,
    prepare,
    serve_existing,
    variables_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection
    from trackerapi_backend.jobs.recording import Recorded
    from trackerapi_backend.store import Store
    from trackerapi_backend.store.old_partitions import PartitionCheck

LONG_AGO = datetime(2020, 5, 6, tzinfo=UTC)
MONTHS = [f"events_2020_{month:02}" for month in (5, 6, 7)]


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
    """A downgrade and an upgrade keep all events; the schema is `store/schema.py`."""
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
    """New jobs of later months are in partitions made in advance."""
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
    """Events of a clock far ahead are stored, and their month gets no partition."""
    ahead = utc_now() + timedelta(days=400)
    add_job(db, "ahead", ahead)
    assert partition_of_each_job(db) == {"ahead": "events_default"}
    add_partitions(db, ahead)
    names = [each.name for each in list_partitions(db)]
    assert f"events_{ahead:%Y_%m}" not in names
    assert report(db, "ahead", ahead) is Refusal.DUPLICATE


def replace_first_partition(db: Connection) -> None:
    """Replace the first partition, which has no events, by partitions of three months.

    The first of these months is the month of `LONG_AGO`.
    """
    db.exec_driver_sql("DROP TABLE events_first")
    add_partitions(db, LONG_AGO)


def checks_of(store: Store) -> list[PartitionCheck]:
    """Return the finished checks of partitions with only old jobs."""
    checks = store.read(
        lambda db: begin_checks(db, list_ages(db), utc_now(), DELETED_STATUSES)
    )
    return [
        check
        for check in checks
        if store.read(partial(check.next_page, first_id=check.partition.first_id))
    ]


def drop_all(store: Store, checks: Sequence[PartitionCheck]) -> list[str]:
    """Drop the partitions of checks; return the names of the dropped ones."""
    dropped = []
    for check in checks:
        with store.transaction() as db:
            if check.drop(db):
                dropped.append(check.partition.name)
    return dropped


@pytest.fixture
def monthly(url: str) -> Iterator[Store]:
    """A store with retention and a job in each of the months 2020-05 and 2020-06."""
    with closing(PostgresStore(url)) as store, store.transaction() as db:
        replace_first_partition(db)
    with closing(PostgresStore(url)) as store:
        with store.transaction() as db:
            add_job(db, "old", LONG_AGO)
            add_job(db, "other", LONG_AGO + timedelta(days=31))
            stored_providers.set_retention(db, 1, 30, caller_key_id=None)
        yield store


def start_again(store: Store, at: datetime) -> None:
    """Record a start of the job `old` that arrives at a time."""
    sent: Any = {"provider_job_id": "old", "kind": "start"}
    event = read_event(sent, now=to_micros(at))
    with store.transaction() as db:
        record_reports(db, [Report(1, [event])])


def test_partitions_of_old_jobs_are_dropped(monthly: Store) -> None:
    """A partition is dropped if no report has come after its check."""
    checks = checks_of(monthly)
    assert [each.partition.name for each in checks] == MONTHS
    start_again(monthly, LONG_AGO + timedelta(days=1))
    assert drop_all(monthly, checks) == MONTHS[1:]
    with monthly.transaction() as db:
        assert partition_of_each_job(db) == {"old": MONTHS[0]}


def test_job_that_is_not_old_keeps_its_partition(monthly: Store) -> None:
    """A new event, a job that runs, or a provider without an age keeps a partition."""
    stale = checks_of(monthly)
    start_again(monthly, utc_now())
    assert [each.partition.name for each in checks_of(monthly)] == MONTHS[1:]
    with monthly.transaction() as db:
        stored_providers.set_retention(db, 1, None, caller_key_id=None)
        other = stored_providers.create_provider(db, "Two", now=utc_now())
        stored_providers.set_retention(db, other, 30, caller_key_id=None)
    assert [each.partition.name for each in checks_of(monthly)] == MONTHS[2:]
    # The ages have changed since these checks.
    assert drop_all(monthly, stale) == []


def test_change_of_partitions_gives_way_to_a_reader(url: str) -> None:
    """While a dump reads the events, no partition is made, and reports do not wait."""
    later = utc_now() + timedelta(days=62)
    with closing(PostgresStore(url)) as store, psycopg.connect(url) as dump:
        dump.execute("SELECT count(*) FROM events")
        for is_reading in (True, False):
            with store.transaction() as db:
                add_partitions(db, later)
                assert bool(missing_partitions(db, later)) == is_reading
            with store.transaction(shared=True) as db:
                report(db, "unknown", later)
            dump.rollback()


def test_server_drops_and_adds_partitions(tmp_path: Path, postgres: str) -> None:
    """A server drops partitions of old jobs, and creates those of the next months."""
    with new_database(postgres) as url:
        keys, environment = prepare(tmp_path, url), variables_of(tmp_path, url)
        age = ("provider", "set", "--provider", "One", "--retention-days", "30")
        assert command_here(*age, environment=environment).returncode == 0
        with closing(PostgresStore(url)) as store, store.transaction() as db:
            expected = {each.name for each in list_partitions(db)}
            for name in expected - {"events_first"}:
                db.exec_driver_sql(f"DROP TABLE {name}")
            replace_first_partition(db)
        with closing(PostgresStore(url)) as store:
            with store.transaction() as db:
                add_job(db, "old", LONG_AGO)
            prelude = (
                "from trackerapi_backend.jobs import retention\n"
                "retention.START_SECONDS = 0.0\n"
            )
            with (
                serve_existing(tmp_path, keys, url, prelude=prelude) as (_, service),
                service.client() as api,
            ):
                until = time.monotonic() + MAX_WAIT_SECONDS
                while api.get("/jobs").json()["items"]:
                    assert time.monotonic() < until
                    time.sleep(0.02)
                names = {each.name for each in store.read(list_partitions)}
        months = {f"events_{utc_now():%Y_%m}", *expected}
        assert names <= months
        assert len(names) == MONTHS_AHEAD + 1
        log = command_here("audit", "--all", environment=environment).stdout
    assert log.count("\tdrop_partition\tpartition events_2020_05") == 1
    assert log.count("\tdelete_old_jobs\tprovider 1\tdeleted_jobs 1") == 1
