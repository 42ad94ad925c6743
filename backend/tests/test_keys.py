"""Whose a request is, and what it may do."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from trackerapi_backend.instants import format_instant, utc_now

from backend.tests.service import problem_name

if TYPE_CHECKING:
    import httpx

    from backend.tests.service import Service

WHOSE = "/api-keys/protected"


@pytest.mark.parametrize("header", ["X-API-Key", "x-api-key", "x_api_key"])
def test_key_is_taken_from_each_spelling_of_its_header(
    service: Service, header: str
) -> None:
    """Scripts of the original service are understood as new ones are."""
    with service.client(None) as anyone:
        owner = anyone.get(WHOSE, headers={header: service.keys["all"]}).json()
    assert owner["provider_name"] == "One"
    assert owner["scopes"] == ["ingest", "read", "admin"]


def test_key_is_taken_as_a_bearer_token(service: Service) -> None:
    """The usual header for credentials works too."""
    with service.client(None) as anyone:
        bearer = {"Authorization": f"Bearer {service.keys['read']}"}
        assert anyone.get(WHOSE, headers=bearer).json()["scopes"] == ["read"]


def test_two_different_keys_are_refused(service: Service) -> None:
    """Nobody has to guess which of two keys a request means."""
    with service.client() as api:
        other = {"Authorization": f"Bearer {service.keys['other']}"}
        answer = api.get(WHOSE, headers=other)
    assert (answer.status_code, problem_name(answer)) == (400, "ambiguous-key")


def test_same_key_in_two_headers_is_taken(service: Service) -> None:
    """A key said twice is one key."""
    with service.client() as api:
        again = {"Authorization": f"Bearer {service.keys['all']}"}
        assert api.get(WHOSE, headers=again).status_code == 200


@pytest.mark.parametrize(
    "garbled",
    ["", "{:.60}", "{}0", "{} x", "x{}", "Bearer {}", "trk___", "trk_" + "9" * 10_000],
)
def test_garbled_key_is_refused(service: Service, garbled: str) -> None:
    """No part of a key, and nothing around it, is as good as the key."""
    key = garbled.format(service.keys["all"])
    with service.client(None) as anyone:
        answer = anyone.get(WHOSE, headers={"X-API-Key": key})
    assert (answer.status_code, problem_name(answer)) == (401, "unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("key", [None, "expired"])
def test_missing_or_expired_key_is_refused(service: Service, key: str | None) -> None:
    """Without a key that is good today nothing is told."""
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
def test_key_without_the_scope_is_refused(
    service: Service, key: str, method: str, path: str
) -> None:
    """A key does what it was made for, and the refusal names what it lacks."""
    with service.client(key) as caller:
        answer = caller.request(method, path)
    assert (answer.status_code, problem_name(answer)) == (403, "forbidden")
    assert "lacks the scope" in answer.json()["detail"]


def test_new_key_works_until_it_is_expired(service: Service, api: httpx.Client) -> None:
    """A key ends with the answer that says so, though it was just used."""
    made = api.post("/api-keys", json={"label": "short", "scopes": ["read"]}).json()
    with service.client(None) as caller:
        caller.headers["X-API-Key"] = made["api_key"]
        before = caller.get("/jobs").status_code
        ended = api.post(f"/api-keys/{made['key']['key_id']}/expire")
        after = caller.get("/jobs").status_code
    assert (before, ended.status_code, after) == (200, 200, 401)
    assert ended.json()["expires_at"] <= format_instant(utc_now())


def test_key_cannot_end_itself(service: Service, api: httpx.Client) -> None:
    """Nobody locks himself out by mistake."""
    key_id = service.keys["all"].split("_")[1]
    answer = api.post(f"/api-keys/{key_id}/expire")
    assert (answer.status_code, problem_name(answer)) == (409, "conflict")
    assert api.get(WHOSE).status_code == 200


def test_key_ends_by_itself_at_its_time(service: Service, api: httpx.Client) -> None:
    """A key made for a time that has passed opens nothing."""
    past = format_instant(utc_now() - timedelta(seconds=1))
    sent = {"label": "late", "scopes": ["read"], "expires_at": past}
    made = api.post("/api-keys", json=sent).json()
    with service.client(None) as caller:
        caller.headers["X-API-Key"] = made["api_key"]
        assert caller.get("/jobs").status_code == 401


def test_listed_keys_hold_no_secret(service: Service, api: httpx.Client) -> None:
    """A key is whole in the answer that made it and nowhere else."""
    text = api.get("/api-keys", params={"limit": 200}).text
    for key in service.keys.values():
        assert key.split("_")[2] not in text
