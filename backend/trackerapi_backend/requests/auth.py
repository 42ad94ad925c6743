"""API keys: how they look, how they are kept, and whose a request is.

A key is `trk_<key id>_<secret>_<check>`. Only its HMAC under the pepper of this
installation is kept; its secret has 256 bits, so nothing slower is needed. Known keys
are believed for a few seconds without asking the store again.

A job token is a key that is bound to one job. It is refused wherever it is not named
here, so that an operation of tomorrow is closed to it until somebody opens it; and
what is open shows it no other job.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import time
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError
from starlette.concurrency import run_in_threadpool

from trackerapi_backend.instants import utc_now
from trackerapi_backend.problems import Problem, invalid
from trackerapi_backend.requests.moments import read_instant
from trackerapi_backend.store import access

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Row
    from starlette.datastructures import Headers

    from trackerapi_backend.store import Store
    from trackerapi_backend.store.writer import Writer

_log = logging.getLogger(__name__)

SCOPES = ("ingest", "read", "admin")
JOB_TOKEN_SCOPES = ("ingest", "read")
OPEN_TO_JOB_TOKENS = frozenset(
    {
        "verify_api_key",
        "create_job",
        "list_jobs",
        "get_job",
        "create_event",
        "import_events",
        "list_events",
    }
)
CACHE_SECONDS = 30.0
CACHE_CAPACITY = 1000
USE_NOTED_EVERY = timedelta(minutes=1)

_HEADER = "x-api-key"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY_ID_LENGTH = 8
_SECRET_LENGTH = 43
_CHECK_LENGTH = 6
_MAX_KEY_LENGTH = 200


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment when it is known whole."""

    key_id: str
    api_key: str

    def __repr__(self) -> str:
        return f"NewKey({self.key_id})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whose request it is, and what it may do.

    Attributes:
        expires_at: When the key ends; None for never.
        job_id: The only job that it may know of; None for all of the provider's.
        provider_job_id: The provider's own id of that job.
    """

    provider_id: int
    provider_name: str
    key_id: str
    scopes: tuple[str, ...]
    expires_at: datetime | None
    job_id: int | None
    provider_job_id: str | None

    def visible(self, job: Row[Any] | None) -> Row[Any] | None:
        """Return a job that this caller may know of; None as if there were none."""
        if job is not None and self.job_id in (None, job.id):
            return job
        return None


def make_key() -> NewKey:
    """Return a new random key."""
    key_id = _random_text(_KEY_ID_LENGTH)
    start = f"trk_{key_id}_{_random_text(_SECRET_LENGTH)}"
    return NewKey(key_id, f"{start}_{_check(start)}")


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _check(start: str) -> str:
    """Return the last part of a key, by which a mistyped one shows."""
    rest, letters = zlib.crc32(start.encode()), ""
    for _ in range(_CHECK_LENGTH):
        rest, digit = divmod(rest, len(_ALPHABET))
        letters = _ALPHABET[digit] + letters
    return letters


def key_id_of(api_key: str) -> str | None:
    """Return the public part of a key; None if it cannot be one of ours."""
    start, _, check = api_key.rpartition("_")
    parts = start.split("_")
    is_ours = (
        len(api_key) <= _MAX_KEY_LENGTH
        and api_key.isascii()
        and len(parts) == 3
        and parts[0] == "trk"
        and hmac.compare_digest(check, _check(start))
    )
    return parts[1] if is_ours else None


def key_hmac(pepper: bytes, api_key: str) -> bytes:
    """Return what is kept of a key."""
    return hmac.digest(pepper, api_key.encode(), hashlib.sha256)


def token_hash(token: str) -> bytes:
    """Return what is kept of a share link's token, which is random throughout."""
    return hashlib.sha256(token.encode()).digest()


def sent_key(headers: Headers) -> str:
    """Return the key that a request carries.

    Raises:
        Problem: If it carries none, or several different ones.
    """
    # Scripts of the original service send x_api_key, some with a hyphen in it.
    keys = {
        value for name, value in headers.items() if name.replace("_", "-") == _HEADER
    }
    for value in headers.getlist("authorization"):
        scheme, _, credentials = value.partition(" ")
        if scheme.lower() == "bearer":
            keys.add(credentials.strip())
    if len(keys) > 1:
        raise Problem("ambiguous-key", "The request carries two different keys.")
    if not keys:
        raise _unauthorized("The request carries no key: send it as X-API-Key.")
    return keys.pop()


