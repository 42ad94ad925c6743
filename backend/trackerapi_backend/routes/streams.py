"""Operation on the stream of a job, which sends the newest state to a program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.live.hub import Message, Watch, encode_message
from trackerapi_backend.live.stream import EventStream
from trackerapi_backend.requests.call import Call, require
from trackerapi_backend.routes.serialization import serialize_job
from trackerapi_backend.store import jobs as stored
from trackerapi_backend.store.schema import compact_json

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from starlette.responses import Response


async def stream_job(call: Call) -> Response:
    """Send the newest state of a job until the caller may not read it any more."""
    job_id: int = call.parameters["job_id"]
    provider_id, request = call.provider_id, call.request
    row = await call.read(lambda db: stored.find_job(db, provider_id, job_id))
    require(call.caller.visible(row), "job")
    authenticator = call.services.authenticator

    async def check() -> None:
        caller = await authenticator.identify(request.headers, request.scope["client"])
        authenticator.authorize(caller, stream_job.__name__, ())

    watch = Watch(
        job_id=job_id,
        form=stream_job.__name__,
        read=lambda db: _read_message(db, provider_id, job_id),
        address=call.client_network,
        last_id=request.headers.get("last-event-id", ""),
        provider_id=provider_id,
    )
    expires_at = call.caller.expires_at
    return EventStream(call.services.hub, watch, check, expires_at=expires_at)


def _read_message(db: Connection, provider_id: int, job_id: int) -> Message | None:
    row = stored.find_job(db, provider_id, job_id)
    if row is None:
        return None
    job = serialize_job(row)
    version = job["version"]
    return encode_message(version, "job", compact_json(job), id_=str(version))
