"""A writer of the backend that is busy, so that further commands wait in its queue."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Connection
    from trackerapi_backend.store.writer import Writer


@asynccontextmanager
async def keep_busy(writer: Writer) -> AsyncIterator[None]:
    """Keep a writer busy during the block."""
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