def read_expiry(document: Mapping[str, Any], *, now: datetime) -> datetime | None:
    """Return when a new key, token or link ends; None where it was not sent.

    Raises:
        Problem: If that time has passed.
    """
    ends = read_instant(document, "expires_at")
    if ends is not None and ends <= now:
        raise invalid("/expires_at", "lies in the past")
    return ends


def _unauthorized(detail: str) -> Problem:
    headers = {"WWW-Authenticate": 'Bearer realm="trackerapi"'}
    return Problem("unauthorized", detail, headers=headers)


class Authenticator:
    """Tells whose a request is.

    Args:
        store: Where the keys are kept.
        writer: Takes note of when a key was last used.
        pepper: Secret of this installation.
    """

    def __init__(self, store: Store, writer: Writer, pepper: bytes) -> None:
        self._store, self._writer, self._pepper = store, writer, pepper
        self._known: dict[bytes, tuple[Caller, float]] = {}
        self._changes = 0

    async def identify(self, headers: Headers) -> Caller:
        """Return whose request it is, by the key among its headers.

        Raises:
            Problem: If the key is missing or unknown.
        """
        return await self._caller(sent_key(headers))

    def authorize(
        self, caller: Caller, operation_id: str, scopes: Collection[str]
    ) -> None:
        """Do nothing for a caller who may do what is asked for.

        Args:
            caller: Whose request it is.
            operation_id: What is asked for.
            scopes: Scopes that a key needs for it.

        Raises:
            Problem: If the key has expired or is not for this operation.
        """
        if caller.expires_at is not None and caller.expires_at <= utc_now():
            raise _unauthorized("The key has expired.")
        missing = [scope for scope in scopes if scope not in caller.scopes]
        if missing:
            raise Problem("forbidden", f"The key lacks the scope {missing[0]}.")
        if caller.job_id is not None and operation_id not in OPEN_TO_JOB_TOKENS:
            raise Problem("forbidden", "A job token is not for this operation.")

    def forget(self, key_id: str) -> None:
        """Ask the store again about a key that was changed.

        Also where the store is being asked right now: its answer may be of before.
        """
        self._changes += 1
        self._known = {
            digest: known
            for digest, known in self._known.items()
            if known[0].key_id != key_id
        }

    async def _caller(self, api_key: str) -> Caller:
        key_id = key_id_of(api_key)
        if key_id is None:
            raise _unauthorized(
                "This is not a key of this service; was it copied completely?"
            )
        digest = key_hmac(self._pepper, api_key)
        caller, until = self._known.get(digest, (None, 0.0))
        if caller is None or until < time.monotonic():
            changes = self._changes
            caller = await self._look_up(key_id, digest)
            if changes != self._changes:
                return caller
            if len(self._known) >= CACHE_CAPACITY:
                self._known.clear()
            self._known[digest] = (caller, time.monotonic() + CACHE_SECONDS)
        return caller

    async def _look_up(self, key_id: str, digest: bytes) -> Caller:
        row = await run_in_threadpool(
            self._store.read, lambda db: access.find_key_with_provider(db, key_id)
        )
        expected = row.key_hmac if row is not None else bytes(len(digest))
        if not hmac.compare_digest(expected, digest) or row is None:
            raise _unauthorized("The key is unknown.")
        now = utc_now()
        if row.last_used_at is None or now - row.last_used_at >= USE_NOTED_EVERY:
            await self._note_use(key_id, now)
        return Caller(
            provider_id=row.provider_id,
            provider_name=row.provider_name,
            key_id=row.key_id,
            scopes=tuple(row.scopes),
            expires_at=row.expires_at,
            job_id=row.job_id,
            provider_job_id=row.provider_job_id,
        )

    async def _note_use(self, key_id: str, now: datetime) -> None:
        """Store when a key was last used; a store that is full or busy goes without."""
        try:
            await self._writer.write(
                lambda db: access.note_key_use(db, key_id, now=now)
            )
        except (Problem, DBAPIError) as error:
            _log.warning("the use of key %s was not noted (%s)", key_id, error)
