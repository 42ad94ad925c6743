"""Whether the service is up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trackerapi_backend.problems import unavailable
from trackerapi_backend.requests.call import Call, answer
from trackerapi_backend.version import __version__

if TYPE_CHECKING:
    from starlette.responses import Response

    from trackerapi_backend.generated import models


async def livez(_call: Call) -> Response:
    """Tell that the process runs."""
    return answer(_health())


async def readyz(call: Call) -> Response:
    """Tell whether requests can be served: the last check has written and read.

    Raises:
        Problem: If they cannot; its detail says why.
    """
    reason = call.services.readiness.reason
    if reason is not None:
        raise unavailable(reason, retry_after_seconds=5)
    return answer(_health())


def _health() -> models.Health:
    return {"status": "ok", "version": __version__}
