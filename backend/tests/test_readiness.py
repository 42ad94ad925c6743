"""Readiness: `/readyz` while the store cannot be written."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager, closing
from typing import TYPE_CHECKING

import httpx
import pytest
from trackerapi_backend.app import create_app
from trackerapi_backend.live.hub import Hub
from trackerapi_backend.pepper import PepperFile
from trackerapi_backend.requests.auth import Authenticator
from trackerapi_backend.requests.call import Services
from trackerapi_backend.store.readiness import Readiness
from trackerapi_backend.store.sqlite import SqliteStore
from trackerapi_backend.store.writer import Writer

from backend.tests.support.disks import small_disk
from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    Service,
    first_line,
    prepare,
    problem_name,
    serve_existing,
    start_command,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from sqlalchemy import Connection

CHECK_EVERY_SECONDS = 0.05


@asynccontextmanager
async def serve_in_process(
    folder: Path, open_store: Callable[[Path], SqliteStore] = SqliteStore
) -> AsyncIterator[tuple[httpx.AsyncClient, Writer]]:
    """Serve a database in this process and check the database often."""
    async with AsyncExitStack() as stack:
        store = stack.enter_context(closing(open_store(folder / "backend.db")))
        writer = stack.enter_context(closing(Writer(store, capacity=2)))
        pepper = PepperFile(folder / "pepper")
        readiness = Readiness(store, writer, every_seconds=CHECK_EVERY_SECONDS)
        app = create_app(
            Services(
                store=store,
                writer=writer,
                hub=Hub(store),
                authenticator=Authenticator(store, writer, pepper),
                readiness=readiness,
                pepper=pepper,
            )
        )
        await stack.enter_async_context(readiness.run_checks(app))
        transport = httpx.ASGITransport(app)
        client = httpx.AsyncClient(transport=transport, base_url="http://backend")
        yield await stack.enter_async_context(client), writer


async def wait_for_status(client: httpx.AsyncClient, status: int) -> httpx.Response:
    """Request `/readyz` until the response has the expected status."""
    async with asyncio.timeout(MAX_WAIT_SECONDS):
        while (answer := await client.get("/readyz")).status_code != status:
            await asyncio.sleep(CHECK_EVERY_SECONDS)
    return answer


def test_checks_commit_a_real_write(tmp_path: Path) -> None:
    """Each check makes the write-ahead log grow."""
    prepare(tmp_path)
    log = tmp_path / "backend.db-wal"

    async def scenario() -> None:
        async with serve_in_process(tmp_path) as (client, _writer):
            await wait_for_status(client, 200)
            size = log.stat().st_size
            async with asyncio.timeout(MAX_WAIT_SECONDS):
                while log.stat().st_size == size:
                    await asyncio.sleep(CHECK_EVERY_SECONDS)

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["backend.db", "backend.db-wal"])
@pytest.mark.parametrize("is_replaced", [False, True])
def test_file_that_is_gone_makes_the_server_unready(
    tmp_path: Path, name: str, is_replaced: bool
) -> None:
    """While a file is moved or replaced, `/readyz` and writes get 503."""
    prepare(tmp_path)
    file, aside = tmp_path / name, tmp_path / "aside"

    async def scenario() -> None:
        async with serve_in_process(tmp_path) as (client, writer):
            await wait_for_status(client, 200)
            file.rename(aside)
            if is_replaced:
                file.write_bytes(aside.read_bytes())
            answer = await wait_for_status(client, 503)
            assert "moved, replaced or deleted" in answer.json()["detail"]
            assert str(tmp_path) not in answer.text
            with pytest.raises(Exception, match="unavailable"):
                await writer.write(lambda _db: None)
            aside.replace(file)
            await wait_for_status(client, 200)

    asyncio.run(scenario())


class UnforeseenStore(SqliteStore):
    """Store with checks that can fail with an unforeseen error."""

    is_failing = False

    def touch(self, db: Connection) -> None:
        """Write like `SqliteStore`, or fail."""
        if self.is_failing:
            raise LookupError("unforeseen")
        super().touch(db)


def test_unforeseen_error_makes_the_server_unready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check that fails with any error gets 503; later checks get 200 again."""
    prepare(tmp_path)

    async def scenario() -> None:
        async with serve_in_process(tmp_path, UnforeseenStore) as (client, _writer):
            await wait_for_status(client, 200)
            monkeypatch.setattr(UnforeseenStore, "is_failing", True)
            answer = await wait_for_status(client, 503)
            assert "LookupError" in answer.json()["detail"]
            monkeypatch.setattr(UnforeseenStore, "is_failing", False)
            await wait_for_status(client, 200)

    asyncio.run(scenario())


