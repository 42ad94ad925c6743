"""Writer: groups of commands with one commit, and an outcome for each command."""

from __future__ import annotations

import asyncio
import resource
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sqlalchemy.exc import IntegrityError
from trackerapi_backend.app import create_app
from trackerapi_backend.jobs.providers import create_customer
from trackerapi_backend.live.hub import Hub
from trackerapi_backend.pepper import PepperFile
from trackerapi_backend.problems import Problem
from trackerapi_backend.requests.auth import Authenticator
from trackerapi_backend.requests.call import Services
from trackerapi_backend.store import StoreError
from trackerapi_backend.store import writer as writer_module
from trackerapi_backend.store.customers import customer_exists
from trackerapi_backend.store.fair_queue import MAX_GROUP_ITEMS
from trackerapi_backend.store.readiness import Readiness
from trackerapi_backend.store.sqlite import SqliteStore
from trackerapi_backend.store.writer import Writer

from backend.tests.support.busy_writer import keep_busy
from backend.tests.support.service import CUSTOMER, prepare, problem_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    """Keys of a new database in the test's folder."""
    return prepare(tmp_path)


@pytest.fixture
def store(tmp_path: Path, keys: dict[str, str]) -> Iterator[SqliteStore]:
    """Store on the database of the keys."""
    with closing(SqliteStore(tmp_path / "backend.db")) as store:
        yield store


def write_in_one_go(
    store: SqliteStore | FailingStore, *commands: Callable[[Connection], object]
) -> list[object]:
    """Return the outcomes of commands that are queued together: results or errors."""

    async def scenario() -> list[object]:
        with closing(Writer(store)) as writer:
            async with keep_busy(writer):
                waiting = [
                    asyncio.create_task(writer.write(command)) for command in commands
                ]
                await asyncio.sleep(0)
            return await asyncio.gather(*waiting, return_exceptions=True)

    return asyncio.run(scenario())


def new_customer(customer_id: int) -> Callable[[Connection], int]:
    """Return a command that creates a customer."""
    return lambda db: create_customer(db, 1, customer_id)


def has_customer(store: SqliteStore, customer_id: int) -> bool:
    """Return whether a customer is stored."""
    return store.read(lambda db: customer_exists(db, customer_id))


def assert_unavailable(outcome: object) -> None:
    """Check that an outcome is status 503 with Retry-After."""
    assert isinstance(outcome, Problem), outcome
    assert outcome.name == "unavailable"
    assert int(outcome.headers["Retry-After"]) >= 1


def test_failing_command_is_rolled_back_alone(store: SqliteStore) -> None:
    """In a group of commands, only the failing command is rolled back."""

    def fail(db: Connection) -> None:
        db.exec_driver_sql("DELETE FROM customers")
        raise LookupError("poison")

    first, refused, second = write_in_one_go(
        store, new_customer(1001), fail, new_customer(1002)
    )
    assert (first, second) == (1001, 1002)
    assert isinstance(refused, LookupError)
    assert all(has_customer(store, each) for each in (CUSTOMER, 1001, 1002))


@pytest.mark.parametrize("swallowed", [False, True])
def test_rollback_by_the_engine_is_noticed(store: SqliteStore, swallowed: bool) -> None:
    """A command that ends the transaction gets 503; the other commands are stored."""

    def end_transaction(db: Connection) -> None:
        create_customer(db, 1, 1002)
        # SQLite rolls a transaction back by itself on a full disk.
        db.exec_driver_sql("ROLLBACK")
        if not swallowed:
            db.exec_driver_sql("SELECT no_such_function()")

    first, refused, second = write_in_one_go(
        store, new_customer(1001), end_transaction, new_customer(1003)
    )
    assert (first, second) == (1001, 1003)
    assert_unavailable(refused)
    assert has_customer(store, 1001)
    assert has_customer(store, 1003)


def test_failed_commit_rejects_only_its_cause(store: SqliteStore) -> None:
    """After a failed COMMIT each command runs alone; the valid commands are stored."""

    def violate_foreign_key(db: Connection) -> None:
        db.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        create_customer(db, 999, 1002)

    first, refused, second = write_in_one_go(
        store, new_customer(1001), violate_foreign_key, new_customer(1003)
    )
    assert (first, second) == (1001, 1003)
    assert isinstance(refused, IntegrityError)
    assert [has_customer(store, each) for each in (1001, 1002, 1003)] == [
        True,
        False,
        True,
    ]


