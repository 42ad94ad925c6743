"""Pages for people, rendered here whole: they need no script and load nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from trackerapi_backend.calls import Services


def page_routes(services: Services) -> list[BaseRoute]:
    """Return the routes of all pages."""
    return []
