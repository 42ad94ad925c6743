"""Services of a command that has opened the database itself."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from trackerapi_backend.cli.database import open_pepper
from trackerapi_backend.live.hub import Hub
from trackerapi_backend.requests.auth import Authenticator
from trackerapi_backend.requests.call import Services
from trackerapi_backend.store.erasures_file import ErasuresFile
from trackerapi_backend.store.readiness import Readiness
from trackerapi_backend.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trackerapi_backend.settings import Storage
    from trackerapi_backend.store import Store


@asynccontextmanager
async def running_services(storage: Storage, store: Store) -> AsyncIterator[Services]:
    """Yield services for work on the database without a server.

    The services send no notifications of changes. A server on the same PostgreSQL
    database reads the jobs of its open streams again every few seconds.

    Raises:
        SettingsError: If the pepper file cannot be used.
        StoreError: If the database cannot be used.
    """
    pepper = open_pepper(store, storage)
    writer = Writer(store)
    try:
        yield Services(
            store=store,
            writer=writer,
            hub=Hub(store),
            authenticator=Authenticator(store, writer, pepper),
            readiness=Readiness(store, writer),
            pepper=pepper,
            erasures=ErasuresFile(storage.erasures_file),
        )
    finally:
        await run_in_threadpool(writer.close)
