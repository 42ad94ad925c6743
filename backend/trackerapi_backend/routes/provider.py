"""Operations on the provider's profile, which customers read on their pages."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from trackerapi_backend.jobs.profile import checked_profile
from trackerapi_backend.requests.call import Call, json_response
from trackerapi_backend.routes.serialization import serialize_profile
from trackerapi_backend.store import providers as stored

if TYPE_CHECKING:
    from starlette.responses import Response


async def get_provider_profile(call: Call) -> Response:
    """Return the profile of the provider."""
    row = await call.read(lambda db: stored.get_profile(db, call.provider_id))
    return json_response(serialize_profile(row))


async def update_provider_profile(call: Call) -> Response:
    """Change the profile of the provider; return the whole profile."""
    changes = await run_in_threadpool(checked_profile, call.body)
    row = await call.write(
        partial(
            stored.update_profile,
            provider_id=call.provider_id,
            changes=changes,
            caller_key_id=call.caller.key_id,
        )
    )
    return json_response(serialize_profile(row))
