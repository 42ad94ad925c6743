"""API keys: headers, scopes, expiry, cache of valid keys."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from sqlalchemy import update
from starlette.datastructures import Headers
from trackerapi_backend.instants import format_instant, utc_now
from trackerapi_backend.jobs.creation import create_job
from trackerapi_backend.jobs.providers import create_api_key, create_customer
from trackerapi_backend.pepper import open_pepper_file
from trackerapi_backend.problems import Problem
from trackerapi_backend.requests import auth
from trackerapi_backend.requests.auth import Authenticator
from trackerapi_backend.store import api_keys as stored_keys
from trackerapi_backend.store import providers as stored_providers
from trackerapi_backend.store.schema import api_keys
from trackerapi_backend.store.sqlite import SqliteStore
from trackerapi_backend.store.writer import Writer

from backend.tests.support.own_app import own_client, own_services
from backend.tests.support.service import (
    CUSTOMER,
    MAX_WAIT_SECONDS,
    create_short_lived,
    prepare,
    problem_name,
    serve_existing,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import httpx
    from sqlalchemy import Connection
    from trackerapi_backend.pepper import PepperFile
    from trackerapi_backend.requests.call import Services
    from trackerapi_backend.requests.credentials import NewKey

    from backend.tests.support.service import Service

T = TypeVar("T")

VERIFY_PATH = "/api-keys/protected"
EXPIRED_KEYS = 60


@pytest.mark.parametrize(
    "header", ["X-API-Key", "x-api-key", "x_api_key", "x-api_key", "x_api-key"]
)
def test_key_is_taken_from_each_spelling_of_its_header(
    service: Service, header: str
) -> None:
    """A key is found in each spelling of the header, with hyphens or underscores."""
    with service.client(None) as anyone:
        owner = anyone.get(VERIFY_PATH, headers={header: service.keys["all"]}).json()
    assert owner["provider_name"] == "One"
    assert owner["scopes"] == ["ingest", "read", "admin"]


def test_key_is_taken_as_a_bearer_token(service: Service) -> None:
    """A key is found in the header `Authorization: Bearer`."""
    with service.client(None) as anyone:
        bearer = {"Authorization": f"Bearer {service.keys['read']}"}
        assert anyone.get(VERIFY_PATH, headers=bearer).json()["scopes"] == ["read"]


def test_two_different_keys_are_rejected(service: Service) -> None:
    """Two different keys in one request get 400 with `ambiguous-key`."""
    with service.client() as api:
        other = {"Authorization": f"Bearer {service.keys['other']}"}
        answer = api.get(VERIFY_PATH, headers=other)
    assert (answer.status_code, problem_name(answer)) == (400, "ambiguous-key")


def test_same_key_in_two_headers_is_accepted(service: Service) -> None:
    """The same key in two headers is accepted."""
    with service.client() as api:
        again = {"Authorization": f"Bearer {service.keys['all']}"}
        assert api.get(VERIFY_PATH, headers=again).status_code == 200


@pytest.mark.parametrize(
    "garbled",
    ["", "{:.60}", "{}0", "{} x", "x{}", "Bearer {}", "trk___", "trk_" + "9" * 10_000],
)
def test_garbled_key_is_rejected(service: Service, garbled: str) -> None:
    """A truncated, extended or invented key gets 401."""
    key = garbled.format(service.keys["all"])
    with service.client(None) as anyone:
        answer = anyone.get(VERIFY_PATH, headers={"X-API-Key": key})
    assert (answer.status_code, problem_name(answer)) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("key", [None, "expired"])
def test_missing_or_expired_key_is_rejected(service: Service, key: str | None) -> None:
    """A request without a key, or with an expired key, gets 401."""
    with service.client(key) as caller:
        answer = caller.get("/jobs")
    assert (answer.status_code, problem_name(answer)) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("key", "method", "path"),
    [
        ("ingest", "GET", "/jobs"),
        ("admin", "GET", "/jobs"),
        ("read", "POST", "/jobs"),
        ("read", "POST", "/events"),
        ("admin", "POST", "/events/batch"),
        ("read", "POST", "/customers"),
        ("ingest", "GET", "/api-keys"),
    ],
)
def test_key_without_the_scope_is_rejected(
    service: Service, key: str, method: str, path: str
) -> None:
    """A key without the scope of the operation gets 403 with the missing scope."""
    with service.client(key) as caller:
        answer = caller.request(method, path)
    assert (answer.status_code, problem_name(answer)) == (403, "forbidden")
    assert "lacks the scope" in answer.json()["detail"]


def test_new_key_works_until_it_is_expired(service: Service, api: httpx.Client) -> None:
    """An expired key is rejected in the next request, although it was cached."""
    made = api.post("/api-keys", json={"label": "short", "scopes": ["read"]}).json()
    with service.client(None) as caller:
        caller.headers["X-API-Key"] = made["api_key"]
        before = caller.get("/jobs").status_code
        ended = api.post(f"/api-keys/{made['key']['key_id']}/expire")
        after = caller.get("/jobs").status_code
    assert (before, ended.status_code, after) == (200, 200, 401)
    assert ended.json()["expires_at"] <= format_instant(utc_now())


def test_key_cannot_expire_itself(service: Service, api: httpx.Client) -> None:
    """A request to expire its own key gets 409, and the key stays valid."""
    key_id = service.keys["all"].split("_")[1]
    answer = api.post(f"/api-keys/{key_id}/expire")
    assert (answer.status_code, problem_name(answer)) == (409, "conflict")
    assert api.get(VERIFY_PATH).status_code == 200


PAST_TIMES = [
    "2020-01-01T00:00:00Z",
    "1969-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    None,
]
CREDENTIALS = {
    "/api-keys": {"label": "late", "scopes": ["read"]},
    "/jobs/{job_id}/tokens": {},
    "/jobs/{job_id}/share-links": {},
}


@pytest.mark.parametrize("ends", PAST_TIMES)
@pytest.mark.parametrize("path", CREDENTIALS)
def test_credential_with_a_past_end_is_rejected(
    api: httpx.Client, job: dict[str, Any], path: str, ends: str | None
) -> None:
    """A key, token or link with an `expires_at` in the past is rejected."""
    sent = CREDENTIALS[path] | {"expires_at": ends or format_instant(utc_now())}
    answer = api.post(path.format(job_id=job["id"]), json=sent)
    assert (answer.status_code, problem_name(answer)) == (422, "invalid-request")
    [error] = answer.json()["errors"]
    assert error == {"pointer": "/expires_at", "detail": "lies in the past"}


def test_token_and_link_expire(
    service: Service, api: httpx.Client, job: dict[str, Any]
) -> None:
    """A token and a link are rejected after their `expires_at`."""
    token = create_short_lived(api, f"/jobs/{job['id']}/tokens")["token"]
    link = create_short_lived(api, f"/jobs/{job['id']}/share-links")["url"]
    with service.client(None) as caller:
        caller.headers["X-API-Key"] = token
        opened = [1]
        while opened:
            answers = [caller.get(f"/jobs/{job['id']}"), caller.get(link)]
            opened = [each for each in answers if each.status_code == 200]
    assert [answer.status_code for answer in answers] == [401, 404]


def test_listed_keys_name_their_makers(
    service: Service, api: httpx.Client, job: dict[str, Any]
) -> None:
    """`created_by` names the key that created a key; null means the command line."""
    own = service.keys["all"].split("_")[1]
    made = api.post("/api-keys", json={"label": "new", "scopes": ["read"]}).json()
    token = api.post(f"/jobs/{job['id']}/tokens", json={}).json()
    items = api.get("/api-keys", params={"limit": 200}).json()["items"]
    makers = {item["key_id"]: item["created_by"] for item in items}
    assert made["key"]["created_by"] == own
    assert (makers[made["key"]["key_id"]], makers[token["key_id"]]) == (own, own)
    assert makers[own] is None


class DelayedStore(SqliteStore):
    """Store that returns the first result only when the test sets `may_answer`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, migrate=True)
        self.has_read, self.may_answer = threading.Event(), threading.Event()

    def read(self, query: Callable[[Connection], T]) -> T:
        """Return the result of a query; return the first result after `may_answer`."""
        found = super().read(query)
        is_first = not self.has_read.is_set()
        self.has_read.set()
        assert not is_first or self.may_answer.wait(MAX_WAIT_SECONDS)
        return found


