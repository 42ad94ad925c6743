"""Operation on job tokens, the API keys that are bound to one job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trackerapi_backend.instants import format_instant
from trackerapi_backend.jobs.credential_limits import (
    DEFAULT_LIFETIME,
    MAX_LIFETIME,
    check_token_count,
    require_valid_creator,
)
from trackerapi_backend.requests.call import Call, json_response, require
from trackerapi_backend.requests.credentials import (
    JOB_TOKEN_SCOPES,
    generate_key,
)
from trackerapi_backend.requests.times import read_expiry
from trackerapi_backend.store import api_keys as stored_keys
from trackerapi_backend.store import jobs as stored_jobs

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row
    from starlette.responses import Response

    from trackerapi_backend.generated import models

DEFAULT_LABEL = "Job token"


async def create_job_token(call: Call) -> Response:
    """Create a token; no later response has its secret."""
    sent: models.JobTokenInput = call.body
    new = generate_key()
    expires_at = read_expiry(sent, now=call.now, max_lifetime=MAX_LIFETIME)
    expires_at = expires_at or call.now + DEFAULT_LIFETIME
    # A token gets only scopes of the key that creates it: otherwise a key could give
    # itself more rights.
    scopes = [scope for scope in JOB_TOKEN_SCOPES if scope in call.caller.scopes]
    values = {
        "key_id": new.key_id,
        "provider_id": call.provider_id,
        "job_id": call.parameters["job_id"],
        "label": sent.get("label", DEFAULT_LABEL),
        **call.services.pepper.read().seal(new.api_key),
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
    return json_response(created, 201)


def _create(db: Connection, provider_id: int, values: dict[str, Any]) -> Row[Any]:
    """Store a token of a job of the provider; return the job."""
    job = require(stored_jobs.find_job(db, provider_id, values["job_id"]), "job")
    require_valid_creator(db, provider_id, values["created_by"])
    check_token_count(db, job.id, now=values["created_at"])
    stored_keys.create_key(db, values)
    return job
