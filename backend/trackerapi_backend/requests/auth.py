"""Authentication of requests by API key, and authorization by scope.

The caller of a key is cached for `CACHE_SECONDS`, and an unknown key for
`UNKNOWN_SECONDS`. A job token may call only the operations in `OPEN_TO_JOB_TOKENS`: a
new operation is forbidden until the set names it. Each operation of the set shows a job
token only the job of the token.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import DBAPIError
from starlette.concurrency import run_in_threadpool

from trackerapi_backend.instants import utc_now
from trackerapi_backend.problems import Problem, unauthorized, unavailable
from trackerapi_backend.requests.credentials import (
    hash_secret,
    parse_key_id,
)
from trackerapi_backend.requests.limits import CallLimits, Sender
from trackerapi_backend.store import api_keys as stored_keys
from trackerapi_backend.store.changes import SHARED_CACHE_SECONDS
from trackerapi_backend.store.peppers import find_peppers

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Row
    from starlette.datastructures import Headers

    from trackerapi_backend.pepper import Pepper, PepperFile
    from trackerapi_backend.store import Store
    from trackerapi_backend.store.writer import Writer

_log = logging.getLogger(__name__)

OPEN_TO_JOB_TOKENS = frozenset(
    {
        "verify_api_key",
        "create_job",
        "list_jobs",
        "get_job",
        "create_event",
        "import_events",
        "list_events",
        "stream_job",
    }
)
CACHE_SECONDS = 30.0
CACHE_CAPACITY = 1000
UNKNOWN_SECONDS = 1.0
"""Time for which an unknown key is rejected without a query, in seconds.

Short: another process, or a command, may create the key meanwhile."""
UNKNOWN_CAPACITY = 10_000
"""Maximum number of unknown keys in the cache.

A repeated key in the cache does not count again against the limit of its address."""
USE_RECORD_INTERVAL = timedelta(minutes=1)
"""Minimum interval between two writes of the last use of a key."""

_HEADER = b"x-api-key"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Owner and permissions of the API key of a request.

    Attributes:
        key_id: Public part of the key.
        scopes: Scopes of the key.
        expires_at: End of the key; None if the key does not expire.
        job_id: Job of a job token; None for a key that is valid for all jobs.
        provider_job_id: Id of the job at the provider; None if `job_id` is None.
    """

    provider_id: int
    provider_name: str
    key_id: str
    scopes: tuple[str, ...]
    expires_at: datetime | None
    job_id: int | None
    provider_job_id: str | None

    def visible(self, job: Row[Any] | None) -> Row[Any] | None:
        """Return a job of the provider if the key is valid for the job, else None."""
        if job is not None and self.job_id in (None, job.id):
            return job
        return None


@dataclass(frozen=True, slots=True)
class _Sent:
    """Well-formed key of a request.

    Attributes:
        api_key: Whole key.
        key_id: Public part of the key.
        digest: Hash of the key, its name in the caches.
        sender: Sender of the request.
    """

    api_key: str = field(repr=False)
    key_id: str
    digest: bytes
    sender: Sender


def _sender_of(headers: Headers, client: tuple[str, int] | None) -> Sender:
    """Return the sender of a request.

    Args:
        headers: Headers of the request.
        client: Address and port of the client. The port is 0 if a trusted proxy has
            named the client: see `network/forwarding.py`.
    """
    address, port = client or ("", 0)
    return Sender(address, port != 0 and "x-forwarded-for" in headers)


def read_key(headers: Headers) -> str:
    """Return the key among the headers of a request.

    Raises:
        Problem: If the headers have no key, or several different keys.
    """
    # Scripts for the original service send x_api_key, or mixed forms such as x_api-key.
    keys = set()
    for name, value in headers.raw:
        if name.replace(b"_", b"-") == _HEADER:
            # Spaces at the end of a line are not part of the value (RFC 9110).
            keys.add(value.decode("latin-1").strip(" \t"))
        elif name == b"authorization":
            scheme, _, credentials = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer":
                keys.add(credentials.strip())
    if len(keys) > 1:
        raise Problem("ambiguous-key", "The request has two different keys.")
    if not keys:
        raise unauthorized("The request has no API key: send a key as X-API-Key.")
    return keys.pop()


