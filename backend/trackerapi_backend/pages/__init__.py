"""Pages for people: HTML without resources of other hosts, readable without scripts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from starlette.routing import Route

from trackerapi_backend.pages import (
    badge,
    customer,
    front,
    icon,
    mark,
    reference,
    script,
    stream,
    stylesheet,
)
from trackerapi_backend.pages.openings import Openings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from trackerapi_backend.requests.call import Services


def page_routes(services: Services) -> list[BaseRoute]:
    """Return the routes of all pages."""
    openings = Openings(services)
    return [
        _route("/", "front_page", front.show),
        _route(
            "/s/{token}",
            "enter_share_link",
            partial(customer.enter, services, openings),
        ),
        _route(
            "/s/{token}/stream",
            "stream_page",
            partial(stream.stream_by_link, services),
        ),
        _route("/s/{token}/badge.svg", "badge", partial(badge.show, services)),
        _route(
            "/app/jobs/{job_id}/stream",
            "stream_page",
            partial(stream.stream_by_cookie, services),
        ),
        _route(
            "/app/jobs/{job_id}",
            "customer_page",
            partial(customer.show, services, openings),
        ),
        _route("/docs", "reference_page", reference.show),
        _route("/openapi.json", "contract", reference.contract),
        _route(stylesheet.ROUTE, "stylesheet", stylesheet.show),
        _route(script.ROUTE, "script", script.show),
        _route(icon.ROUTE, "icon", icon.show),
        _route(mark.ROUTE, "mark", partial(mark.show, services)),
        _route("/app", "front_page", front.show),
        _route("/app/", "front_page", front.show),
        _route("/app/{rest:path}", "no_page", front.show_invalid_link),
        _route("/s/{rest:path}", "no_page", front.show_invalid_link),
    ]


def _route(
    path: str, name: str, show: Callable[[Request], Awaitable[Response]]
) -> Route:
    """Return the route of a page; `name` is its operation in the log."""

    async def show_named(request: Request) -> Response:
        request.state.operation = name
        return await show(request)

    return Route(path, show_named)
