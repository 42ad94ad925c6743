"""Operations on customers: a provider runs each job for a customer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trackerapi_backend.problems import Problem
from trackerapi_backend.requests.call import Call, json_response, require
from trackerapi_backend.routes.serialization import serialize_customer
from trackerapi_backend.store import customers as stored
from trackerapi_backend.store.paging import Span

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row
    from starlette.responses import Response

    from trackerapi_backend.generated import models


async def create_customer(call: Call) -> Response:
    """Create a customer."""
    sent: models.CustomerInput = call.body
    values = {
        "provider_id": call.provider_id,
        "reference": sent.get("reference"),
        "name": sent.get("name"),
        "created_at": call.now,
    }
    key_id = call.caller.key_id
    row = await call.write(lambda db: _create(db, values, key_id))
    return json_response(serialize_customer(row), 201)


def _create(db: Connection, values: dict[str, Any], key_id: str) -> Row[Any]:
    """Store a customer with an unused reference; return its row."""
    provider_id, reference = values["provider_id"], values["reference"]
    if reference is not None:
        known = stored.find_customer_by_reference(db, provider_id, reference)
        if known is not None:
            raise Problem("conflict", f"Customer {known.id} has this reference.")
    return stored.create_customer(db, values, caller_key_id=key_id)


async def list_customers(call: Call) -> Response:
    """List customers, newest first."""
    span = Span.from_parameters(call.parameters)
    reference = call.parameters.get("reference")
    return await call.read_page(
        lambda db: stored.list_customers(db, call.provider_id, reference, span),
        serialize_customer,
    )


async def get_customer(call: Call) -> Response:
    """Return a customer."""
    customer_id: int = call.parameters["customer_id"]
    row = await call.read(
        lambda db: stored.find_customer(db, call.provider_id, customer_id)
    )
    return json_response(serialize_customer(require(row, "customer")))
