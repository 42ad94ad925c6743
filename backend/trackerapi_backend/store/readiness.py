"""Readiness of the server: a write and a read of the store every few seconds."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from trackerapi_backend.background import running
from trackerapi_backend.problems import Problem
from trackerapi_backend.store import StoreError
from trackerapi_backend.store.providers import find_provider

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trackerapi_backend.store import Store
    from trackerapi_backend.store.writer import Writer

CHECK_EVERY_SECONDS = 5.0
CHECK_SECONDS = 10.0
"""Time limit of a check, in seconds."""

_log = logging.getLogger(__name__)


class Readiness:
    """Result of the latest check of the store; the server repeats the check.

    Args:
        store: Store to read from. The check also measures the free space of the store.
        writer: Writer that commits a write for each check: a full queue or a failing
            disk fails the check as it fails a request.
        every_seconds: Interval between two checks, in seconds.

    Attributes:
        reason: Reason why the server cannot answer requests; None if it can.
    """

    def __init__(
        self,
        store: Store,
        writer: Writer,
        *,
        every_seconds: float = CHECK_EVERY_SECONDS,
    ) -> None:
        self._store, self._writer = store, writer
        self._every_seconds = every_seconds
        self.reason: str | None = "The first check is under way."

    @asynccontextmanager
    async def run_checks(self, _app: object) -> AsyncIterator[None]:
        """Check once, then every `every_seconds` until the end of the block."""
        self.reason = await self._check()
        if self.reason is not None:
            _log.error("not ready: %s", self.reason)
        async with running(self._check_repeatedly()):
            yield

    async def _check_repeatedly(self) -> None:
        while True:
            await asyncio.sleep(self._every_seconds)
            before, self.reason = self.reason, await self._check()
            if self.reason == before:
                continue
            if self.reason is None:
                _log.warning("ready again")
            # Log one line per outage: the reason may change from check to check, for
            # example the number of free MiB.
            elif before is None:
                _log.error("not ready: %s", self.reason)

    async def _check(self) -> str | None:
        """Return the reason why the server cannot answer requests; None if it can."""
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await self._writer.write(self._store.touch)
                return await run_in_threadpool(self._read_and_measure)
        except TimeoutError:
            return f"The database has not answered for {CHECK_SECONDS:.0f} s."
        except Problem as problem:
            return problem.detail
        except StoreError as error:
            return f"The database cannot be read ({error.cause})."
        # The process cannot open a file or start a thread.
        except (OSError, RuntimeError) as error:
            return f"The check could not be made ({error})."
        # Without this, an unforeseen error would end the checks, and the latest result
        # would stay for ever.
        except Exception as error:  # noqa: BLE001 -- `/readyz` shows it
            _log.exception("the check of the store failed")
            return f"The check failed ({type(error).__name__})."

    def _read_and_measure(self) -> str | None:
        self._store.read(lambda db: find_provider(db, None))
        return self._store.shortage()
