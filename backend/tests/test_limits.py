"""Limits of requests: rate, requests at the same time, unknown keys of an address."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from trackerapi_backend.requests import auth
from trackerapi_backend.requests import limits as limits_module
from trackerapi_backend.requests.credentials import generate_key
from trackerapi_backend.requests.limits import (
    BURST_SECONDS,
    MAX_BUCKETS,
    CallLimits,
    Rate,
)
from trackerapi_backend.settings import RequestLimits

from backend.tests.support.busy_writer import keep_busy
from backend.tests.support.held_read import held_read
from backend.tests.support.own_app import own_client, own_services
from backend.tests.support.service import (
    CUSTOMER,
    MAX_WAIT_SECONDS,
    new_job,
    new_name,
    prepare,
    problem_name,
    serve_existing,
)
from backend.tests.support.streams import open_stream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from pathlib import Path

    import httpx
    from sqlalchemy import Connection
    from trackerapi_backend.requests.call import Services

    Running = asyncio.Future[httpx.Response]
    Scenario = Callable[[Services], Coroutine[Any, Any, Any]]

VERIFY_PATH = "/api-keys/protected"
ADDRESS, OTHER_ADDRESS = "10.0.0.1", "10.0.0.2"
SECONDS_PER_MINUTE = 60
GUESSERS = 4


class Clock:
    """Clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time that the test has set."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Clock of the limits."""
    return Clock()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a database for all tests of this module."""
    return tmp_path_factory.mktemp("limits")


@pytest.fixture(scope="module")
def keys(folder: Path) -> dict[str, str]:
    """Keys of the database."""
    return prepare(folder)


def run(folder: Path, limits: CallLimits, scenario: Scenario) -> Any:
    """Run a scenario on the services of a backend with limits."""
    with own_services(folder, limits=limits) as services:
        return asyncio.run(_follow_changes(services, scenario))


async def _follow_changes(services: Services, scenario: Scenario) -> Any:
    services.writer.follow(asyncio.get_running_loop(), services.apply)
    return await scenario(services)


def wait_of(answer: httpx.Response) -> int:
    """Check that a request was beyond a limit; return its `Retry-After`, in seconds."""
    assert (answer.status_code, problem_name(answer)) == (429, "too-many-requests")
    return int(answer.headers["retry-after"])


@pytest.mark.parametrize("count", [1, 2, 3, 7, 60, 999, 10_000])
@pytest.mark.parametrize("seconds", [1, 60])
def test_rate_admits_its_burst_and_then_its_count(count: int, seconds: int) -> None:
    """A full bucket admits its burst; after `Retry-After` it admits the next token."""
    rate, now = Rate(count, seconds), 5.0
    taken = 0
    while not rate.wait_seconds("a", now):
        rate.take("a", now)
        taken += 1
    assert taken == pytest.approx(
        max(1, count * max(BURST_SECONDS / seconds, 1)), abs=1
    )
    wait = math.ceil(rate.wait_seconds("a", now))
    assert 1 <= wait <= math.ceil(seconds / count)
    assert rate.wait_seconds("a", now + wait) == 0
    assert rate.wait_seconds("b", now) == 0


def test_rate_without_a_limit_admits_everything() -> None:
    """A count of 0 means no limit."""
    rate = Rate(0)
    for _ in range(1000):
        assert rate.wait_seconds("a", 1.0) == 0
        rate.take("a", 1.0)


def test_wait_beyond_a_rate_is_bounded() -> None:
    """However many tokens are taken, the next token returns within two minutes."""
    rate = Rate(1, SECONDS_PER_MINUTE)
    for _ in range(100):
        rate.take("a", 1.0)
    wait = rate.wait_seconds("a", 1.0)
    assert SECONDS_PER_MINUTE < wait <= 2 * SECONDS_PER_MINUTE
    assert rate.wait_seconds("a", 1.0 + wait) == 0


def test_rate_remembers_an_empty_bucket_among_many_others() -> None:
    """A bounded number of buckets is kept: the emptiest ones."""
    rate = Rate(1)
    while not rate.wait_seconds("greedy", 1.0):
        rate.take("greedy", 1.0)
    for number in range(2 * MAX_BUCKETS):
        rate.take(number, 1.0)
    assert rate.wait_seconds("greedy", 1.0) > 0
    assert len(rate) <= MAX_BUCKETS


def test_key_beyond_its_rate_is_rejected_until_retry_after(
    folder: Path, keys: dict[str, str], clock: Clock
) -> None:
    """A key beyond its rate gets 429 until `Retry-After`; other keys are served."""
    limits = CallLimits(RequestLimits(key_requests_per_second=1), clock)

    async def scenario(services: Services) -> None:
        async with (
            own_client(services, keys["all"]) as api,
            own_client(services, keys["read"]) as other,
        ):
            for _ in range(BURST_SECONDS):
                assert (await api.get("/jobs")).status_code == 200
            wait = wait_of(await api.get("/jobs"))
            assert wait == 1
            assert (await other.get("/jobs")).status_code == 200
            clock.now += wait
            assert (await api.get("/jobs")).status_code == 200
            assert wait_of(await api.get("/jobs")) == 1

    run(folder, limits, scenario)


def test_keys_and_tokens_of_a_provider_share_a_rate(
    folder: Path, keys: dict[str, str], clock: Clock
) -> None:
    """A provider beyond its rate gets 429 for a new token too; other providers do not.

    A rejected request takes nothing from the rate of its key.
    """
    limits = CallLimits(
        RequestLimits(provider_requests_per_second=1, key_requests_per_second=1), clock
    )

    async def scenario(services: Services) -> None:
        async with (
            own_client(services, keys["all"]) as api,
            own_client(services, keys["other"]) as other,
        ):
            sent = {"provider_job_id": new_name(), "customer_id": CUSTOMER, "tag": "t"}
            job = (await api.post("/jobs", json=sent)).json()
            made = await api.post(f"/jobs/{job['id']}/tokens", json={})
            async with own_client(services, made.json()["token"]) as holder:
                for _ in range(BURST_SECONDS - 2):
                    assert (await holder.get("/jobs")).status_code == 200
                for _ in range(2 * BURST_SECONDS):
                    assert wait_of(await holder.get("/jobs")) == 1
                assert wait_of(await api.get("/jobs")) == 1
                assert (await other.get("/jobs")).status_code == 200
                clock.now += 1
                assert (await holder.get("/jobs")).status_code == 200

    run(folder, limits, scenario)


async def start(requests: Sequence[Awaitable[httpx.Response]]) -> list[Running]:
    """Begin requests with known keys; return them once they wait for the writer."""
    running = [asyncio.ensure_future(request) for request in requests]
    # Before the writer, a request waits only for the event loop.
    for _ in range(20):
        await asyncio.sleep(0)
    return running


def test_requests_at_the_same_time_are_limited(
    folder: Path, keys: dict[str, str]
) -> None:
    """Running requests of a key and of a provider are limited, also after failures."""
    limits = CallLimits(
        RequestLimits(key_requests_at_once=2, provider_requests_at_once=3)
    )

    async def scenario(services: Services) -> None:
        async with AsyncExitStack() as stack:
            api, admin, read, other = [
                await stack.enter_async_context(own_client(services, keys[name]))
                for name in ("all", "admin", "read", "other")
            ]
            # Each request below ends; those with errors must not count later.
            for client in (api, admin, read, other):
                await client.get("/jobs")
                await client.get("/jobs/1")
            async with keep_busy(services.writer):
                writes = await start(
                    [api.post("/customers", json={}) for _ in range(2)]
                )
                assert wait_of(await api.get("/jobs")) == 1
                writes += await start([admin.post("/customers", json={})])
                assert wait_of(await read.get("/jobs")) == 1
                assert (await other.get("/jobs")).status_code == 200
            answers = await asyncio.gather(*writes)
            assert {answer.status_code for answer in answers} == {201}
            assert (await api.get("/jobs")).status_code == 200

    run(folder, limits, scenario)


def test_streams_do_not_count_as_running_requests(
    folder: Path, keys: dict[str, str]
) -> None:
    """With a limit of one request, an open stream blocks no request of its key."""
    with (
        serve_existing(
            folder,
            keys,
            environment={"TRACKERAPI_BACKEND_KEY_REQUESTS_AT_ONCE": "1"},
        ) as (_process, service),
        service.client() as api,
    ):
        job = new_job(api)
        with open_stream(api, f"/jobs/{job['id']}/stream") as stream:
            assert stream.message().event == "job"
            assert api.get(f"/jobs/{job['id']}").status_code == 200


def test_keys_of_an_address_that_guesses_are_looked_up_one_after_another(
    folder: Path, keys: dict[str, str], clock: Clock
) -> None:
    """Keys beyond the limit of an address wait for one query, up to a maximum number.

    A repeated unknown key waits too. Requests with the same key wait together. Known
    keys, and other addresses, do not wait.
    """
    guesses = [generate_key().api_key for _ in range(6)]
    waiting = [keys["read"], guesses[1], guesses[0], keys["ingest"]]

    async def scenario(services: Services) -> None:
        async def verify(key: str, address: str = ADDRESS) -> httpx.Response:
            async with own_client(services, key, address) as client:
                return await client.get(VERIFY_PATH)

        async def begin(reads: list[Any], *sent: str) -> list[Running]:
            running = await start([verify(key) for key in sent])
            while not reads:
                await asyncio.sleep(0.01)
            return running

        assert (await verify(keys["all"])).status_code == 200
        assert (await verify(guesses[0])).status_code == 401
        with held_read(services) as reads:
            running = await begin(reads, *waiting, keys["ingest"])
            assert wait_of(await verify(guesses[2])) == 1
            assert (await verify(keys["all"])).status_code == 200
            assert (await verify(guesses[3], OTHER_ADDRESS)).status_code == 401
            assert len(reads) == 2
            assert not any(each.done() for each in running)
        answers = await asyncio.gather(*running)
        assert [each.status_code for each in answers] == [200, 401, 401, 200, 200]
        clock.now += 2 * SECONDS_PER_MINUTE
        with held_read(services) as reads:
            running = await begin(reads, guesses[4])
            assert (await verify(guesses[5])).status_code == 401
        assert (await running[0]).status_code == 401

    with (
        patch.object(auth, "UNKNOWN_SECONDS", 0.0),
        patch.object(limits_module, "MAX_WAITING_KEYS", len(waiting)),
    ):
        limits = CallLimits(RequestLimits(unknown_keys_per_minute=1), clock)
        run(folder, limits, scenario)


def test_requests_share_a_query_that_waits_for_its_turn(
    folder: Path, keys: dict[str, str], clock: Clock
) -> None:
    """Requests with one key share a query, also while the query waits for long."""
    guesses = [generate_key().api_key for _ in range(2)]
    find, queried = auth.stored_keys.find_key_with_provider, list[str]()

    def find_and_count(db: Connection, key_id: str) -> Any:
        queried.append(key_id)
        return find(db, key_id)

    async def scenario(services: Services) -> None:
        async def verify(key: str) -> httpx.Response:
            async with own_client(services, key, ADDRESS) as client:
                return await client.get(VERIFY_PATH)

        assert (await verify(guesses[0])).status_code == 401
        with held_read(services) as reads:
            running = await start([verify(guesses[1])])
            while not reads:
                await asyncio.sleep(0.01)
            for _ in range(3):
                running += await start([verify(keys["read"])])
        answers = await asyncio.gather(*running)
        assert [each.status_code for each in answers] == [401, 200, 200, 200]
        assert queried.count(keys["read"].split("_")[1]) == 1

    with (
        patch.object(auth, "CACHE_SECONDS", 0.0),
        patch.object(auth.stored_keys, "find_key_with_provider", find_and_count),
    ):
        limits = CallLimits(RequestLimits(unknown_keys_per_minute=1), clock)
        run(folder, limits, scenario)


def test_running_queries_count_as_unknown_keys_of_their_address(
    folder: Path, keys: dict[str, str], clock: Clock
) -> None:
    """A burst of keys needs as many connections as the limit has left, and one more.

    The keys may be valid, so none of them is rejected.
    """
    count = 3
    may_end, lock = threading.Event(), threading.Lock()
    running: list[int] = []
    maxima: list[int] = []

    async def scenario(services: Services) -> list[int]:
        async def verify(key: str) -> int:
            async with own_client(services, key, ADDRESS) as client:
                return (await client.get(VERIFY_PATH)).status_code

        read = services.store.read

        def read_slowly(query: Callable[[Any], Any]) -> Any:
            with lock:
                running.append(0)
                maxima.append(len(running))
            assert may_end.wait(MAX_WAIT_SECONDS)
            with lock:
                running.pop()
            return read(query)

        guesses = [generate_key().api_key for _ in range(count)]
        with patch.object(services.store, "read", read_slowly):
            sent = [*guesses, *valid, *guesses]
            answers = await start([verify(key) for key in sent])
            while len(maxima) <= count:
                await asyncio.sleep(0.01)
            may_end.set()
            return list(await asyncio.gather(*answers))

    valid = [keys[name] for name in ("all", "read", "ingest", "admin", "other")]
    with patch.object(limits_module, "MAX_WAITING_KEYS", 1):
        limits = CallLimits(RequestLimits(unknown_keys_per_minute=count), clock)
        statuses = run(folder, limits, scenario)
    assert statuses == [401] * count + [200] * len(valid) + [401] * count
    assert max(maxima) == count + 1


def test_valid_key_is_accepted_while_its_address_guesses_keys(
    tmp_path: Path, database_url: str | None
) -> None:
    """A new valid key needs one request, although its address sends unknown keys."""
    valid = prepare(tmp_path, database_url)
    is_over = threading.Event()

    def guess() -> set[int]:
        statuses = set()
        with service.client(None) as client:
            while not is_over.is_set():
                headers = {"X-API-Key": generate_key().api_key}
                statuses.add(client.get(VERIFY_PATH, headers=headers).status_code)
        return statuses

    with (
        serve_existing(
            tmp_path,
            valid,
            database_url,
            environment={"TRACKERAPI_BACKEND_UNKNOWN_KEYS_PER_MINUTE": "1"},
        ) as (_process, service),
        ThreadPoolExecutor(GUESSERS) as pool,
    ):
        guessing = [pool.submit(guess) for _ in range(GUESSERS)]
        try:
            with service.client(None) as client:
                answers = [
                    client.get(VERIFY_PATH, headers={"X-API-Key": key})
                    for key in (generate_key().api_key, *valid.values())
                ]
        finally:
            is_over.set()
    assert [each.status_code for each in answers] == [401] + [200] * 4 + [401, 200]
    assert set().union(*(each.result() for each in guessing)) == {401}


@pytest.mark.parametrize(
    ("proxies", "address", "is_hinted"),
    [("127.0.0.1", "192.0.2.1", False), ("10.0.0.1", "127.0.0.1", True)],
)
def test_warning_names_the_address_that_sends_unknown_keys(
    folder: Path, keys: dict[str, str], proxies: str, address: str, *, is_hinted: bool
) -> None:
    """The log has one warning for an address; for a proxy, it names the setting."""
    log = folder / f"{address}.log"
    variables = {
        "UNKNOWN_KEYS_PER_MINUTE": "1",
        "TRUSTED_PROXIES": proxies,
        "LOG_FILE": f"{log}",
    }
    with (
        serve_existing(
            folder,
            keys,
            environment={f"TRACKERAPI_BACKEND_{n}": v for n, v in variables.items()},
        ) as (_process, service),
        service.client(None) as client,
    ):
        for _ in range(4):
            headers = {
                "X-API-Key": generate_key().api_key,
                "X-Forwarded-For": "192.0.2.1",
            }
            assert client.get(VERIFY_PATH, headers=headers).status_code == 401
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    [warning] = [line["message"] for line in lines if line["level"] == "WARNING"]
    assert warning.startswith(f"{address} sends too many unknown keys")
    assert ("--trusted-proxies" in warning) == is_hinted


def test_addresses_of_one_ipv6_network_count_together(
    folder: Path,
    keys: dict[str, str],
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """All IPv6 addresses with the same first 64 bits share a limit.

    A socket for both versions of IP gives IPv4 clients IPv6 addresses. Such clients
    share no limit.
    """
    networks = ["2001:db8:0:1::1", "odd:::", "::ffff:192.0.2.1", "::ffff:192.0.2.2"]
    limits = CallLimits(RequestLimits(unknown_keys_per_minute=1), clock)

    async def scenario(services: Services) -> None:
        for address in ("2001:db8::1", "2001:db8::2:1", *networks):
            key = generate_key().api_key
            async with own_client(services, key, address) as client:
                assert (await client.get(VERIFY_PATH)).status_code == 401

    with caplog.at_level("WARNING"):
        run(folder, limits, scenario)
    [warning] = caplog.messages
    assert warning.startswith("2001:db8::2:1 sends too many unknown keys")


def test_unknown_key_that_is_sent_again_needs_no_query(
    folder: Path, keys: dict[str, str]
) -> None:
    """Requests with the same unknown key get equal answers from one query."""

    async def scenario(services: Services) -> None:
        reads = []
        query = services.store.read
        async with own_client(services, generate_key().api_key) as client:
            with patch.object(
                services.store, "read", lambda find: reads.append(1) or query(find)
            ):
                answers = [await client.get(VERIFY_PATH) for _ in range(5)]
        bodies = [answer.json() | {"request_id": ""} for answer in answers]
        assert {answer.status_code for answer in answers} == {401}
        assert bodies == [bodies[0]] * len(bodies)
        assert len(reads) == 1

    with patch.object(auth, "UNKNOWN_SECONDS", 60.0):
        run(folder, CallLimits(), scenario)


@pytest.mark.parametrize("path", ["/api-keys", "/jobs/{id}/tokens"])
def test_key_that_was_unknown_works_once_it_is_created(
    folder: Path, keys: dict[str, str], path: str
) -> None:
    """A new key or token is valid in the next request, though it was just unknown."""
    new = generate_key()

    async def scenario(services: Services) -> list[int]:
        async with (
            own_client(services, keys["all"]) as api,
            own_client(services, new.api_key) as client,
        ):
            sent = {"provider_job_id": new_name(), "customer_id": CUSTOMER, "tag": "t"}
            job = (await api.post("/jobs", json=sent)).json()
            before = await client.get(VERIFY_PATH)
            label = {"label": "new"} | ({} if "jobs" in path else {"scopes": ["read"]})
            made = await api.post(path.format(**job), json=label)
            after = await client.get(VERIFY_PATH)
        return [answer.status_code for answer in (before, made, after)]

    with (
        patch.object(auth, "UNKNOWN_SECONDS", 60.0),
        patch("trackerapi_backend.routes.api_keys.generate_key", lambda: new),
        patch("trackerapi_backend.routes.job_tokens.generate_key", lambda: new),
    ):
        assert run(folder, CallLimits(), scenario) == [401, 201, 200]


def test_key_of_another_process_is_valid_within_a_second(
    folder: Path, keys: dict[str, str]
) -> None:
    """A key that another process creates becomes valid although it was unknown."""
    new = generate_key()

    async def scenario(services: Services) -> None:
        async with (
            own_client(services, new.api_key) as client,
            own_client(services, keys["all"]) as api,
        ):
            assert (await client.get(VERIFY_PATH)).status_code == 401
            with (
                patch("trackerapi_backend.routes.api_keys.generate_key", lambda: new),
                patch.object(services.authenticator, "forget"),
            ):
                sent = {"label": "new", "scopes": ["read"]}
                assert (await api.post("/api-keys", json=sent)).status_code == 201
            while (await client.get(VERIFY_PATH)).status_code != 200:
                await asyncio.sleep(0.05)

    run(folder, CallLimits(), scenario)