@pytest.mark.parametrize("bound", [False, True])
def test_key_that_expires_during_its_query_is_rejected(
    tmp_path: Path, *, bound: bool
) -> None:
    """The result of a query is not cached if the key expires during the query."""
    pepper = open_pepper_file(tmp_path / "pepper")
    with closing(DelayedStore(tmp_path / "own.db")) as store:
        with store.transaction() as db:
            provider_id = stored_providers.create_provider(db, "One", now=utc_now())
            create_customer(db, provider_id, CUSTOMER)
            sent = {"provider_job_id": "x", "customer_id": CUSTOMER, "tag": "t"}
            job = create_job(db, provider_id, sent, name_hmac=b"", now=utc_now()).job
            new = create_api_key(db, pepper, provider_id, "k", ("read",))
            bind = update(api_keys).values(job_id=job.id if bound else None)
            db.execute(bind)
        asyncio.run(_expire_during_look_up(store, pepper, new, provider_id))


async def _expire_during_look_up(
    store: DelayedStore, pepper: PepperFile, new: NewKey, provider_id: int
) -> None:
    writer = Writer(store)
    authenticator = Authenticator(store, writer, pepper)
    headers = Headers({"x-api-key": new.api_key})
    try:
        first = asyncio.create_task(authenticator.identify(headers))
        await asyncio.to_thread(store.has_read.wait, MAX_WAIT_SECONDS)
        await writer.write(
            lambda db: stored_keys.expire_key(
                db, provider_id, new.key_id, now=utc_now(), caller_key_id=None
            )
        )
        authenticator.forget(new.key_id)
        store.may_answer.set()
        await first
        later = await authenticator.identify(headers)
    finally:
        await asyncio.to_thread(writer.close)
    with pytest.raises(Problem, match="expired"):
        authenticator.authorize(later, "list_jobs", ())


