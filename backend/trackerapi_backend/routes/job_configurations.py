"""Operations on job configurations, the descriptions of steps."""

from __future__ import annotations

from heapq import nlargest
from typing import TYPE_CHECKING, Any

from trackerapi_backend.jobs.configurations import latest_ids, register
from trackerapi_backend.requests.call import Call, json_response, require
from trackerapi_backend.routes.serialization import serialize_configuration
from trackerapi_backend.store import configurations as stored
from trackerapi_backend.store.paging import Page, Span
from trackerapi_backend.store.schema import MAX_ID

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from starlette.responses import Response


async def register_job_configuration(call: Call) -> Response:
    """Register a job configuration."""
    row, is_new = await call.write(
        lambda db: register(db, call.provider_id, call.body, now=call.now)
    )
    return json_response(serialize_configuration(row), 201 if is_new else 200)


async def list_job_configurations(call: Call) -> Response:
    """List job configurations, newest first."""
    return await call.read_page(
        lambda db: _list(db, call.provider_id, call.parameters), serialize_configuration
    )


def _list(db: Connection, provider_id: int, parameters: Any) -> Page:
    span = Span.from_parameters(parameters)
    filters: dict[str, Any] = {
        name: parameters[name] for name in ("tag", "version") if name in parameters
    }
    if filters.get("version") == "latest":
        del filters["version"]
        versions = stored.list_revisions(db, provider_id, filters.get("tag"))
        ids = (each for each in latest_ids(versions) if each < (span.after or MAX_ID))
        # One id more than the page has: the additional id shows that a page follows.
        filters["ids"] = nlargest(span.limit + 1, ids)
    return stored.list_configurations(db, provider_id, filters, span)


async def get_job_configuration(call: Call) -> Response:
    """Return a job configuration."""
    configuration_id: int = call.parameters["configuration_id"]
    row = await call.read(
        lambda db: stored.find_configuration(db, call.provider_id, configuration_id)
    )
    return json_response(serialize_configuration(require(row, "job configuration")))
