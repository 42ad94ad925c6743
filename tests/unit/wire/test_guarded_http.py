"""Check of answers: each call returns a model or raises a `BackendError`."""

import asyncio
import gzip
import json
import pickle
from typing import Any

import pytest
from trackerapi_client.api.api_keys import verify_api_key
from trackerapi_client.api.jobs import list_jobs
from trackerapi_client.models import ApiKeyOwner

from tests.support.scripted_server import KEY, OWNER, Request, answering, http, problem
from trackerapi import TrackerApi
from trackerapi.errors import (
    AuthenticationError,
    BackendError,
    BackendRejected,
    BackendUnavailable,
)
from trackerapi.wire.attempts import TimeLimits
from trackerapi.wire.client import BackendClient


def tracker_for(url: str, seconds: float = 20.0) -> TrackerApi:
    """Return a tracker for the server at `url` with a timeout."""
    return TrackerApi(api_key=KEY, base_url=url, timeout_seconds=seconds)


def ask_once(url: str, seconds: float = 20.0) -> object:
    """Request the owner of the key, with one attempt."""
    client = BackendClient(
        base_url=url,
        token=KEY,
        verify_ssl=False,  # Creating a TLS context takes longer than the call.
        time_limits=TimeLimits(attempt_seconds=seconds, deadline_seconds=0.0),
    )
    try:
        return verify_api_key.sync(client=client)
    finally:
        client.close()


@pytest.mark.parametrize("status", [*range(200, 600), 600, 799, 999])
def test_every_status_with_html_raises_unavailable(status: int) -> None:
    """An HTML page raises BackendUnavailable with any status."""
    page = http(status, b"<html>portal</html>", "text/html")

    with answering(page) as server:
        with pytest.raises(BackendUnavailable) as caught:
            ask_once(server.url)

    assert caught.value.status == status


@pytest.mark.parametrize("status", [*range(100, 200)])
def test_informational_status_raises_unavailable(status: int) -> None:
    """An interim answer without a final answer raises BackendUnavailable."""
    informational = f"HTTP/1.1 {status} Words\r\n\r\n".encode()

    with answering(informational) as server:
        with pytest.raises(BackendUnavailable):
            ask_once(server.url, seconds=0.05)


@pytest.mark.parametrize("status", range(300, 600))
def test_problem_of_every_status_raises_its_error(status: int) -> None:
    """Only the status of a problem decides the class of the error."""
    unavailable = {408, 425, 429, *range(300, 400), *range(500, 600)}
    expected: type[BackendError] = BackendRejected
    if status in unavailable:
        expected = BackendUnavailable
    if status in {401, 403}:
        expected = AuthenticationError

    with answering(problem(status)) as server:
        with pytest.raises(expected) as caught:
            ask_once(server.url)

    assert type(caught.value) is expected
    assert caught.value.status == status


@pytest.mark.parametrize(
    "answer",
    [
        http(200, b""),
        http(200, b"{"),
        http(200, b"\xff\xfe"),
        http(200, []),
        http(200, b"null"),
        http(200, {}),
        http(200, {**OWNER, "scopes": None}),
        http(200, {**OWNER, "scopes": 5}),
        http(200, OWNER, "text/plain"),
        http(200, OWNER, ""),
        http(204, b"", ""),
        http(202, OWNER),
        http(200, b"[" * 100_000),
        http(
            200,
            gzip.compress(json.dumps(OWNER).encode())[:-20],
            Content_Encoding="gzip",
        ),
        http(401, b"{", "application/problem+json"),
        http(404, [], "application/problem+json"),
        b"\x16\x03\x01 not HTTP at all\r\n\r\n",
        http(200, OWNER)[:-5],
    ],
)
def test_malformed_answer_raises_unavailable(answer: bytes) -> None:
    """An answer that does not fit its operation raises BackendUnavailable."""
    script = [answer]

    def once(request: Request) -> bytes:
        return script.pop() if script else b""

    with answering(once) as server:
        with pytest.raises(BackendUnavailable):
            ask_once(server.url, seconds=1.0)


def test_generated_call_checks_answers() -> None:
    """`tracker.client` rejects a malformed answer before generated code parses it."""
    with (
        answering(http(200, {"items": 5})) as server,
        tracker_for(server.url, 0.3) as tracker,
    ):
        with pytest.raises(BackendUnavailable):
            list_jobs.sync(client=tracker.client)


def test_generated_asynchronous_call_checks_answers() -> None:
    """An asynchronous generated call raises AuthenticationError for a 403."""

    async def ask(tracker: TrackerApi) -> None:
        async with tracker.client.get_async_httpx_client():
            await verify_api_key.asyncio(client=tracker.client)

    with answering(problem(403)) as server, tracker_for(server.url) as tracker:
        with pytest.raises(AuthenticationError):
            asyncio.run(ask(tracker))


def test_answer_with_unknown_members_and_values_is_read() -> None:
    """Unknown members and values of a newer backend are accepted."""
    newer = {**OWNER, "scopes": ["ingest", "delegate"], "region": "north"}

    with answering(http(200, newer)) as server, tracker_for(server.url) as tracker:
        assert tracker.verify_api_key().scopes == ("ingest", "delegate")
        generated = verify_api_key.sync(client=tracker.client)

    assert isinstance(generated, ApiKeyOwner)


def test_error_has_the_details_of_the_problem() -> None:
    """The error has status, request id and problem of the answer as attributes."""
    refusal = problem(422, errors=[{"pointer": "/tag", "detail": "is blank"}])

    with answering(refusal) as server, tracker_for(server.url) as tracker:
        with pytest.raises(BackendRejected) as caught:
            list(tracker.list_jobs(tag="secret-tag"))

    error = caught.value
    assert (error.status, error.method) == (422, "GET")
    assert error.url == f"{server.url}/jobs"
    assert error.request_id == "0123456789abcdef"
    assert error.problem["title"] == "Test"
    assert "/tag is blank" in str(error)
    assert "secret-tag" not in str(error)


def test_error_is_one_line_and_survives_pickling() -> None:
    """An error is one short line, before and after pickling."""
    long = problem(409, detail="line one\nline two\x1b[31m" + "x" * 2000)

    with answering(long) as server, tracker_for(server.url) as tracker:
        with pytest.raises(BackendRejected) as caught:
            tracker.verify_api_key()

    text = str(caught.value)
    assert "\n" not in text
    assert "\x1b" not in text
    assert len(text) <= 500
    assert str(pickle.loads(pickle.dumps(caught.value))) == text


def test_key_is_sent_but_never_shown() -> None:
    """The key is in the header of the request, and in no repr and no error."""
    with answering(problem(401)) as server:
        tracker = tracker_for(server.url)
        with pytest.raises(AuthenticationError) as caught:
            tracker.verify_api_key()
        client = tracker.client
        shown: list[Any] = [tracker, client, client.get_httpx_client(), caught.value]

    assert server.requests[0].headers["x-api-key"] == KEY
    assert not any("canary" in repr(thing) for thing in shown)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirect_is_not_followed(status: int) -> None:
    """A redirect is not followed: the key would go to another host."""
    with answering(http(200, OWNER)) as other:
        away = http(status, b"", "", Location=other.url)
        with answering(away) as server, tracker_for(server.url, 0.3) as tracker:
            with pytest.raises(BackendUnavailable):
                tracker.verify_api_key()

    assert other.requests == []
