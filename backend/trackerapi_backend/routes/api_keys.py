"""Operations on API keys, which name the provider of a script."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from trackerapi_backend.instants import format_instant
from trackerapi_backend.jobs.credential_limits import (
    check_key_count,
    require_valid_creator,
)
from trackerapi_backend.problems import Problem, unauthorized
from trackerapi_backend.requests.call import Call, json_response, require
from trackerapi_backend.requests.credentials import generate_key
from trackerapi_backend.requests.times import read_expiry
from trackerapi_backend.routes.serialization import serialize_api_key
from trackerapi_backend.store import api_keys as stored_keys
from trackerapi_backend.store import jobs as stored_jobs
from trackerapi_backend.store.paging import Span
from trackerapi_backend.store.revocation import Revoked, revoke_created

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row
    from starlette.responses import Response

    from trackerapi_backend.generated import models


async def verify_api_key(call: Call) -> Response:
    """Return provider, scopes and expiry of the key in the request."""
    caller = call.caller
    if caller.job_id is not None:
        # The cache of keys may still contain the token of an erased job.
        job = await call.read(
            partial(
                stored_jobs.find_job,
                provider_id=caller.provider_id,
                job_id=caller.job_id,
            )
        )
        if job is None:
            raise unauthorized("The key is unknown.")
    expires_at = caller.expires_at
    owner: models.ApiKeyOwner = {
        "provider_id": caller.provider_id,
        "provider_name": caller.provider_name,
        "key_id": caller.key_id,
        "scopes": list(caller.scopes),
        "expires_at": None if expires_at is None else format_instant(expires_at),
        "job_id": caller.job_id,
        "provider_job_id": caller.provider_job_id,
    }
    return json_response(owner)


async def create_api_key(call: Call) -> Response:
    """Create a key; no later response has its secret."""
    sent: models.ApiKeyInput = call.body
    new = generate_key()
    values = {
        "key_id": new.key_id,
        "provider_id": call.provider_id,
        "label": sent["label"],
        **call.services.pepper.read().seal(new.api_key),
        "scopes": list(dict.fromkeys(sent["scopes"])),
        "created_at": call.now,
        "expires_at": read_expiry(sent, now=call.now),
        "created_by": call.caller.key_id,
    }
    row = await call.write(lambda db: _create(db, values))
    created: models.ApiKeyCreated = {
        "key": serialize_api_key(row),
        "api_key": new.api_key,
    }
    return json_response(created, 201)


def _create(db: Connection, values: dict[str, Any]) -> Row[Any]:
    require_valid_creator(db, values["provider_id"], values["created_by"])
    check_key_count(db, values["provider_id"], now=values["created_at"])
    return stored_keys.create_key(db, values)


async def list_api_keys(call: Call) -> Response:
    """List the keys of the provider, newest first."""
    span = Span.from_parameters(call.parameters)
    return await call.read_page(
        lambda db: stored_keys.list_keys(db, call.provider_id, span), serialize_api_key
    )


async def expire_api_key(call: Call) -> Response:
    """Set the expiry of a key to the time of the request.

    With `revoke_created`, the keys, tokens and links that the key has made end too.
    """
    key_id: str = call.parameters["key_id"]
    if key_id == call.caller.key_id:
        raise Problem("conflict", "A key cannot expire itself: use another key.")
    row, revoked = await call.write(partial(_expire, call=call, key_id=key_id))
    await call.services.authenticator.wait_for_other_processes()
    document = serialize_api_key(row)
    if revoked is not None:
        document["revoked"] = {
            "expired_keys": revoked.expired_keys,
            "expired_tokens": revoked.expired_tokens,
            "revoked_share_links": revoked.revoked_share_links,
        }
    return json_response(document)


def _expire(db: Connection, call: Call, key_id: str) -> tuple[Row[Any], Revoked | None]:
    provider_id, caller = call.provider_id, call.caller.key_id
    row = stored_keys.expire_key(
        db, provider_id, key_id, now=call.now, caller_key_id=caller
    )
    revoked = None
    if row is not None and call.parameters.get("revoke_created", False):
        revoked = revoke_created(
            db, provider_id, key_id, now=call.now, caller_key_id=caller
        )
    return require(row, "key"), revoked
