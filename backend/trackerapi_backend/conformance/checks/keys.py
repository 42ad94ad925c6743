"""Checks of API keys: invalid and expired keys, scopes, expiry."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from trackerapi_backend.conformance.checks.samples import SAMPLES
from trackerapi_backend.conformance.expectations import Mismatch, expect, expect_all
from trackerapi_backend.conformance.group import Group
from trackerapi_backend.conformance.session import NO_KEY, SCOPES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from trackerapi_backend.conformance.session import Session

group = Group("keys")

LONG_AGO = "2001-01-01T00:00:00Z"


@group.check("no-key")
def _no_key(session: Session) -> None:
    """Every operation that needs a key answers 401 without a key."""
    for operation_id in session.operation_ids:
        described = session.described(operation_id)
        if described["security"]:
            session.call(operation_id, **_any_ids(described), key=NO_KEY).require(401)


@group.check("invalid-key")
def _invalid_key(session: Session) -> None:
    """A text that is not a key, and a key with a wrong secret, are rejected (401)."""
    start, _, rest = session.key[:-20].rpartition("_")
    other = f"{start}_{rest[::-1]}{session.key[-20:]}"
    for key in ("x", "trk_zzzzzzzz_y_z", session.key[:-1], other, "é" * 300):
        session.call("verify_api_key", key=key).require(401)


@group.check("expired-key")
def _expired_key(session: Session) -> None:
    """A key is rejected (401) once the request to expire it is answered."""
    key_id, key = session.new_key("read")
    session.call("verify_api_key", key=key).require(200)
    expired = session.call("expire_api_key", key_id=key_id).require(200)
    session.call("verify_api_key", key=key).require(401)
    again = session.call("expire_api_key", key_id=key_id).require(200)
    expect(
        "expires_at after a second expiry", expired["expires_at"], again["expires_at"]
    )


@group.check("expires-not-itself")
def _not_itself(session: Session) -> None:
    """A key cannot expire itself (409)."""
    key_id = session.call("verify_api_key").require(200)["key_id"]
    session.call("expire_api_key", key_id=key_id).require(409)


@group.check("past-expiry")
def _past_expiry(session: Session) -> None:
    """A new key, token or link with a past expiry is rejected (422)."""
    job_id, past = session.job["id"], {"expires_at": LONG_AGO}
    key = {"label": "Conformance kit", "scopes": ["read"]}
    session.call("create_api_key", key | past).require(422)
    session.call("create_job_token", past, job_id=job_id).require(422)
    session.call("create_share_link", past, job_id=job_id).require(422)


@group.check("secret-shown-once")
def _secret_shown_once(session: Session) -> None:
    """The list of keys has the new key, but not its secret."""
    key_id, key = session.new_key("read", "ingest")
    answer = session.call("list_api_keys", query={"limit": 200})
    listed = {each["key_id"]: each for each in answer.require(200)["items"]}
    if key_id not in listed:
        raise Mismatch("list of keys, newest first", "the new key", "no such key")
    expect("scopes of the key", {"read", "ingest"}, set(listed[key_id]["scopes"]))
    # Compare only whether the secret is listed: the report must not contain the key.
    expect("a secret in the list of keys", False, key in answer.body.decode())


@group.check("owner")
def _owner(session: Session) -> None:
    """`verify_api_key` names the key, its scopes and its provider."""
    provider_id = session.call("verify_api_key").require(200)["provider_id"]
    key_id, key = session.new_key("read")
    owner = session.call("verify_api_key", key=key).require(200)
    expected = {"key_id": key_id, "provider_id": provider_id, "scopes": ["read"]}
    expect_all("the owner of the key", expected, owner)


def _check_scope(scope: str, session: Session) -> None:
    _key_id, key = session.new_key(scope)
    for operation_id, sample_of in SAMPLES.items():
        needed = [
            each
            for security in session.described(operation_id)["security"]
            for each in security["api_key"]
        ]
        if set(needed) - {scope}:
            sample = sample_of(session)
            session.call(operation_id, sample.body, key=key, **sample.path).require(403)


for _scope in SCOPES:
    group.add(
        f"scope-{_scope}",
        f"A key with the scope {_scope} alone is rejected (403) by all operations"
        " that need another scope",
        partial(_check_scope, _scope),
    )


def _any_ids(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value for each parameter in the path of an operation."""
    return {part.strip("{}"): 1 for part in described["path"].split("/") if "{" in part}
