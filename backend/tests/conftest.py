"""Fixtures of one backend for all tests; each test uses jobs of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from backend.tests.support.service import TUTORIAL, new_job, serve_new

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from backend.tests.support.service import Service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A running backend."""
    with serve_new(tmp_path_factory.mktemp("service")) as service:
        yield service


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
def other_api(service: Service) -> Iterator[httpx.Client]:
    """A client of another provider, with a key that has all scopes."""
    with service.client("other") as client:
        yield client
