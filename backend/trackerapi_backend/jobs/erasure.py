"""Permanent erasure of jobs and customers, in steps between other requests.

An erasure begins with a line in the file of erasures. Its first transaction then hides
the job: the job counts as unknown, and new jobs and events with its name are rejected.
Further transactions delete the events in steps, so that reports of other jobs do not
wait. A server looks for hidden jobs and customers at its start and every
`FINISH_EVERY_SECONDS`, and finishes the erasures that a crash has interrupted. It also
repeats a removal of bytes that a long read has prevented.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from trackerapi_backend.background import running
from trackerapi_backend.instants import format_instant, utc_now
from trackerapi_backend.problems import Problem, unavailable
from trackerapi_backend.requests.call import require
from trackerapi_backend.store import StoreError, erasure
from trackerapi_backend.store import customers as stored_customers
from trackerapi_backend.store import jobs as stored_jobs
from trackerapi_backend.store.audit_log import record_change
from trackerapi_backend.store.deletion import delete_job_rows
from trackerapi_backend.store.erasures_file import erased_customer, erased_job
from trackerapi_backend.store.fair_queue import Load

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from sqlalchemy import Connection

    from trackerapi_backend.generated import models
    from trackerapi_backend.pepper import PepperFile
    from trackerapi_backend.requests.call import Services
    from trackerapi_backend.store.erasures_file import ErasedObject

FINISH_EVERY_SECONDS = 600.0
"""Interval between two searches for interrupted erasures, in seconds."""
RETRY_AFTER_SECONDS = 60
"""`Retry-After` if the file of erasures cannot be written, in seconds."""

_BEGUN = (
    "The erasure has begun: a server finishes the erasure within minutes, once the file"
    " of erasures can be written"
)

_log = logging.getLogger(__name__)


def find_erased(
    db: Connection, pepper: PepperFile, provider_id: int, names: Collection[str]
) -> set[str]:
    """Return the names (`provider_job_id`) of erased jobs among `names`."""
    secrets = pepper.read()
    by_hmac = {secrets.hash_job_name(provider_id, name): name for name in names}
    found = erasure.find_names(db, provider_id, by_hmac)
    return {by_hmac[each] for each in found}


def erased_problem(provider_job_id: str) -> Problem:
    """Return the problem (410) of a new job or event with the name of an erased job."""
    return Problem(
        "erased",
        f"Job {provider_job_id!r} was erased: the backend accepts no new job and no"
        " event with this name.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Eraser:
    """Erasures of jobs and customers on behalf of a key or command.

    Attributes:
        provider_id: Provider of the jobs and customers.
        key_id: Public part of the key; None for a command.
        is_again: Whether the file of erasures lists the erasures already: the eraser
            then appends no lines.
        has_begun: Whether the customer of a job is hidden already: a server then
            finishes the erasure of the job after a failure.
    """

    services: Services
    provider_id: int
    key_id: str | None
    is_again: bool = False
    has_begun: bool = False

    async def erase_job(self, job_id: int) -> models.Erasure:
        """Erase a job; return once it is deleted.

        If this process is erasing the job already, wait for the result of that erasure.

        Raises:
            Problem: If the provider has no such job, or the erasure cannot be recorded
                or stored now. A server finishes an erasure after its first transaction.
            StoreError: If a command cannot write the file of erasures.
        """
        return await self._join("job", job_id, self._erase_job)

    async def erase_customer(self, customer_id: int) -> models.Erasure:
        """Erase a customer and all its jobs; return and raise like `erase_job()`."""
        return await self._join("customer", customer_id, self._erase_customer)

    async def _join(
        self, kind: str, id_: int, erase: Callable[[int], Awaitable[int]]
    ) -> models.Erasure:
        """Start an erasure, or wait for the running erasure of the same object."""
        key = (kind, self.provider_id, id_)
        tasks = self.services.erasing
        task = tasks.get(key)
        if task is None:
            task = tasks[key] = asyncio.create_task(self._run(erase, id_))
            task.add_done_callback(lambda done: _forget(tasks, key, done))
        # Shield the task: the erasure goes on if this caller is cancelled.
        return await asyncio.shield(task)

    async def _run(
        self, erase: Callable[[int], Awaitable[int]], id_: int
    ) -> models.Erasure:
        """Erase an object, remove the bytes of its rows, and return the result."""
        now, count = utc_now(), await erase(id_)
        residue = await purge(self.services)
        if residue is not None and self.key_id is not None:
            _log.warning("bytes of erased rows may be left: %s", residue)
        backups = await run_in_threadpool(self.services.store.backups)
        return {
            "erased_at": format_instant(now),
            "erased_jobs": count,
            "backups": [_text_of(path) for path in backups],
            "residue": residue,
        }

    async def _erase_job(self, job_id: int) -> int:
        job = await run_in_threadpool(
            self.services.store.read,
            lambda db: stored_jobs.find_job(db, self.provider_id, job_id),
        )
        name = require(job, "job").provider_job_id
        require(await self.erase_named(job_id, name) or None, "job")
        return 1

    async def erase_named(self, job_id: int, provider_job_id: str) -> bool:
        """Record the erasure of a job in the file, hide the job and delete its rows.

        Returns:
            False if another erasure, or the retention, was faster.
        """
        secrets, now = self.services.pepper.read(), utc_now()
        name_hmac = secrets.hash_job_name(self.provider_id, provider_job_id)
        erased = erased_job(
            self.provider_id,
            job_id,
            name_hmac,
            now=now,
            installation=secrets.installation,
        )
        await self._record(erased)
        is_hidden: bool = await self._write(partial(self._hide_job, job_id, name_hmac))
        if is_hidden:
            await _delete_rows(self.services, job_id, self.provider_id)
        return is_hidden

    def _hide_job(self, job_id: int, name_hmac: bytes, db: Connection) -> bool:
        now = utc_now()
        # Another process may have erased the job since it was found.
        if stored_jobs.find_job(db, self.provider_id, job_id) is None:
            return False
        erasure.record_name(db, self.provider_id, name_hmac, now=now)
        erasure.hide_job(db, job_id, now=now)
        record_change(
            db,
            provider_id=self.provider_id,
            key_id=self.key_id,
            action="erase_job",
            job_id=job_id,
        )
        return True

    async def _erase_customer(self, customer_id: int) -> int:
        customer = await run_in_threadpool(
            self.services.store.read,
            lambda db: stored_customers.find_customer(
                db, self.provider_id, customer_id
            ),
        )
        require(customer, "customer")
        erased = erased_customer(
            self.provider_id,
            customer_id,
            now=utc_now(),
            installation=self.services.pepper.read().installation,
        )
        await self._record(erased)
        return require(await self.erase_found_customer(customer_id), "customer")

    async def erase_found_customer(self, customer_id: int) -> int | None:
        """Hide and erase a customer; return the number of its jobs.

        The file of erasures gets no line for the customer.

        Returns:
            None if another erasure was faster.
        """
        if not await self._write(partial(self._hide_customer, customer_id)):
            return None
        return await self.erase_rest(customer_id)

    def _hide_customer(self, customer_id: int, db: Connection) -> bool:
        # Another process may have erased the customer since it was found.
        if stored_customers.find_customer(db, self.provider_id, customer_id) is None:
            return False
        erasure.hide_customer(db, customer_id, now=utc_now())
        record_change(
            db,
            provider_id=self.provider_id,
            key_id=self.key_id,
            action="erase_customer",
            customer_id=customer_id,
        )
        return True

    async def erase_rest(self, customer_id: int) -> int:
        """Erase the jobs of a hidden customer, then the customer; return the count."""
        count = 0
        find = partial(erasure.find_job_of_customer, customer_id=customer_id)
        read = self.services.store.read
        while (job := await run_in_threadpool(read, find)) is not None:
            # An interrupted erasure has hidden this job already.
            if job.provider_id == erasure.ERASED:
                await _delete_rows(self.services, job.id, self.provider_id)
            else:
                # `finish_erasures()` does not know the provider; the job does.
                job_erasure = replace(self, provider_id=job.provider_id, has_begun=True)
                if not await job_erasure.erase_named(job.id, job.provider_job_id):
                    continue
            count += 1
        await self._write(partial(erasure.delete_customer, customer_id=customer_id))
        return count

    async def _record(self, erased: ErasedObject) -> None:
        """Append an erasure to the file of erasures, unless `is_again`."""
        if self.is_again:
            return
        try:
            await run_in_threadpool(self.services.erasures.append, erased)
        except StoreError as error:
            done = _BEGUN if self.has_begun else "Nothing was erased"
            if self.key_id is None:
                text = f"{done[0].lower()}{done[1:]}: {error}"
                raise StoreError(text, cause=error.cause) from None
            # The response omits the path of the file, which only the operator may see.
            _log.error("an erasure cannot be recorded: %s", error)
            raise unavailable(f"{done} ({error.cause}).", RETRY_AFTER_SECONDS) from None

    async def _write(self, command: Callable[[Connection], Any]) -> Any:
        return await self.services.writer.write(command, Load(self.provider_id))


def _text_of(path: Path) -> str:
    """Return the name of a file for JSON: replace bytes that are not UTF-8."""
    return os.fsencode(path.name).decode(errors="replace")


def _forget(
    tasks: dict[tuple[str, int, int], asyncio.Task[models.Erasure]],
    key: tuple[str, int, int],
    done: asyncio.Task[models.Erasure],
) -> None:
    del tasks[key]
    # Retrieve the exception: asyncio logs an exception that no caller has retrieved.
    if not done.cancelled():
        done.exception()


async def _delete_rows(services: Services, job_id: int, provider_id: int) -> None:
    """Delete the rows of a hidden job in steps; the last step deletes the job."""
    rest = 0
    while not rest:
        size = services.writer.max_item_events
        step = partial(delete_job_rows, job_ids=[job_id], limit=size)
        rest = await services.writer.write(step, Load(provider_id, size))


async def purge(services: Services) -> str | None:
    """Remove the bytes of deleted rows; return the reason if some may be left."""
    async with services.purging:
        residue = await run_in_threadpool(services.store.purge)
    if residue is None:
        services.residue.clear()
    else:
        services.residue.set()
    return residue


def finishing_erasures(services: Services) -> AbstractAsyncContextManager[None]:
    """Return a block that finishes interrupted erasures in a task until its end."""
    return running(_finish_repeatedly(services))


async def _finish_repeatedly(services: Services) -> None:
    is_started, residue = False, None
    while True:
        try:
            if not is_started:
                await _find_residue(services)
                is_started = True
            await finish_erasures(services)
            if services.residue.is_set():
                was_logged, residue = residue is not None, await purge(services)
                if residue is not None and not was_logged:
                    _log.warning("bytes of erased rows may be left: %s", residue)
            else:
                residue = None
        except (Problem, StoreError) as error:
            _log.warning("interrupted erasures are not finished yet: %s", error)
        await asyncio.sleep(FINISH_EVERY_SECONDS)


async def _find_residue(services: Services) -> None:
    """Set `residue` if an earlier server may have left bytes of erased rows.

    A server that was killed between the last transaction of an erasure and the removal
    of the bytes leaves no row that says so. PostgreSQL removes the bytes by itself.
    """
    if not services.store.is_shared and await run_in_threadpool(
        services.store.read, erasure.has_erasures
    ):
        services.residue.set()


async def finish_erasures(services: Services) -> None:
    """Finish the erasures that a crash or a failing store has interrupted."""
    read = services.store.read
    hidden = await run_in_threadpool(read, erasure.list_hidden_jobs)
    customers = await run_in_threadpool(read, erasure.list_hidden_customers)
    # A running erasure of this process may own the hidden rows: try again later.
    if services.erasing or not (hidden or customers):
        return
    for job_id in hidden:
        await _delete_rows(services, job_id, erasure.ERASED)
    eraser = Eraser(services=services, provider_id=erasure.ERASED, key_id=None)
    for customer_id in customers:
        await eraser.erase_rest(customer_id)
    services.residue.set()
