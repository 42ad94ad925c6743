"""Retention: deletion of jobs that ended long ago, in small steps beside requests.

A pass deletes the old jobs of each provider that has set an age (`retention_days`). A
step of the pass deletes at most `MAX_ROWS` rows in one transaction. The pause after a
step is `PAUSE` times as long as the step, so requests seldom wait for a step. If many
processes share a database, one process at a time makes a pass.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from starlette.concurrency import run_in_threadpool

from trackerapi_backend.background import running
from trackerapi_backend.instants import utc_now
from trackerapi_backend.problems import Problem
from trackerapi_backend.projection.statuses import ENDED, JobStatus
from trackerapi_backend.store import StoreError, retention
from trackerapi_backend.store.audit_log import record_change, replace_details
from trackerapi_backend.store.fair_queue import SERVER, Load
from trackerapi_backend.store.old_partitions import begin_checks
from trackerapi_backend.store.partitions import add_partitions, missing_partitions
from trackerapi_backend.store.retention import OldJobs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from sqlalchemy import Connection

    from trackerapi_backend.requests.call import Services
    from trackerapi_backend.store.retention import DeletedJobs

START_SECONDS = 10.0
"""Time from the start of the server to the first pass, in seconds."""
PASS_EVERY_SECONDS = 300.0
"""Time between two passes, in seconds."""
PARTITIONS_EVERY_SECONDS = 3600.0
"""Time between two checks of the partitions of PostgreSQL, in seconds."""
MAX_ROWS = 250
"""Maximum number of rows that one step deletes."""
PAUSE = 9.0
"""Pause after a step, as a multiple of the duration of the step."""
MIN_PAUSE_SECONDS = 0.02
MAX_JUMP = timedelta(days=1)
"""Maximum time by which a trusted clock may be ahead of the expected time."""
DOUBT_SECONDS = 86_400.0
"""Time without deletions after the clock has jumped ahead, in seconds."""

DELETED_STATUSES = (*sorted(ENDED), JobStatus.INTERRUPTED)
"""Statuses of the jobs that the retention deletes."""

_log = logging.getLogger(__name__)


class ClockGuard:
    """Protection of stored jobs against a clock that is far ahead.

    A clock with a wrong year would make all jobs look old. If the clock jumps ahead by
    more than `MAX_JUMP`, nothing is deleted for `DOUBT_SECONDS`: meanwhile the operator
    or the time service of the machine can correct the clock.

    Args:
        newest: Newest time in the database at the start of the server. Later times do
            not count: the server may have taken them from the wrong clock.
        monotonic_seconds: Time on the monotonic clock at the start, in seconds.
    """

    def __init__(self, newest: datetime, monotonic_seconds: float) -> None:
        self._checked_at, self._monotonic_seconds = newest, monotonic_seconds
        self._trusted_from = monotonic_seconds

    def trusts(self, now: datetime, monotonic_seconds: float) -> bool:
        """Return whether `now` may be used to delete jobs; log a jump of the clock."""
        elapsed = timedelta(seconds=monotonic_seconds - self._monotonic_seconds)
        jump = now - self._checked_at - elapsed
        self._checked_at, self._monotonic_seconds = now, monotonic_seconds
        if jump > MAX_JUMP:
            self._trusted_from = monotonic_seconds + DOUBT_SECONDS
            _log.warning(
                "no old jobs are deleted for %d hours: the clock is %d days ahead of"
                " the time expected from the database and the last check; correct the"
                " clock of this machine if it is wrong",
                DOUBT_SECONDS // 3600,
                jump.days,
            )
        return monotonic_seconds >= self._trusted_from


def deleting_old_jobs(services: Services) -> AbstractAsyncContextManager[None]:
    """Return a context manager during which a task makes passes."""
    return running(_Retention(services).run())


class _Retention:
    """Passes of one server process."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._clock: ClockGuard | None = None
        self._is_failing = False
        self._partitions_at = 0.0

    async def run(self) -> None:
        """Make a pass after `START_SECONDS`, then every `PASS_EVERY_SECONDS`."""
        await self._try(self._find_clock)
        await asyncio.sleep(START_SECONDS)
        while True:
            await self._try(self._add_partitions)
            await self._try(self._make_pass)
            await asyncio.sleep(PASS_EVERY_SECONDS)

    async def _try(self, action: Callable[[], Awaitable[object]]) -> None:
        """Run an action; log only the first of consecutive failures.

        The log has the traceback of an unexpected exception.
        """
        try:
            await action()
        except Exception as error:  # noqa: BLE001 -- the next pass tries again
            if not self._is_failing:
                is_known = isinstance(error, (Problem, StoreError))
                reason = error.detail if isinstance(error, Problem) else f"{error}"
                _log.error(
                    "old jobs are not deleted: %s",
                    reason,
                    exc_info=None if is_known else error,
                )
            self._is_failing = True
        else:
            self._is_failing = False

    async def _find_clock(self) -> ClockGuard:
        """Return the guard of the clock; the first call reads the newest time."""
        if self._clock is None:
            newest = await run_in_threadpool(
                self._services.store.read, retention.find_newest_time
            )
            self._clock = ClockGuard(newest or utc_now(), time.monotonic())
        return self._clock

    async def _add_partitions(self) -> None:
        """Create the partitions of the next months, if PostgreSQL lacks them."""
        services, now = self._services, utc_now()
        find = partial(missing_partitions, now=now)
        if await run_in_threadpool(services.store.read, find):
            await services.writer.write(partial(add_partitions, now=now))

    async def _make_pass(self) -> None:
        """Delete the old jobs of all providers, unless another process makes a pass."""
        store = self._services.store
        ages = await run_in_threadpool(store.read, retention.list_ages)
        clock, now = await self._find_clock(), utc_now()
        if not ages or not clock.trusts(now, time.monotonic()):
            return
        release = await run_in_threadpool(store.lock_maintenance)
        if release is None:
            return
        try:
            await self._drop_partitions(ages, now)
            for provider_id, days in ages:
                before = now - timedelta(days=days)
                await self._delete_all(OldJobs(provider_id, before, DELETED_STATUSES))
        finally:
            release()

    async def _drop_partitions(
        self, ages: Sequence[tuple[int, int]], now: datetime
    ) -> None:
        """Drop the partitions of PostgreSQL that contain events of old jobs only."""
        if time.monotonic() < self._partitions_at:
            return
        self._partitions_at = time.monotonic() + PARTITIONS_EVERY_SECONDS
        read, writer = self._services.store.read, self._services.writer
        begin = partial(begin_checks, ages=ages, now=now, statuses=DELETED_STATUSES)
        for check in await run_in_threadpool(read, begin):
            partition = check.partition
            next_id: int | None = partition.first_id
            while next_id is not None and next_id < partition.end_id:
                page = partial(check.next_page, first_id=next_id)
                next_id = await run_in_threadpool(read, page)
                await asyncio.sleep(MIN_PAUSE_SECONDS)
            if next_id is not None and await writer.write(check.drop):
                _log.info("dropped the partition %s of the events", partition.name)

    async def _delete_all(self, old: OldJobs) -> None:
        """Delete the old jobs of a provider; count them in one audit log entry."""
        entry = _Entry(None, 0)
        while job_ids := await run_in_threadpool(self._services.store.read, old.find):
            is_complete = False
            while not is_complete:
                started = time.monotonic()
                step = partial(_delete_some, old=old, job_ids=job_ids, entry=entry)
                # A large load, so that the reports of other providers come first.
                load = Load(SERVER, MAX_ROWS)
                deleted, entry = await self._services.writer.write(step, load)
                is_complete = deleted.is_complete
                seconds = time.monotonic() - started
                await asyncio.sleep(max(PAUSE * seconds, MIN_PAUSE_SECONDS))


class _Entry(NamedTuple):
    """Entry of the audit log about the deletions of a pass for one provider.

    Attributes:
        id: Id of the entry; None before the first deletion.
        jobs: Number of jobs that the pass has deleted so far.
    """

    id: int | None
    jobs: int


def _delete_some(
    db: Connection, old: OldJobs, job_ids: Sequence[int], entry: _Entry
) -> tuple[DeletedJobs, _Entry]:
    """Delete at most `MAX_ROWS` rows; create or update the entry of the audit log."""
    deleted = retention.delete_old_jobs(db, old, job_ids, MAX_ROWS)
    if deleted.is_complete and not deleted.job_ids:
        return deleted, entry
    count = entry.jobs + len(deleted.job_ids)
    if entry.id is not None:
        replace_details(db, entry.id, {"deleted_jobs": count})
        return deleted, _Entry(entry.id, count)
    entry_id = record_change(
        db,
        provider_id=old.provider_id,
        key_id=None,
        action="delete_old_jobs",
        details={"deleted_jobs": count},
    )
    return deleted, _Entry(entry_id, count)
