"""Deletion of jobs on both engines: all rows of these jobs, in steps."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import func, insert, select
from trackerapi_backend.cli.database import open_store
from trackerapi_backend.instants import utc_now
from trackerapi_backend.jobs.creation import create_job
from trackerapi_backend.jobs.providers import create_customer
from trackerapi_backend.settings import storage_from
from trackerapi_backend.store import providers as stored_providers
from trackerapi_backend.store.deletion import delete_job_rows
from trackerapi_backend.store.schema import (
    api_keys,
    customer_messages,
    customer_values,
    events,
    jobs,
    metadata,
    share_links,
)

from backend.tests.support.service import CUSTOMER, variables_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection
    from trackerapi_backend.store import Store

EVENTS = 7
OF_JOBS = (events, customer_values, customer_messages, share_links, api_keys)
ROWS_OF_A_JOB = EVENTS + len(OF_JOBS)
"""Number of rows of a job: `EVENTS` events, one row of each other table and the job."""


@pytest.fixture
def store(tmp_path: Path, database_url: str | None) -> Iterator[Store]:
    """A new store with a provider, on each engine."""
    storage = storage_from({}, variables_of(tmp_path, database_url))
    with closing(open_store(storage, migrate=True)) as store:
        with store.transaction() as db:
            stored_providers.create_provider(db, "One", now=utc_now())
            create_customer(db, 1, CUSTOMER)
        yield store


def add_job(db: Connection, name: str) -> int:
    """Store a job with rows in each table that has rows of jobs; return its id."""
    now = utc_now()
    sent: Any = {"provider_job_id": name, "customer_id": CUSTOMER, "tag": "t"}
    job_id: int = create_job(db, 1, sent, name_hmac=b"", now=now).job.id
    event = {"occurred_at": 0, "event_id": name.encode()}
    of_event = {"kind": "info", "event_metadata": "{}", "retrying": False}
    for sequence in range(1, EVENTS + 1):
        own = {"sequence": sequence, "event_id": b"%d" % sequence, "received_at": 0}
        db.execute(insert(events).values(job_id=job_id, **event | of_event | own))
    value = {"tag": "", "name": "n", "value": 1}
    db.execute(insert(customer_values).values(job_id=job_id, **event | value))
    message = {"message": "m", "shown_at": 0}
    db.execute(insert(customer_messages).values(job_id=job_id, **event | message))
    dates = {"created_at": now, "expires_at": now + timedelta(1)}
    link = {"job_id": job_id, "token_hash": name.encode(), **dates}
    db.execute(insert(share_links).values(link))
    token = {"provider_id": 1, "job_id": job_id, "key_id": name, "label": "k", **dates}
    token |= {"key_hmac": b"", "scopes": ["read"]}
    db.execute(insert(api_keys).values(token))
    return job_id


def count_rows(db: Connection) -> dict[str, int]:
    """Return the number of rows of each table with rows of jobs."""
    return {
        table.name: db.execute(select(func.count()).select_from(table)).scalar_one()
        for table in (jobs, *OF_JOBS)
    }


@pytest.mark.parametrize("limit", [1, 5, ROWS_OF_A_JOB, 2 * ROWS_OF_A_JOB, 1000])
def test_jobs_are_deleted_in_steps_with_all_their_rows(
    store: Store, limit: int
) -> None:
    """A step deletes at most `limit` rows; another job keeps its rows."""
    with store.transaction() as db:
        kept, *deleted = (add_job(db, name) for name in ("kept", "one", "two"))
        alone = {name: count // 3 for name, count in count_rows(db).items()}
    steps = 0
    while True:
        with store.transaction() as db:
            before = sum(count_rows(db).values())
            rest = delete_job_rows(db, [*deleted, 1], limit)
            after = sum(count_rows(db).values())
        assert before - after == limit - rest
        steps += 1
        if rest:
            break
    assert steps == 2 * ROWS_OF_A_JOB // limit + 1
    found = store.read(count_rows)
    assert found == alone
    assert store.read(lambda db: db.execute(select(jobs.c.id)).scalar_one()) == kept


def test_every_table_with_rows_of_jobs_is_emptied() -> None:
    """Each table with a foreign key to `jobs` is among the tables of this module."""
    with_jobs = {
        table.name
        for table in metadata.tables.values()
        for key in table.foreign_keys
        if key.column.table is jobs
    }
    assert with_jobs == {table.name for table in OF_JOBS}
