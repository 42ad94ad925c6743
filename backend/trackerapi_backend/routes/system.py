"""Health operations: `/livez` and `/readyz`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.problems import unavailable
from trackerapi_backend.requests.call import Call, json_response
from trackerapi_backend.version import __version__

if TYPE_CHECKING:
    from starlette.responses import Response

    from trackerapi_backend.generated import models


async def livez(_call: Call) -> Response:
    """Respond with status 200 while the process runs; check nothing else."""
    return json_response(_health())


async def readyz(call: Call) -> Response:
    """Respond with status 200 if the last check could write and read.

    Raises:
        Problem: If the check has failed; the detail has the reason.
    """
    reason = call.services.readiness.reason
    if reason is not None:
        raise unavailable(reason, retry_after_seconds=5)
    return json_response(_health())


def _health() -> models.Health:
    return {"status": "ok", "version": __version__}
