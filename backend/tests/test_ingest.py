"""The writer: one commit for all that wait, each answered for itself."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING

import httpx
import pytest
from sqlalchemy.exc import OperationalError
from trackerapi_backend.administration import make_customer
from trackerapi_backend.app import create_app
from trackerapi_backend.auth import Authenticator
from trackerapi_backend.calls import Services
from trackerapi_backend.ingest import Writer
from trackerapi_backend.settings import read_pepper
from trackerapi_backend.store.customers import customer_exists
from trackerapi_backend.store.sqlite import SqliteStore

from backend.tests.service import CUSTOMER, prepare, problem_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from sqlalchemy import Connection


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    """Keys of a new database in the test's folder."""
    return prepare(tmp_path)


@pytest.fixture
def store(tmp_path: Path, keys: dict[str, str]) -> Iterator[SqliteStore]:
    """The database that the keys are of."""
    with closing(SqliteStore(tmp_path / "backend.db")) as store:
        yield store


@asynccontextmanager
async def held(writer: Writer) -> AsyncIterator[None]:
    """Keep a writer busy for the time of a block."""
    began, may_end = threading.Event(), threading.Event()

    def hold(_db: Connection) -> None:
        began.set()
        may_end.wait()

    holding = asyncio.create_task(writer.write(hold))
    await asyncio.to_thread(began.wait)
    try:
        yield
    finally:
        may_end.set()
        await holding


def test_failing_command_takes_no_neighbour_along(store: SqliteStore) -> None:
    """Of commands in one commit, those that work are kept and the others told."""

    def fail(db: Connection) -> None:
        db.exec_driver_sql("DELETE FROM customers")
        raise LookupError("poison")

    async def scenario() -> list[object]:
        with closing(Writer(store)) as writer:
            async with held(writer):
                waiting = [
                    asyncio.create_task(writer.write(command))
                    for command in (lambda _db: 1, fail, lambda _db: 2)
                ]
                await asyncio.sleep(0)
            return await asyncio.gather(*waiting, return_exceptions=True)

    first, refused, second = asyncio.run(scenario())
    assert (first, second) == (1, 2)
    assert isinstance(refused, LookupError)
    assert store.read(lambda db: customer_exists(db, CUSTOMER))


def test_commands_that_wait_are_carried_out_before_the_end(
    store: SqliteStore,
) -> None:
    """To close the writer loses nothing that it has taken."""

    async def scenario() -> int:
        writer = Writer(store)
        waiting = [
            asyncio.create_task(writer.write(lambda _db, n=n: n)) for n in range(200)
        ]
        await asyncio.sleep(0)
        await asyncio.to_thread(writer.close)
        return sum(await asyncio.gather(*waiting))

    assert asyncio.run(scenario()) == sum(range(200))


def test_full_queue_is_answered_with_503_and_when_to_come_back(
    tmp_path: Path, store: SqliteStore, keys: dict[str, str]
) -> None:
    """What cannot be stored soon is refused at once, and may be repeated."""
    pepper = read_pepper(tmp_path / "pepper")

    async def scenario() -> list[httpx.Response]:
        with closing(Writer(store, capacity=1)) as writer:
            authenticator = Authenticator(store, writer, pepper)
            services = Services(
                store=store, writer=writer, authenticator=authenticator, pepper=pepper
            )
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(create_app(services)),
                base_url="http://backend",
                headers={"X-API-Key": keys["all"]},
            ) as client:
                await client.get("/jobs")  # the key is known from here on
                async with held(writer):
                    waiting = asyncio.create_task(writer.write(lambda _db: None))
                    await asyncio.sleep(0)
                    refused = await client.post("/customers", json={})
                await waiting
                return [refused, await client.post("/customers", json={})]

    refused, repeated = asyncio.run(scenario())
    assert (refused.status_code, problem_name(refused)) == (503, "unavailable")
    assert int(refused.headers["retry-after"]) >= 1
    assert repeated.status_code == 201


def test_failed_statement_names_no_value(store: SqliteStore) -> None:
    """An error of the database can be logged without a customer's data in it."""
    with pytest.raises(OperationalError) as caught:
        store.read(lambda db: make_customer(db, 1, name="PATIENT NAME"))

    assert "PATIENT" not in str(caught.value)
    assert "customers" in str(caught.value)
