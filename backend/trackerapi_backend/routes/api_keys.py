"""Keys by which scripts prove which provider they belong to."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from trackerapi_backend.instants import format_instant
from trackerapi_backend.problems import Problem
from trackerapi_backend.requests.auth import key_hmac, make_key, read_expiry
from trackerapi_backend.requests.call import Call, answer, found
from trackerapi_backend.routes import shapes
from trackerapi_backend.store import access
from trackerapi_backend.store.paging import Span

if TYPE_CHECKING:
    from starlette.responses import Response

    from trackerapi_backend.generated import models


async def verify_api_key(call: Call) -> Response:
    """Tell whose key this is and what it may do."""
    caller = call.caller
    ends = caller.expires_at
    owner: models.ApiKeyOwner = {
        "provider_id": caller.provider_id,
        "provider_name": caller.provider_name,
        "key_id": caller.key_id,
        "scopes": list(caller.scopes),
        "expires_at": None if ends is None else format_instant(ends),
        "job_id": caller.job_id,
        "provider_job_id": caller.provider_job_id,
    }
    return answer(owner)


async def create_api_key(call: Call) -> Response:
    """Make a key; the answer is the only place where it is whole."""
    sent: models.ApiKeyInput = call.body
    new = make_key()
    values = {
        "key_id": new.key_id,
        "provider_id": call.provider_id,
        "label": sent["label"],
        "key_hmac": key_hmac(call.services.pepper, new.api_key),
        "scopes": list(dict.fromkeys(sent["scopes"])),
        "created_at": call.now,
        "expires_at": read_expiry(sent, now=call.now),
        "created_by": call.caller.key_id,
    }
    row = await call.write(partial(access.create_key, values=values))
    created: models.ApiKeyCreated = {"key": shapes.api_key(row), "api_key": new.api_key}
    return answer(created, 201)


async def list_api_keys(call: Call) -> Response:
    """List the provider's keys, newest first."""
    span = Span.from_parameters(call.parameters)
    return await call.read_page(
        lambda db: access.list_keys(db, call.provider_id, span), shapes.api_key
    )


async def expire_api_key(call: Call) -> Response:
    """End a key at once."""
    key_id: str = call.parameters["key_id"]
    if key_id == call.caller.key_id:
        raise Problem("conflict", "A key cannot end itself; use another one.")
    row = await call.write(
        lambda db: access.expire_key(db, call.provider_id, key_id, now=call.now)
    )
    call.services.authenticator.forget(key_id)
    return answer(shapes.api_key(found(row, "key")))
