"""Pages for people, rendered here whole: they need no script and load nothing else."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from trackerapi_backend.pages import customer, reference

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from trackerapi_backend.calls import Services


def page_routes(services: Services) -> list[BaseRoute]:
    """Return the routes of all pages."""
    return [
        Route("/s/{token}", partial(customer.enter, services)),
        Route("/app/jobs/{job_id:int}", partial(customer.show, services)),
        Route("/docs", reference.show),
        Route("/openapi.json", reference.contract),
        Mount("/app/static", StaticFiles(packages=[(__name__, "static")])),
    ]
