"""Operation on the audit log, the list of administrative changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.routes.serialization import serialize_audit_entry
from trackerapi_backend.store import audit_log as stored
from trackerapi_backend.store.paging import Span

if TYPE_CHECKING:
    from starlette.responses import Response

    from trackerapi_backend.requests.call import Call


async def list_audit_entries(call: Call) -> Response:
    """List the administrative changes of the provider, newest first."""
    span = Span.from_parameters(call.parameters)
    return await call.read_page(
        lambda db: stored.list_entries(db, call.provider_id, span),
        serialize_audit_entry,
    )
