"""Contract of the store, the same on each engine: transactions, snapshots, writers.

On PostgreSQL two processes serve one database.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from trackerapi_backend.cli.database import open_store
from trackerapi_backend.jobs.providers import create_customer
from trackerapi_backend.settings import storage_from
from trackerapi_backend.store import StoreError, postgres
from trackerapi_backend.store.customers import customer_exists

from backend.tests.support.hot_jobs import HotJobs
from backend.tests.support.servers import Servers
from backend.tests.support.service import (
    CUSTOMER,
    STEPS,
    new_name,
    prepare,
    variables_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx
    from sqlalchemy import Connection
    from trackerapi_backend.store import Store

WRITERS = 8
EVENTS = 600
"""Number of events that the writers report at least."""

CREATED = 1001
"""Id of a customer that a test creates."""


@pytest.fixture
def store(tmp_path: Path, database_url: str | None) -> Iterator[Store]:
    """A store with two providers."""
    prepare(tmp_path, database_url)
    storage = storage_from({}, variables_of(tmp_path, database_url))
    with closing(open_store(storage)) as store:
        yield store


@pytest.fixture
def servers(tmp_path: Path, database_url: str | None) -> Iterator[Servers]:
    """Servers of one database: one with SQLite, two with PostgreSQL."""
    count = 1 if database_url is None else 2
    with closing(Servers(tmp_path, database_url, count=count)) as servers:
        yield servers


def is_created(store: Store) -> bool:
    """Return whether the store has the customer of the test."""
    return store.read(lambda db: customer_exists(db, CREATED))


def test_transaction_is_stored_whole_or_not_at_all(store: Store) -> None:
    """An exception rolls a transaction back; the end of the block commits it."""
    with suppress(LookupError), store.transaction() as db:
        create_customer(db, 1, CREATED)
        raise LookupError
    assert not is_created(store)
    with store.transaction() as db:
        create_customer(db, 1, CREATED)
        assert store.is_in_transaction(db)
        assert not is_created(store)
    assert is_created(store)


def test_read_has_one_snapshot(store: Store) -> None:
    """A query does not see a transaction that commits while the query runs."""

    def read_twice(db: Connection) -> list[bool]:
        before = customer_exists(db, CREATED)
        with store.transaction() as writing:
            create_customer(writing, 1, CREATED)
        return [before, customer_exists(db, CREATED)]

    assert store.read(read_twice) == [False, False]
    assert is_created(store)


def test_read_cannot_write(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query that writes raises StoreError and changes nothing."""
    monkeypatch.setattr(postgres, "RETRY_SECONDS", 0.0)
    with pytest.raises(StoreError):
        store.read(lambda db: create_customer(db, 1, CREATED))
    assert not is_created(store)


def test_touch_changes_no_row(store: Store) -> None:
    """After `touch()`, the store opens and reads as before."""
    with store.transaction() as db:
        store.touch(db)
    assert store.read(lambda db: customer_exists(db, CUSTOMER))
    assert store.shortage() is None


class Tail:
    """Reader of the events of a job, which reads on from its latest cursor.

    Attributes:
        ids: Ids of all events that were read, in order.
    """

    def __init__(self, api: httpx.Client, job_id: int) -> None:
        self._api, self._path = api, f"/jobs/{job_id}/events"
        self._before: list[str] = []
        self._last: list[str] = []
        self._query: dict[str, Any] = {"limit": 100}

    @property
    def ids(self) -> list[str]:
        """Ids of all events that were read, in order."""
        return self._before + self._last

    def read(self) -> None:
        """Read all pages that follow; check that events appear only at the end."""
        while True:
            page = self._api.get(self._path, params=self._query).json()
            sequences = [item["sequence"] for item in page["items"]]
            assert all(one < other for one, other in pairwise(sequences))
            ids = [item["event_id"] for item in page["items"]]
            # A reader that has passed an event would miss an earlier event for ever.
            assert ids[: len(self._last)] == self._last
            if page["next_cursor"] is None:
                self._last = ids
                return
            self._before += ids
            self._last, self._query["cursor"] = [], page["next_cursor"]


def test_concurrent_writers_store_each_event_once(
    tmp_path: Path, database_url: str | None, servers: Servers
) -> None:
    """Eight writers on two jobs: each event is stored once, and readers miss none."""
    jobs = HotJobs(servers.services)
    with ExitStack() as stack:
        clients = [
            stack.enter_context(service.client()) for service in servers.services
        ]
        query = {"provider_job_id": jobs.names[0]}
        [job] = clients[0].get("/jobs", params=query).json()["items"]
        tails = [Tail(api, job["id"]) for api in clients]
        with jobs.reporters():
            while jobs.count < EVENTS:
                for tail in tails:
                    tail.read()
        for tail in tails:
            tail.read()
            assert len(tail.ids) == len(set(tail.ids))
            assert set(tail.ids) == jobs.acknowledged(jobs.names[0])
    assert jobs.rejections == []
    servers.close()
    jobs.assert_stored(tmp_path, database_url, ended=True)


def test_concurrent_creations_make_one_job(servers: Servers) -> None:
    """Eight requests for the same new job make one job with one configuration."""
    tag = new_name()
    sent = {
        "provider_job_id": new_name(),
        "customer_id": CUSTOMER,
        "tag": tag,
        "configuration": {"tag": tag, "name": "A", "step_configurations": STEPS},
    }
    with ExitStack() as stack:
        clients = [
            stack.enter_context(servers.services[n % len(servers.services)].client())
            for n in range(WRITERS)
        ]
        with ThreadPoolExecutor(WRITERS) as pool:
            answers = list(pool.map(lambda api: api.post("/jobs", json=sent), clients))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [200] * (WRITERS - 1) + [201]
        assert len({answer.json()["id"] for answer in answers}) == 1
        found = clients[0].get("/job_configurations", params={"tag": tag}).json()
    assert len(found["items"]) == 1