def test_key_is_valid_though_its_use_cannot_be_stored(tmp_path: Path) -> None:
    """A key is valid even if the time of its use cannot be stored."""
    pepper = open_pepper_file(tmp_path / "pepper")
    with closing(SqliteStore(tmp_path / "own.db", migrate=True)) as store:
        with store.transaction() as db:
            provider_id = stored_providers.create_provider(db, "One", now=utc_now())
            new = create_api_key(db, pepper, provider_id, "k", ("read",))
        writer = Writer(store)
        writer.close()
        authenticator = Authenticator(store, writer, pepper)
        headers = Headers({"x-api-key": new.api_key})
        caller = asyncio.run(authenticator.identify(headers))
    assert caller.key_id == new.key_id


def test_last_use_of_a_key_is_stored_at_intervals(
    tmp_path: Path, database_url: str | None
) -> None:
    """`last_used_at` is null before the first use, and then changes once a minute."""
    keys = prepare(tmp_path, database_url)
    key_id, begin = keys["read"].split("_")[1], utc_now()
    uses = [begin + timedelta(seconds=seconds) for seconds in (0, 59, 61)]

    async def scenario(services: Services) -> list[str | None]:
        async with (
            own_client(services, keys["admin"]) as admin,
            own_client(services, keys["read"]) as reader,
        ):

            async def last_use() -> Any:
                items = (await admin.get("/api-keys")).json()["items"]
                [key] = [each for each in items if each["key_id"] == key_id]
                return key["last_used_at"]

            times = [await last_use()]
            for now in uses:
                # The next request has to read the key: the cache would not store a use.
                services.authenticator.forget(key_id)
                with patch.object(auth, "utc_now", return_value=now):
                    assert (await reader.get("/jobs")).status_code == 200
                times.append(await last_use())
            return times

    with own_services(tmp_path, database_url) as services:
        times = asyncio.run(scenario(services))
    first, later = format_instant(uses[0]), format_instant(uses[2])
    assert times == [None, first, first, later]