class FailingStore:
    """Store with transactions that fail at their end, except the first transaction.

    Args:
        store: Store with the transactions.
        error: Failure.
    """

    def __init__(self, store: SqliteStore, error: StoreError) -> None:
        self._store, self._error, self.count = store, error, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @contextmanager
    def transaction(self, *, shared: bool = False) -> Iterator[Connection]:
        """Begin a transaction that fails at the end of the block."""
        with self._store.transaction(shared=shared) as db:
            yield db
            self.count += 1
            if self.count > 1:
                raise self._error


@pytest.mark.parametrize(
    ("error", "transactions"),
    [
        (StoreError("the answer to COMMIT is lost", may_be_stored=True), 2),
        (StoreError("the database restarts", is_transient=True), 1),
    ],
    ids=str,
)
def test_failure_of_the_whole_store_rejects_whole_groups(
    store: SqliteStore,
    error: StoreError,
    transactions: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No command of a group runs alone after a failure that concerns all commands.

    A command that may be stored could otherwise make a second customer. If the store
    still fails after all retries, the commands behind the group are rejected too.
    """
    monkeypatch.setattr(writer_module, "RETRY_SECONDS", 0)
    failing = FailingStore(store, error)
    in_two_groups = range(1001, 1001 + MAX_GROUP_ITEMS + 10)
    outcomes = write_in_one_go(failing, *map(new_customer, in_two_groups))
    for outcome in outcomes:
        assert_unavailable(outcome)
    assert failing.count == 1 + transactions  # `keep_busy()` runs one


@pytest.mark.parametrize("mebibytes", [1, 8])
def test_command_beside_a_too_large_one_is_stored(
    tmp_path: Path, keys: dict[str, str], mebibytes: int
) -> None:
    """A command beyond the file-size limit gets 503; the other commands are stored."""

    def too_large(db: Connection) -> None:
        create_customer(db, 1, 1002)
        db.exec_driver_sql(
            "UPDATE customers SET name = ? WHERE id = 1002",
            ("x" * mebibytes * 1024 * 1024,),
        )

    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    with closing(SqliteStore(tmp_path / "backend.db")) as store:
        log = tmp_path / "backend.db-wal"
        limit = log.stat().st_size + 512 * 1024
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, unlimited[1]))
        try:
            first, refused, second = write_in_one_go(
                store, new_customer(1001), too_large, new_customer(1003)
            )
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert (first, second) == (1001, 1003)
    assert_unavailable(refused)
    with closing(SqliteStore(tmp_path / "backend.db")) as again:
        assert [has_customer(again, each) for each in (1001, 1002, 1003)] == [
            True,
            False,
            True,
        ]


def test_queued_commands_run_before_the_writer_closes(
    store: SqliteStore,
) -> None:
    """`close()` runs all queued commands."""

    async def scenario() -> int:
        writer = Writer(store)
        waiting = [
            asyncio.create_task(writer.write(lambda _db, n=n: n)) for n in range(200)
        ]
        await asyncio.sleep(0)
        await asyncio.to_thread(writer.close)
        return sum(await asyncio.gather(*waiting))

    assert asyncio.run(scenario()) == sum(range(200))


def test_full_queue_is_answered_with_503_and_retry_after(
    tmp_path: Path, store: SqliteStore, keys: dict[str, str]
) -> None:
    """A request gets 503 with Retry-After while the queue is full, then 201."""
    pepper = PepperFile(tmp_path / "pepper")

    async def scenario() -> list[httpx.Response]:
        with closing(Writer(store, capacity=1)) as writer:
            authenticator = Authenticator(store, writer, pepper)
            services = Services(
                store=store,
                writer=writer,
                hub=Hub(store),
                authenticator=authenticator,
                readiness=Readiness(store, writer),
                pepper=pepper,
            )
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(create_app(services)),
                base_url="http://backend",
                headers={"X-API-Key": keys["all"]},
            ) as client:
                # This request caches the key, so the next request needs no write.
                await client.get("/jobs")
                async with keep_busy(writer):
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
    """The error of a failed statement contains no value of a row."""
    with pytest.raises(StoreError) as caught:
        store.read(lambda db: create_customer(db, 1, name="PATIENT NAME"))

    statement = str(caught.value.__cause__)
    assert "PATIENT" not in f"{caught.value} {statement}"
    assert "customers" in statement


def test_each_commit_is_flushed_to_the_disk(store: SqliteStore) -> None:
    """SQLite flushes each commit to the disk, with `synchronous=FULL` and WAL."""
    with store.transaction() as db:
        level = db.exec_driver_sql("PRAGMA synchronous").scalar_one()
        journal = db.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    assert (level, journal) == (2, "wal")
