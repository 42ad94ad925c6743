"""Whether the service is up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from trackerapi_backend import __version__
from trackerapi_backend.calls import Call, answer

if TYPE_CHECKING:
    from starlette.responses import Response

    from trackerapi_backend.generated import models


async def livez(_call: Call) -> Response:
    """Tell that the process runs."""
    return answer(_health())


async def readyz(call: Call) -> Response:
    """Tell whether requests can be served: the store answers."""
    await call.read(lambda db: db.execute(text("SELECT 1")))
    return answer(_health())


def _health() -> models.Health:
    return {"status": "ok", "version": __version__}
