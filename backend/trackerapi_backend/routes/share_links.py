"""Operations on share links, which show one job to a customer without an account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trackerapi_backend.jobs.credential_limits import (
    DEFAULT_LIFETIME,
    MAX_LIFETIME,
    check_link_count,
    require_valid_creator,
)
from trackerapi_backend.requests.call import Call, json_response, require
from trackerapi_backend.requests.credentials import generate_share_token, hash_secret
from trackerapi_backend.requests.times import read_expiry
from trackerapi_backend.routes.serialization import serialize_share_link
from trackerapi_backend.store import jobs as stored_jobs
from trackerapi_backend.store import share_links as stored
from trackerapi_backend.store.paging import Page, Span

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row
    from starlette.responses import Response

    from trackerapi_backend.generated import models


async def create_share_link(call: Call) -> Response:
    """Create a link to the customer's page of a job; no later response has its URL."""
    job_id: int = call.parameters["job_id"]
    sent: models.ShareLinkInput = call.body
    token = generate_share_token()
    expires_at = read_expiry(sent, now=call.now, max_lifetime=MAX_LIFETIME)
    expires_at = expires_at or call.now + DEFAULT_LIFETIME
    values = {
        "job_id": job_id,
        "token_hash": hash_secret(token),
        "created_at": call.now,
        "expires_at": expires_at,
        "label": sent.get("label"),
        "language": sent.get("language"),
        "created_by": call.caller.key_id,
    }
    row = await call.write(lambda db: _create(db, call.provider_id, values))
    created: models.ShareLinkCreated = {
        "share_link": serialize_share_link(row),
        "url": f"{call.base_url}/s/{token}",
    }
    return json_response(created, 201)


def _create(db: Connection, provider_id: int, values: dict[str, Any]) -> Row[Any]:
    require(stored_jobs.find_job(db, provider_id, values["job_id"]), "job")
    require_valid_creator(db, provider_id, values["created_by"])
    check_link_count(db, values["job_id"], now=values["created_at"])
    return stored.create_share_link(db, provider_id, values)


async def list_share_links(call: Call) -> Response:
    """List the share links of a job, newest first."""
    span = Span.from_parameters(call.parameters)
    return await call.read_page(
        lambda db: _list(db, call.provider_id, call.parameters["job_id"], span),
        serialize_share_link,
    )


def _list(db: Connection, provider_id: int, job_id: int, span: Span) -> Page:
    require(stored_jobs.find_job(db, provider_id, job_id), "job")
    return stored.list_share_links(db, job_id, span)


async def revoke_share_link(call: Call) -> Response:
    """Revoke a link; its address and its cookies then open no page."""
    row = await call.write(lambda db: _revoke(db, call))
    return json_response(serialize_share_link(row))


def _revoke(db: Connection, call: Call) -> Row[Any]:
    link_id: int = call.parameters["share_link_id"]
    require(stored.find_share_link(db, call.provider_id, link_id), "share link")
    stored.revoke_share_link(
        db,
        call.provider_id,
        link_id,
        now=call.now,
        caller_key_id=call.caller.key_id,
    )
    return require(stored.find_share_link(db, call.provider_id, link_id), "share link")
