"""Mark of a provider beside its name, at an address that changes with its content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from trackerapi_backend.pages.front import show_invalid_link
from trackerapi_backend.pages.static_file import static_response
from trackerapi_backend.store import providers

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from trackerapi_backend.requests.call import Services

ROUTE = "/app/static/mark.{hash}.png"


def mark_address(mark_hash: str | None) -> str | None:
    """Return the address of a mark; None for a provider without a mark."""
    return None if mark_hash is None else ROUTE.format(hash=mark_hash)


async def show(services: Services, request: Request) -> Response:
    """Return a mark; anyone who knows its hash may see it."""
    mark_hash: str = request.path_params["hash"]
    content = await run_in_threadpool(
        services.store.read, lambda db: providers.find_mark(db, mark_hash)
    )
    if content is None:
        return await show_invalid_link(request)
    return static_response(
        request, content, "image/png", is_current=True, is_compressible=False
    )
