"""Base path: a backend below a path of another site, behind a proxy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from trackerapi_backend.app import create_app
from trackerapi_backend.requests.call import Services
from trackerapi_backend.settings import SettingsError, settings_from

from backend.tests.support.images import png
from backend.tests.support.prefix_proxy import PrefixProxy, prefix_proxy
from backend.tests.support.service import (
    MAX_WAIT_SECONDS,
    Service,
    command_here,
    first_line,
    new_job,
    prepare,
    start_command,
    variables_of,
)
from backend.tests.support.streams import open_stream
from trackerapi import TrackerApi

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LINK = re.compile(r'(?:href|src)="([^"#?][^"]*)"')


@pytest.fixture(scope="module")
def proxied(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[PrefixProxy, Service]]:
    """A backend below `/tracker`, with the proxy in front of it."""
    folder = tmp_path_factory.mktemp("base_path")
    keys, mark = prepare(folder), folder / "mark.png"
    mark.write_bytes(png(2, 2))
    command = ("provider", "set", "--provider", "One", "--mark", str(mark))
    assert command_here(*command, environment=variables_of(folder)).returncode == 0
    with (
        prefix_proxy() as proxy,
        start_command(
            *("serve", "--port", "0", "--public-base-url", f"{proxy.base_url}/"),
            environment=variables_of(folder),
        ) as process,
    ):
        proxy.port = httpx.URL(first_line(process).split()[-1]).port or 0
        yield proxy, Service(base_url=proxy.base_url, keys=keys)


@pytest.fixture(params=[True, False], ids=["removed", "kept"])
def service(
    proxied: tuple[PrefixProxy, Service], request: pytest.FixtureRequest
) -> Service:
    """The backend, once without the path in its requests, once with the path."""
    proxy, service = proxied
    proxy.is_removed = request.param
    return service


@pytest.fixture
def browser() -> Iterator[httpx.Client]:
    """A client that keeps cookies."""
    with httpx.Client(timeout=MAX_WAIT_SECONDS) as client:
        yield client


def share_link(service: Service, **members: Any) -> str:
    """Return the address of a link to a new job."""
    with service.client() as api:
        path = f"/jobs/{new_job(api, **members)['id']}/share-links"
        return str(api.post(path, json={}).json()["url"])


def assert_linked_files_exist(browser: httpx.Client, page: httpx.Response) -> None:
    """Check that a page links to files, and that the browser can load each of them."""
    assert page.headers["content-type"].startswith("text/html")
    addresses = [each for each in _LINK.findall(page.text) if "://" not in each]
    assert addresses
    for address in addresses:
        file = browser.get(page.url.join(address))
        assert file.status_code == 200, address


def test_customer_opens_a_link_below_the_base_path(
    service: Service, browser: httpx.Client
) -> None:
    """Page, files, cookies, redirect, stream and badge of a link have the path."""
    url = share_link(service)
    assert url.startswith(f"{service.base_url}/s/")
    page = browser.get(url)
    assert page.status_code == 200
    assert url in page.text
    assert 'src="/tracker/app/static/mark.' in page.text
    assert_linked_files_exist(browser, page)
    paths = {cookie.path for cookie in browser.cookies.jar}
    assert len(paths) == 2
    assert all(path.startswith("/tracker/") for path in paths)

    again = browser.get(url)
    assert again.headers["location"].startswith("/tracker/app/jobs/")
    shown = browser.get(again.url.join(again.headers["location"]))
    assert shown.status_code == 200
    assert_linked_files_exist(browser, shown)

    for address in (url, str(shown.url)):
        with open_stream(browser, f"{address}/stream") as stream:
            data = stream.message().data
        assert 'src="/tracker/app/static/mark.' in data["parts"]["provider"]
        for link in data["links"].values():
            assert link.startswith("/tracker/app/static/")
            assert browser.get(shown.url.join(link)).status_code == 200
    assert browser.get(f"{url}/badge.svg").headers["content-type"] == "image/svg+xml"
    wrong = browser.get(f"{url}).")
    assert wrong.headers["location"] == url.removeprefix(
        service.base_url.removesuffix("/tracker")
    )


@pytest.mark.parametrize("path", ["/", "/docs", "/app", "/app/", "/s/none", "/app/no"])
def test_other_pages_link_below_the_base_path(
    service: Service, browser: httpx.Client, path: str
) -> None:
    """The start page, the reference and error pages find their files and links."""
    assert_linked_files_exist(browser, browser.get(service.base_url + path))


def test_library_reports_below_the_base_path(service: Service, tmp_path: Path) -> None:
    """`TRACKERAPI_BASE_URL` may have a path: reports, calls and streams arrive."""
    with service.client() as api:
        name = new_job(api)["provider_job_id"]
    outbox = str(tmp_path / "outbox")
    with TrackerApi(service.keys["all"], service.base_url, outbox=outbox) as tracker:
        tracker.attach(name).send_event(kind="start")
        assert tracker.flush(MAX_WAIT_SECONDS).delivered == 1
        assert tracker.get_job(name).status == "running"
        states = tracker.watch(name)
        assert next(states).status == "running"
        states.close()


@pytest.mark.parametrize(
    "path",
    ["/a b", "/a%20b", "//a", "/a//b", "/.", "/a/../b", "/ä", "/a;b", "/a?b", "/a#b"],
)
def test_unusual_base_path_is_an_error(path: str) -> None:
    """A path that browsers or proxies may write in another way is rejected."""
    environment = {"TRACKERAPI_BACKEND_DATABASE": "/data/backend.db"}
    url = {"public_base_url": f"https://example.org{path}"}
    with pytest.raises(SettingsError, match="--public-base-url must be"):
        settings_from(url, environment)


@pytest.mark.parametrize("path", ["/s", "/app", "/app/jobs", "/jobs", "/docs"])
def test_base_path_that_is_a_path_of_the_server_is_an_error(path: str) -> None:
    """A base path that is also a path of the server is rejected: it is ambiguous."""
    nothing: Any = None
    services = Services(
        store=nothing,
        writer=nothing,
        hub=nothing,
        authenticator=nothing,
        readiness=nothing,
        pepper=nothing,
        public_base_url=f"https://example.org{path}",
    )
    with pytest.raises(SettingsError, match=f"must not have the path {path}:"):
        create_app(services)