def response_to(service: Service, *headers: bytes) -> bytes:
    """Return the response to a request with exactly these header lines."""
    address = urlsplit(service.base_url)
    request = b"\r\n".join(
        [
            b"GET /api-keys/protected HTTP/1.1",
            b"Host: " + address.netloc.encode(),
            *headers,
            b"Connection: close",
            b"\r\n",
        ]
    )
    with socket.create_connection(
        (str(address.hostname), address.port), MAX_WAIT_SECONDS
    ) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("name", [b"x-api_key", b"X-Api_Key", b"x_api_key"])
def test_key_is_taken_from_the_header_bytes_of_older_scripts(
    service: Service, name: bytes
) -> None:
    """Header names of older scripts are accepted; a second key is ambiguous."""
    good, other = (service.keys[key].encode() for key in ("read", "all"))
    assert response_to(service, name + b": " + good).startswith(b"HTTP/1.1 200 ")
    again = response_to(service, name + b": " + good, b"X-API-Key: " + good + b" \t")
    assert again.startswith(b"HTTP/1.1 200 ")
    both = response_to(service, name + b": " + good, b"X-API-Key: " + other)
    assert both.startswith(b"HTTP/1.1 400 ")
    assert b"ambiguous-key" in both


def test_listed_keys_have_no_secret(service: Service, api: httpx.Client) -> None:
    """The list of keys contains no secret."""
    text = api.get("/api-keys", params={"limit": 200}).text
    for key in service.keys.values():
        assert key.split("_")[2] not in text


def test_expired_key_is_refused_by_each_later_request(
    tmp_path: Path, database_url: str | None
) -> None:
    """No request that begins after the answer of the expiry accepts the key.

    Every key is used during its expiry, in each of two processes on PostgreSQL.
    """
    known = prepare(tmp_path, database_url)
    with ExitStack() as stack:
        services = [
            stack.enter_context(serve_existing(tmp_path, known, database_url))[1]
            for _ in range(1 if database_url is None else 2)
        ]
        admin = stack.enter_context(services[0].client())
        apis = [stack.enter_context(each.client(None)) for each in services]
        pool = stack.enter_context(ThreadPoolExecutor(EXPIRED_KEYS))
        created = [
            admin.post("/api-keys", json={"label": "k", "scopes": ["read"]}).json()
            for _ in range(EXPIRED_KEYS)
        ]
        later = pool.map(lambda each: statuses_after_expiry(admin, apis, each), created)
        assert {*chain.from_iterable(later)} == {401}


def statuses_after_expiry(
    admin: httpx.Client, apis: Sequence[httpx.Client], created: dict[str, Any]
) -> list[int]:
    """Expire a key while it is used; return the statuses of later requests."""
    headers = {"X-API-Key": created["api_key"]}

    def use(api: httpx.Client) -> set[int]:
        return {api.get(VERIFY_PATH, headers=headers).status_code for _ in range(3)}

    with ThreadPoolExecutor(len(apis)) as pool:
        users = [pool.submit(use, api) for api in apis]
        answer = admin.post(f"/api-keys/{created['key']['key_id']}/expire")
        later = [api.get(VERIFY_PATH, headers=headers).status_code for api in apis]
    assert answer.status_code == 200
    assert set().union(*(user.result() for user in users)) <= {200, 401}
    return later
