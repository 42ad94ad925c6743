"""Credentials that are good for one job alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from trackerapi_backend.auth import JOB_TOKEN_SCOPES, key_hmac, make_key
from trackerapi_backend.calls import Call, answer, found
from trackerapi_backend.instants import format_instant
from trackerapi_backend.recording import read_instant
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
    expires_at = read_instant(sent, "expires_at") or call.now + LASTS
    values = {
        "key_id": new.key_id,
        "provider_id": call.provider_id,
        "job_id": call.parameters["job_id"],
        "label": sent.get("label", DEFAULT_LABEL),
        "key_hmac": key_hmac(call.services.pepper, new.api_key),
        "scopes": list(JOB_TOKEN_SCOPES),
        "created_at": call.now,
        "expires_at": expires_at,
    }
    job = await call.write(lambda db: _create(db, call.provider_id, values))
    created: models.JobTokenCreated = {
        "token": new.api_key,
        "key_id": new.key_id,
        "provider_job_id": job.provider_job_id,
        "expires_at": format_instant(expires_at),
    }
    return answer(created, 201)


def _create(db: Connection, provider_id: int, values: dict[str, Any]) -> Row[Any]:
    job = found(stored_jobs.find_job(db, provider_id, values["job_id"]), "job")
    access.create_key(db, values)
    return job