def test_full_queue_makes_the_server_unready(tmp_path: Path) -> None:
    """While the queue of the writer is full, `/readyz` gets 503."""
    prepare(tmp_path)

    async def scenario() -> None:
        async with serve_in_process(tmp_path) as (client, writer):
            begun, may_end = asyncio.Event(), asyncio.Event()
            loop = asyncio.get_running_loop()

            def hold(_db: Connection) -> None:
                loop.call_soon_threadsafe(begun.set)
                asyncio.run_coroutine_threadsafe(may_end.wait(), loop).result()

            holding = asyncio.create_task(writer.write(hold))
            await begun.wait()
            waiting = [asyncio.create_task(_refill(writer)) for _ in range(2)]
            answer = await wait_for_status(client, 503)
            assert "wait" in answer.json()["detail"]
            may_end.set()
            await asyncio.gather(holding, *waiting)
            await wait_for_status(client, 200)

    async def _refill(writer: Writer) -> None:
        await writer.write(lambda _db: None)

    asyncio.run(scenario())


def test_small_disk_makes_the_server_unready(tmp_path: Path) -> None:
    """Below 64 MiB of free space `/readyz` gets 503 with the free space."""
    with small_disk(tmp_path / "disk") as disk:
        keys = prepare(disk)
        with serve_existing(disk, keys) as (_process, service):
            with service.client() as api:
                answer = api.get("/readyz")
                assert api.get("/livez").status_code == 200
    assert problem_name(answer) == "unavailable"
    assert int(answer.headers["retry-after"]) >= 1
    assert "64 MiB" in answer.json()["detail"]


def test_server_notices_that_its_file_was_deleted(tmp_path: Path) -> None:
    """A check notices a deleted file without any request."""
    keys = prepare(tmp_path)
    with serve_existing(tmp_path, keys) as (_process, service):
        with service.client() as api:
            assert api.get("/readyz").status_code == 200
            (tmp_path / "backend.db").unlink()
            assert api.post("/customers", json={}).status_code == 503
            _wait_until(lambda: api.get("/readyz").status_code == 503)


def test_server_notices_that_its_file_is_damaged(tmp_path: Path) -> None:
    """Reads of a damaged file get 503, and the log has no traceback."""
    keys, log = prepare(tmp_path), tmp_path / "log"
    database = tmp_path / "backend.db"
    arguments = ("serve", "--port", "0", "--database", str(database))
    with start_command(*arguments, log=log) as process:
        base_url = first_line(process).split()[-1]
        with Service(base_url=base_url, keys=keys).client() as api:
            assert api.get("/customers").status_code == 200
            database.write_bytes(b"x" * database.stat().st_size)
            (tmp_path / "backend.db-wal").write_bytes(b"")
            _wait_until(lambda: api.get("/readyz").status_code == 503)
            answer = api.get("/customers")
    assert problem_name(answer) == "unavailable"
    assert "Retry-After" in answer.headers
    assert str(tmp_path) not in answer.text
    assert "the store cannot be read" in log.read_text()
    assert "traceback" not in log.read_text()


def _wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + MAX_WAIT_SECONDS
    while not condition():
        assert time.monotonic() < until
        time.sleep(CHECK_EVERY_SECONDS)


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_health_answers_head(service: Service, path: str) -> None:
    """`HEAD` of a health path gets the status and no body."""
    with service.client(None) as anyone:
        answer = anyone.head(path)
        refused = anyone.post(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert refused.status_code == 405
    assert refused.headers["allow"] == "GET, HEAD"
