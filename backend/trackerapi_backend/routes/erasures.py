"""Operations that erase a job or a customer for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.jobs.erasure import Eraser
from trackerapi_backend.requests.call import Call, json_response

if TYPE_CHECKING:
    from starlette.responses import Response


async def erase_job(call: Call) -> Response:
    """Erase a job; respond once its rows are deleted."""
    return json_response(await _eraser(call).erase_job(call.parameters["job_id"]))


async def erase_customer(call: Call) -> Response:
    """Erase a customer and its jobs; respond once all rows are deleted."""
    customer_id: int = call.parameters["customer_id"]
    return json_response(await _eraser(call).erase_customer(customer_id))


def _eraser(call: Call) -> Eraser:
    return Eraser(
        services=call.services,
        provider_id=call.provider_id,
        key_id=call.caller.key_id,
    )
