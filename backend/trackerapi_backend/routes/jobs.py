"""Operations on jobs, the tracked executions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trackerapi_backend.instants import parse_instant
from trackerapi_backend.jobs import creation
from trackerapi_backend.problems import invalid
from trackerapi_backend.requests.call import Call, json_response, require
from trackerapi_backend.routes.serialization import serialize_job
from trackerapi_backend.store import jobs as stored
from trackerapi_backend.store.paging import Span

if TYPE_CHECKING:
    from starlette.responses import Response

_FILTERS = ("provider_job_id", "customer_id", "tag", "status")


async def create_job(call: Call) -> Response:
    """Create a job, or attach to a job that exists.

    A job token attaches to its own job and creates nothing.
    """
    own_job_id = call.caller.job_id
    if own_job_id is not None:
        row = await call.read(
            lambda db: creation.attach(db, call.provider_id, own_job_id, call.body)
        )
        return json_response(serialize_job(row))
    secrets, name = call.services.pepper.read(), call.body["provider_job_id"]
    name_hmac = secrets.hash_job_name(call.provider_id, name)
    created = await call.write(
        lambda db: creation.create_job(
            db, call.provider_id, call.body, name_hmac=name_hmac, now=call.now
        )
    )
    return json_response(serialize_job(created.job), 201 if created.is_new else 200)


async def list_jobs(call: Call) -> Response:
    """List jobs, newest first."""
    filters: dict[str, Any] = {
        name: call.parameters[name] for name in _FILTERS if name in call.parameters
    }
    if "created_since" in call.parameters:
        try:
            filters["created_since"] = parse_instant(call.parameters["created_since"])
        except ValueError:
            raise invalid("created_since", "is outside the years 1 to 9999") from None
    if call.caller.job_id is not None:
        filters["id"] = call.caller.job_id
    span = Span.from_parameters(call.parameters)
    return await call.read_page(
        lambda db: stored.list_jobs(db, call.provider_id, filters, span), serialize_job
    )


async def get_job(call: Call) -> Response:
    """Return a job."""
    job_id: int = call.parameters["job_id"]
    row = await call.read(lambda db: stored.find_job(db, call.provider_id, job_id))
    return json_response(serialize_job(require(call.caller.visible(row), "job")))
