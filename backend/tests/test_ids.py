"""Ids: they fit exactly into a JSON number, grow, and tell nothing about other rows."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from unittest.mock import patch
from uuid import uuid4

import pytest
from sqlalchemy import delete, update
from trackerapi_backend.cli.database import open_store
from trackerapi_backend.instants import to_micros, utc_now
from trackerapi_backend.jobs.creation import create_job
from trackerapi_backend.settings import storage_from
from trackerapi_backend.store import providers as stored_providers
from trackerapi_backend.store.api_keys import create_key
from trackerapi_backend.store.customers import create_customer
from trackerapi_backend.store.ids import LAST_CLOCK_ID
from trackerapi_backend.store.schema import MAX_ID, customers, jobs
from trackerapi_backend.store.share_links import create_share_link
from trackerapi_backend.store.sqlite import SqliteStore

from backend.tests.support.service import (
    CUSTOMER,
    command_here,
    prepare,
    variables_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection
    from trackerapi_backend.store import Store


@pytest.fixture
def store(tmp_path: Path, database_url: str | None) -> Iterator[Store]:
    """A store with the providers of `prepare()`."""
    prepare(tmp_path, database_url)
    storage = storage_from({}, variables_of(tmp_path, database_url))
    with closing(open_store(storage)) as store:
        yield store


class Creation:
    """Creation of one row of each table with ids, for one provider.

    Args:
        db: Connection in a transaction.
        provider_id: Provider of the rows.
    """

    def __init__(self, db: Connection, provider_id: int) -> None:
        self._db, self._provider_id = db, provider_id

    def __call__(self, now: datetime) -> dict[str, int]:
        """Create the rows at a time; return their ids by table."""
        db, provider_id, name = self._db, self._provider_id, uuid4().hex
        of_provider = {"provider_id": provider_id, "created_at": now}
        customer = create_customer(db, of_provider, caller_key_id=None)
        document = {"tag": name, "name": "Import", "step_configurations": []}
        sent = {
            "provider_job_id": name,
            "customer_id": customer.id,
            "tag": name,
            "configuration": document,
        }
        job = create_job(db, provider_id, sent, now=now, name_hmac=b"").job
        key = {"key_id": name, "label": "k", "key_hmac": b"", "scopes": []}
        expires_at = datetime(2100, 1, 1, tzinfo=UTC)
        link = {
            "job_id": job.id,
            "token_hash": name.encode(),
            "created_at": now,
            "expires_at": expires_at,
        }
        return {
            "customers": customer.id,
            "jobs": job.id,
            "job_configurations": job.configuration_id,
            "api_keys": create_key(db, {**of_provider, **key}).id,
            "share_links": create_share_link(db, provider_id, link).id,
        }


NOW = utc_now()
CLOCKS = [
    NOW,
    NOW,
    NOW - timedelta(days=400),
    datetime(1, 1, 2, tzinfo=UTC),
    NOW + timedelta(milliseconds=1),
    NOW + timedelta(days=400),
    NOW,
]
"""Times of creations in this order: the clock stands still, jumps back and ahead."""


def test_ids_are_unique_and_grow_with_any_clock(store: Store) -> None:
    """Ids of one provider grow, also if the clock goes back, and keep to the limit."""
    with store.transaction() as db:
        provider_id = stored_providers.create_provider(db, "Clock", now=NOW)
        create = Creation(db, provider_id)
        made = [create(now) for now in CLOCKS]
    for table in made[0]:
        ids = [each[table] for each in made]
        assert len(set(ids)) == len(ids), table
        assert all(0 < each <= MAX_ID for each in ids), table
        # Each job has links of its own.
        assert table == "share_links" or ids == sorted(ids), table


def test_ids_tell_nothing_about_the_rows_of_others(store: Store) -> None:
    """Many creations by others in the same millisecond do not change the next id.

    An id is in the range of its millisecond, at random.
    """
    with store.transaction() as db:
        names = [
            stored_providers.create_provider(db, f"P{number}", now=utc_now())
            for number in range(25)
        ]
        crowded = [Creation(db, name)(NOW) for name in names]
    first = to_micros(NOW) // 1000 << 12
    for table in ("customers", "jobs", "job_configurations", "api_keys", "share_links"):
        bits = [each[table] - first for each in crowded]
        assert all(0 <= each < 2**12 for each in bits), table
        # The probability that 25 random numbers are sorted is 1 to 10^25.
        assert bits != sorted(bits), table


def test_ids_of_providers_tell_nothing_about_their_number(store: Store) -> None:
    """After the first provider, ids are times with random bits; they grow."""
    first = to_micros(NOW) // 1000 << 12
    with store.transaction() as db:
        made = [
            stored_providers.create_provider(db, f"P{number}", now=now)
            for number, now in enumerate(CLOCKS)
        ]
        oldest = stored_providers.find_provider(db, None)
    assert oldest == 1
    assert made == sorted(set(made))
    assert all(first <= each <= MAX_ID for each in made)


def test_given_ids_of_customers_do_not_affect_new_ids(
    tmp_path: Path, database_url: str | None
) -> None:
    """`customer create --id` accepts any free id; later ids stay within the limit."""
    prepare(tmp_path, database_url)
    variables = variables_of(tmp_path, database_url)
    chosen = [("--id", str(MAX_ID)), ("--id", "1"), (), (), ("--id", "143"), ()]
    made = [
        command_here("customer", "create", *each, environment=variables)
        for each in chosen
    ]
    assert [each.returncode for each in made] == [0] * len(made)
    ids = [int(each.stdout) for each in made]
    assert len({*ids, CUSTOMER}) == len(ids) + 1
    assert max(ids) == MAX_ID
    new = [each for each, options in zip(ids, chosen, strict=True) if not options]
    assert new == sorted(new)
    assert new[-1] < LAST_CLOCK_ID


def test_id_of_an_erased_customer_is_not_given_again(store: Store) -> None:
    """An id that the audit log names is not given to a new customer."""
    numbers = iter([5, 5, 6])
    with (
        store.transaction() as db,
        patch(
            "trackerapi_backend.store.ids.secrets.randbelow", lambda _: next(numbers)
        ),
    ):
        provider_id = stored_providers.find_provider(db, "One")
        values = {"provider_id": provider_id, "created_at": NOW}
        first = create_customer(db, values, caller_key_id=None).id
        db.execute(delete(customers).where(customers.c.id == first))
        second = create_customer(db, values, caller_key_id=None).id
    assert (first & 0xFFF, second & 0xFFF) == (5, 6)


def test_job_with_a_too_large_id_does_not_affect_later_ids(
    tmp_path: Path,
) -> None:
    """A stored job with an id above 2^53-1 does not make later ids too large."""
    with (
        closing(SqliteStore(tmp_path / "own.db", migrate=True)) as store,
        store.transaction() as db,
    ):
        provider_id = stored_providers.create_provider(db, "One", now=utc_now())
        values = {"provider_id": provider_id, "created_at": utc_now()}
        customer_id = create_customer(db, values, caller_key_id=None).id
        ids = []
        for name in ("first", "second", "third"):
            sent = {"provider_job_id": name, "customer_id": customer_id, "tag": "t"}
            job = create_job(db, provider_id, sent, name_hmac=b"", now=utc_now()).job
            ids.append(job.id)
            if name == "first":
                too_large = update(jobs).values(id=MAX_ID + 4096)
                db.execute(too_large.where(jobs.c.id == job.id))
    assert ids[1] < ids[2] <= MAX_ID
