"""Application of the backend in the process of a test, without a server."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import httpx
from trackerapi_backend.app import create_app
from trackerapi_backend.cli.database import open_store
from trackerapi_backend.live.hub import Hub
from trackerapi_backend.pepper import open_pepper_file
from trackerapi_backend.requests.auth import Authenticator
from trackerapi_backend.requests.call import Services
from trackerapi_backend.requests.limits import CallLimits
from trackerapi_backend.settings import storage_from
from trackerapi_backend.store.readiness import Readiness
from trackerapi_backend.store.writer import Writer

from backend.tests.support.service import variables_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def own_services(
    folder: Path, url: str | None = None, limits: CallLimits | None = None
) -> Iterator[Services]:
    """Open the services of a backend on a database that `prepare()` has made.

    Args:
        folder: Folder of the files of the backend.
        url: Address of a PostgreSQL database; None for SQLite.
        limits: Limits of requests; None for the default limits.
    """
    limits = limits or CallLimits()
    storage = storage_from({}, variables_of(folder, url))
    with (
        closing(open_store(storage)) as store,
        closing(Writer(store)) as writer,
    ):
        pepper = open_pepper_file(folder / "pepper")
        yield Services(
            store=store,
            writer=writer,
            hub=Hub(store),
            authenticator=Authenticator(store, writer, pepper, limits),
            readiness=Readiness(store, writer),
            pepper=pepper,
            limits=limits,
        )


def own_client(
    services: Services, key: str, address: str = "127.0.0.1"
) -> httpx.AsyncClient:
    """Return a client of an application with these services.

    Args:
        services: Services of the application.
        key: Key of all requests.
        address: Address of the client, as the application sees it.
    """
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(services), client=(address, 1)),
        base_url="http://backend",
        headers={"X-API-Key": key},
    )