def _remember(cache: dict[bytes, T], digest: bytes, value: T, capacity: int) -> None:
    """Put an entry at the end of a cache; remove the oldest entry of a full cache."""
    cache.pop(digest, None)
    cache[digest] = value
    while len(cache) > capacity:
        del cache[next(iter(cache))]


class Authenticator:
    """Authenticator of requests by API key.

    Only the event loop calls its methods, so the cache needs no lock.

    Args:
        store: Store of the keys.
        writer: Writer that stores the last use of a key.
        pepper: Secrets of this installation.
        limits: Limits of unknown keys; None for the default limits.
    """

    def __init__(
        self,
        store: Store,
        writer: Writer,
        pepper: PepperFile,
        limits: CallLimits | None = None,
    ) -> None:
        self._store, self._writer, self._pepper = store, writer, pepper
        self._limits = limits or CallLimits()
        self._cache_seconds = SHARED_CACHE_SECONDS if store.is_shared else CACHE_SECONDS
        # Caches by the hash of the key: callers with the end of their validity, and the
        # time of the last query for an unknown key. An outdated entry stays: its key
        # needs a new query, but does not count as a guess.
        self._known: dict[bytes, tuple[Caller, float]] = {}
        self._unknown: dict[bytes, float] = {}
        self._changed_at = 0.0
        # Running queries: requests with the same key wait for one query.
        self._queries: dict[bytes, tuple[asyncio.Task[Caller | None], float]] = {}

    async def identify(
        self, headers: Headers, client: tuple[str, int] | None = None
    ) -> Caller:
        """Return the caller of a request by the key among its headers.

        Args:
            headers: Headers of the request.
            client: Address and port of the client; None if the request came through no
                network.

        Raises:
            Problem: If the key is missing or unknown, or if the address of the client
                has sent too many unknown keys and too many of its keys wait.
        """
        api_key = read_key(headers)
        # The HMAC of the key would take several times as long as this hash.
        digest, now = hash_secret(api_key), time.monotonic()
        caller, until = self._known.get(digest, (None, 0.0))
        if caller is not None and now < until:
            return caller
        key_id = parse_key_id(api_key)
        if key_id is None:
            raise unauthorized(
                "This is not a key of this service; was it copied completely?"
            )
        sender = _sender_of(headers, client)
        caller = await self._find_caller(_Sent(api_key, key_id, digest, sender), now)
        if caller is None:
            raise unauthorized("The key is unknown.")
        return caller

    def authorize(
        self, caller: Caller, operation_id: str, scopes: Collection[str]
    ) -> None:
        """Check that a caller may call an operation.

        Args:
            caller: Caller of the request.
            operation_id: Operation of the contract.
            scopes: Scopes that the operation needs.

        Raises:
            Problem: If the key has expired, lacks a scope or is a job token that is
                not valid for this operation.
        """
        if caller.expires_at is not None and caller.expires_at <= utc_now():
            raise unauthorized("The key has expired.")
        missing = [scope for scope in scopes if scope not in caller.scopes]
        if missing:
            raise Problem("forbidden", f"The key lacks the scope {missing[0]}.")
        if caller.job_id is not None and operation_id not in OPEN_TO_JOB_TOKENS:
            raise Problem("forbidden", "A job token is not valid for this operation.")

    def forget(self, *key_ids: str) -> None:
        """Remove new or changed keys from the cache: the next request reads them.

        The caller must have committed the change before.
        """
        changed = frozenset(key_ids)
        # Query every unknown key again: the cache has hashes of whole keys, but no ids,
        # so the new keys cannot be found among them.
        self._changed_at = time.monotonic()
        # A running query may have read a key before its change. Its result is neither
        # cached nor used for later requests.
        self._queries.clear()
        self._known = {
            digest: known
            for digest, known in self._known.items()
            if known[0].key_id not in changed
        }

    async def wait_for_other_processes(self) -> None:
        """Return once no other process accepts a key that is expired in the store."""
        if self._store.is_shared:
            await asyncio.sleep(SHARED_CACHE_SECONDS)

    async def _find_caller(self, sent: _Sent, now: float) -> Caller | None:
        """Return the caller of a key without a valid entry in the cache."""
        missed_at = self._unknown.get(sent.digest, 0.0)
        if max(self._changed_at, now - UNKNOWN_SECONDS) < missed_at:
            return None
        query, until = self._queries.get(sent.digest, (None, 0.0))
        # A query that has run for long may have read the key before its expiry.
        if query is None or until <= now:
            query = asyncio.create_task(self._query_and_cache(sent))
            # A query that waits for its turn has read nothing: all requests share it.
            self._queries[sent.digest] = query, math.inf
            # Read the exception, such as that of a limit: asyncio would log an
            # exception that no request reads.
            query.add_done_callback(lambda done: done.cancelled() or done.exception())
        # A client that disconnects must not cancel the query of other requests.
        return await asyncio.shield(query)

    async def _query_and_cache(self, sent: _Sent) -> Caller | None:
        own, digest = asyncio.current_task(), sent.digest
        was_accepted = digest in self._known
        turn = nullcontext() if was_accepted else self._limits.query_turn(sent.sender)
        try:
            async with turn:
                now = time.monotonic()
                until = now + self._cache_seconds
                # `forget()` may have removed this query during the wait.
                if own is not None and self._queries.get(digest, (None,))[0] is own:
                    self._queries[digest] = own, until
                caller = await self._query_caller(sent.key_id, sent.api_key)
        finally:
            # `forget()` may have removed this query, or a later query replaced it.
            is_valid = self._queries.get(digest, (None, 0.0))[0] is own
            if is_valid:
                del self._queries[digest]
        if caller is None:
            if digest not in self._unknown and digest not in self._known:
                self._limits.count_unknown_key(sent.sender)
            _remember(self._unknown, digest, now, UNKNOWN_CAPACITY)
        elif is_valid:
            _remember(self._known, digest, (caller, until), CACHE_CAPACITY)
        return caller

    async def _query_caller(self, key_id: str, api_key: str) -> Caller | None:
        """Return the caller of a key; None for an unknown key."""
        row = await run_in_threadpool(
            self._store.read, lambda db: stored_keys.find_key_with_provider(db, key_id)
        )
        # Compare for an unknown key id too: the response time must not reveal whether
        # a key id exists.
        pepper = self._pepper.read()
        used = pepper.find_fingerprint(api_key, row.key_hmac if row else b"")
        if row is None or used is None:
            await self._require_pepper(row, pepper)
            return None
        now, changes = utc_now(), dict[str, Any]()
        if row.last_used_at is None or now - row.last_used_at >= USE_RECORD_INTERVAL:
            changes = {"last_used_at": now}
        if row.pepper != pepper.fingerprints[0]:
            # After a rotation, each used key moves to the new pepper.
            changes |= pepper.seal(api_key)
        if changes:
            await self._update(key_id, changes)
        return Caller(
            provider_id=row.provider_id,
            provider_name=row.provider_name,
            key_id=row.key_id,
            scopes=tuple(row.scopes),
            expires_at=row.expires_at,
            job_id=row.job_id,
            provider_job_id=row.provider_job_id,
        )

    async def _require_pepper(self, row: Row[Any] | None, pepper: Pepper) -> None:
        """Raise a Problem if this process lacks the accepted pepper of a key."""
        if row is None or row.pepper is None or row.pepper in pepper.fingerprints:
            return
        if row.pepper in await run_in_threadpool(self._store.read, find_peppers):
            _log.error(
                "key %s needs a newer pepper: copy the pepper file of the host that"
                " began the rotation to %s",
                row.key_id,
                self._pepper.path,
            )
            raise unavailable("The backend cannot check this key now.", 5)

    async def _update(self, key_id: str, changes: dict[str, Any]) -> None:
        """Store last use and pepper of a key; only log a failure."""
        try:
            await self._writer.write(
                lambda db: stored_keys.update_key(db, key_id, changes)
            )
        except (Problem, DBAPIError) as error:
            _log.warning("cannot store the use of key %s (%s)", key_id, error)
