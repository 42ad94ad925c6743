"""Fixtures of one backend for all tests; each test uses jobs of its own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from backend.tests.support.browser import chromium
from backend.tests.support.pages import new_link
from backend.tests.support.postgres import database_server, new_database
from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    TUTORIAL,
    new_job,
    serve_new,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from backend.tests.support.service import Service


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a PostgreSQL database from which tests create others."""
    with database_server() as url:
        yield url


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A running backend, once on each engine."""
    folder = tmp_path_factory.mktemp("service")
    with _database(request) as url, serve_new(folder, url) as service:
        yield service


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Address of a new PostgreSQL database; None for SQLite."""
    with _database(request) as url:
        yield url


@contextmanager
def _database(request: pytest.FixtureRequest) -> Iterator[str | None]:
    if request.param == "sqlite":
        yield None
        return
    server: str = request.getfixturevalue("postgres")
    with new_database(server) as url:
        yield url


@pytest.fixture
def api(service: Service) -> Iterator[httpx.Client]:
    """A client with a key that has all scopes."""
    with service.client() as client:
        yield client


@pytest.fixture
def job(api: httpx.Client) -> dict[str, Any]:
    """A new job with the three steps of the tutorial."""
    return new_job(api, tag="my_job", configuration=TUTORIAL)


@pytest.fixture
def link(api: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """A share link of the job."""
    return new_link(api, job)


@pytest.fixture
def reader() -> Iterator[httpx.Client]:
    """A client without cookies and without a key, which follows redirects."""
    with httpx.Client(follow_redirects=True, timeout=MAX_WAIT_SECONDS) as reader:
        yield reader


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for all tests of a module."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def own_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running backend on SQLite for the tests of one module."""
    with serve_new(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture
def other_api(service: Service) -> Iterator[httpx.Client]:
    """A client of another provider, with a key that has all scopes."""
    with service.client("other") as client:
        yield client
