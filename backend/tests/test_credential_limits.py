"""Maximum number and lifetime of keys, job tokens and share links."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from trackerapi_backend.instants import format_instant, utc_now
from trackerapi_backend.jobs import credential_limits
from trackerapi_backend.jobs.credential_limits import MAX_LIFETIME

from backend.tests.support.own_app import own_client, own_services
from backend.tests.support.service import (
    CUSTOMER,
    command_here,
    error_line,
    new_job,
    new_name,
    prepare,
    problem_name,
    variables_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

KEY = {"label": "more", "scopes": ["read"]}
KEYS_OF_PREPARE = 4
"""Number of valid keys of the provider in the database of `prepare()`."""


def check_is_full(answer: httpx.Response, advice: str) -> None:
    """Check that a creation was rejected with the maximum and with advice."""
    assert (answer.status_code, problem_name(answer)) == (409, "conflict")
    detail = answer.json()["detail"]
    assert "which is the maximum" in detail
    assert advice in detail


async def new_job_here(api: httpx.AsyncClient) -> str:
    """Create a job; return its path."""
    sent = {"provider_job_id": new_name(), "customer_id": CUSTOMER, "tag": "t"}
    return f"/jobs/{(await api.post('/jobs', json=sent)).json()['id']}"


async def check_maximum_numbers(api: httpx.AsyncClient) -> None:
    """Check that one more key, token or link is rejected until one has ended.

    Tokens and links of another job do not count.
    """
    job, other = await new_job_here(api), await new_job_here(api)
    made = [await api.post(f"{job}/tokens", json={}) for _ in range(3)]
    assert [answer.status_code for answer in made] == [201, 201, 409]
    check_is_full(made[2], "expire a token")
    assert (await api.post(f"{other}/tokens", json={})).status_code == 201
    await api.post(f"/api-keys/{made[0].json()['key_id']}/expire")
    assert (await api.post(f"{job}/tokens", json={})).status_code == 201

    made = [await api.post(f"{job}/share-links", json={}) for _ in range(3)]
    assert [answer.status_code for answer in made] == [201, 201, 409]
    check_is_full(made[2], "revoke a link")
    assert (await api.post(f"{other}/share-links", json={})).status_code == 201
    await api.post(f"/share-links/{made[0].json()['share_link']['id']}/revoke")
    assert (await api.post(f"{job}/share-links", json={})).status_code == 201

    made = [await api.post("/api-keys", json=KEY) for _ in range(3)]
    assert [answer.status_code for answer in made] == [201, 201, 409]
    check_is_full(made[2], "expire a key")
    await api.post(f"/api-keys/{made[0].json()['key']['key_id']}/expire")
    assert (await api.post("/api-keys", json=KEY)).status_code == 201


def test_valid_credentials_have_a_maximum_number(
    tmp_path: Path, database_url: str | None
) -> None:
    """One key, token or link beyond the maximum is rejected until one has ended."""
    keys = prepare(tmp_path, database_url)
    limits = {"MAX_KEYS": KEYS_OF_PREPARE + 2, "MAX_TOKENS": 2, "MAX_LINKS": 2}

    async def scenario() -> None:
        with own_services(tmp_path, database_url) as services:
            async with own_client(services, keys["all"]) as api:
                await check_maximum_numbers(api)

    with patch.multiple(credential_limits, **limits):
        asyncio.run(scenario())
        create = ("key", "create", "--provider", "One", "--label", "one more")
        variables = variables_of(tmp_path, database_url)
        full = error_line(command_here(*create, environment=variables))
        assert full == (
            "This provider has 6 valid keys, which is the maximum: expire a key first."
        )
        other = command_here(
            *("key", "create", "--provider", "Two", "--label", "one more"),
            environment=variables,
        )
    assert other.returncode == 0


@pytest.mark.parametrize("path", ["/jobs/{id}/tokens", "/jobs/{id}/share-links"])
def test_token_and_link_have_a_maximum_lifetime(api: httpx.Client, path: str) -> None:
    """An expiry of 366 days ahead is accepted, and a later one gets 422."""
    job: dict[str, Any] = new_job(api)
    latest = utc_now() + MAX_LIFETIME
    statuses = []
    for expires_at in (latest - timedelta(minutes=1), latest + timedelta(minutes=10)):
        sent = {"expires_at": format_instant(expires_at)}
        answer = api.post(path.format(**job), json=sent)
        statuses.append(answer.status_code)
    assert statuses == [201, 422]
    assert answer.json()["errors"] == [
        {"pointer": "/expires_at", "detail": "lies more than 366 days ahead"}
    ]
