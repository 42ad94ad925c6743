"""Credentials that are good for one job alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from trackerapi_backend.instants import format_instant
from trackerapi_backend.requests.auth import (
    JOB_TOKEN_SCOPES,
    key_hmac,
    make_key,
    read_expiry,
)
from trackerapi_backend.requests.call import Call, answer, found
from trackerapi_backend.store import access
from trackerapi_backend.store import jobs as stored_jobs

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row
    from starlette.responses import Response

    from trackerapi_backend.generated import models

LASTS = timedelta(days=30)
DEFAULT_LABEL = "Job token"


async def create_job_token(call: Call) -> Response:
    """Make a token; the answer is the only place where it is whole."""
    sent: models.JobTokenInput = call.body
    new = make_key()
    expires_at = read_expiry(sent, now=call.now) or call.now + LASTS
    # A token can do nothing that the key which makes it cannot do.
    scopes = [scope for scope in JOB_TOKEN_SCOPES if scope in call.caller.scopes]
    values = {
        "key_id": new.key_id,
        "provider_id": call.provider_id,
        "job_id": call.parameters["job_id"],
        "label": sent.get("label", DEFAULT_LABEL),
        "key_hmac": key_hmac(call.services.pepper, new.api_key),
        "scopes": scopes,
        "created_at": call.now,
        "expires_at": expires_at,
        "created_by": call.caller.key_id,
    }
    job = await call.write(lambda db: _create(db, call.provider_id, values))
    created: models.JobTokenCreated = {
        "token": new.api_key,
        "key_id": new.key_id,
        "provider_job_id": job.provider_job_id,
        "expires_at": format_instant(expires_at),
        "scopes": scopes,
    }
    return answer(created, 201)


def _create(db: Connection, provider_id: int, values: dict[str, Any]) -> Row[Any]:
    job = found(stored_jobs.find_job(db, provider_id, values["job_id"]), "job")
    access.create_key(db, values)
    return job
