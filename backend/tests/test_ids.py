"""Ids: every id fits exactly into a JSON number."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from sqlalchemy import update
from trackerapi_backend.instants import utc_now
from trackerapi_backend.jobs.creation import create_job
from trackerapi_backend.jobs.providers import create_customer
from trackerapi_backend.store import providers as stored_providers
from trackerapi_backend.store.schema import MAX_ID, jobs
from trackerapi_backend.store.sqlite import SqliteStore

from backend.tests.support.service import CUSTOMER, command_here, prepare

if TYPE_CHECKING:
    from pathlib import Path


def test_customers_after_the_largest_id_have_free_ids(tmp_path: Path) -> None:
    """After a customer with the largest id, new customers get free ids."""
    prepare(tmp_path)
    database = {"TRACKERAPI_BACKEND_DATABASE": str(tmp_path / "backend.db")}
    chosen = [("--id", str(MAX_ID)), ("--id", "1"), (), (), ("--id", "143"), ()]
    made = [
        command_here("customer", "create", *each, environment=database)
        for each in chosen
    ]
    assert [each.returncode for each in made] == [0] * len(made)
    ids = [int(each.stdout) for each in made]
    assert len({*ids, CUSTOMER}) == len(ids) + 1
    assert max(ids) == MAX_ID


def test_job_with_a_too_large_id_does_not_affect_later_ids(
    tmp_path: Path,
) -> None:
    """A stored job with an id above 2^53-1 does not make later ids too large."""
    with (
        closing(SqliteStore(tmp_path / "own.db", migrate=True)) as store,
        store.transaction() as db,
    ):
        provider_id = stored_providers.create_provider(db, "One", now=utc_now())
        customer_id = create_customer(db, provider_id)
        ids = []
        for name in ("first", "second", "third"):
            sent = {"provider_job_id": name, "customer_id": customer_id, "tag": "t"}
            job = create_job(db, provider_id, sent, name_hmac=b"", now=utc_now()).job
            ids.append(job.id)
            if name == "first":
                too_large = update(jobs).values(id=MAX_ID + 4096)
                db.execute(too_large.where(jobs.c.id == job.id))
    assert ids[1] < ids[2] <= MAX_ID
