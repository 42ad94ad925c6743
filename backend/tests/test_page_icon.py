"""Icon of the customer's page: name, content and caching."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from backend.tests.support.pages import new_link
from backend.tests.support.service import CUSTOMER, new_job, new_name, report
from backend.tests.support.streams import open_stream

if TYPE_CHECKING:
    import httpx

    from backend.tests.support.service import Service

# The texts and rules of this module do not depend on the engine.
pytestmark = pytest.mark.parametrize("service", ["sqlite"], indirect=True)

ADDRESS = re.compile('<link rel="icon" type="image/svg[+]xml" href="([^"]+)">')
SVG = "{http://www.w3.org/2000/svg}"


def icon_of(reader: httpx.Client, url: str) -> str:
    """Return the address of the icon of a page."""
    [address] = ADDRESS.findall(reader.get(url).text)
    return str(address)


@pytest.mark.parametrize(
    ("events", "name"),
    [
        ([], "ring-0"),
        ([{"kind": "progress", "tag": "load", "fraction": 0.99}], "ring-20"),
        ([{"kind": "step", "tag": "store"}], "ring-75"),
        ([{"kind": "error", "tag": "load", "retrying": True}], "ring-0"),
        ([{"kind": "start"}, {"kind": "interrupt"}], "paused"),
        ([{"kind": "error"}], "failed"),
        ([{"kind": "error", "message": "No."}], "failed"),
        ([{"kind": "cancel"}], "cancelled"),
        ([{"kind": "complete"}], "done"),
        ([{"kind": "skip", "tag": "load"}, {"kind": "complete"}], "done"),
        ([{"kind": "complete"}, {"kind": "error"}, {"kind": "start"}], "ring-100"),
    ],
)
def test_icon_shows_percentage_or_end(
    api: httpx.Client, reader: httpx.Client, events: list[dict[str, Any]], name: str
) -> None:
    """The icon is a ring that fills in steps of 5 %, or the shape of a pause or end."""
    job = new_job(api)
    for event in events:
        report(api, job, **event)
    url = new_link(api, job)["url"]

    address = icon_of(reader, url)
    icon = api.get(address)
    with open_stream(reader, f"{url}/stream") as stream:
        assert stream.message().data["links"]["icon"] == address

    assert f"/icon.{name}." in address
    assert icon.headers["content-type"] == "image/svg+xml"
    assert "immutable" in icon.headers["cache-control"]
    drawn = ElementTree.fromstring(icon.text)  # noqa: S314 -- our own file
    assert drawn.tag == f"{SVG}svg"
    shares = [each.get("stroke-dasharray") for each in drawn.iter(f"{SVG}circle")]
    of_ring = name.partition("-")[2]
    assert [share for share in shares if share] == [f"{of_ring} 100"] * bool(of_ring)


def test_page_without_percentage_has_the_icon_of_other_pages(
    service: Service, api: httpx.Client, reader: httpx.Client
) -> None:
    """A job without a configuration, the start page and `/docs` share an icon."""
    body = {"provider_job_id": new_name(), "customer_id": CUSTOMER, "tag": "untold"}
    job = api.post("/jobs", json=body).json()
    urls = [f"{service.base_url}{path}" for path in ("/", "/s/unknown", "/docs")]
    icons = {icon_of(reader, url) for url in (*urls, new_link(api, job)["url"])}
    assert len(icons) == 1
    assert "/icon.dot." in icons.pop()


def test_icon_has_the_accent_of_the_provider(
    api: httpx.Client, reader: httpx.Client
) -> None:
    """A ring has the colour of the provider; a failure keeps its own."""
    running, failed = new_job(api), new_job(api)
    report(api, running, kind="step", tag="load")
    report(api, failed, kind="error")
    assert api.patch("/provider-profile", json={"accent": "#00497A"}).is_success
    try:
        contents = [
            api.get(icon_of(reader, new_link(api, job)["url"])).text
            for job in (running, failed)
        ]
    finally:
        assert api.patch("/provider-profile", json={"accent": None}).is_success
    assert ["#00497a" in content for content in contents] == [True, False]


@pytest.mark.parametrize(
    "name",
    [
        *("ring-45.0000000000000000", "ring-3.{}", "ring.{}", "x.{}", "dot.zz.{}"),
        *("ring-999999999999.{}", "%22%3E.{}", "ring-45"),
    ],
)
def test_unknown_icon_is_not_cached(service: Service, name: str) -> None:
    """An address of another release, or a made-up one, gets an icon that is not cached.

    Nothing of the address is in the content.
    """
    with service.client(None) as reader:
        current = icon_of(reader, "/").split(".")[-2]
        icon = reader.get(f"/app/static/icon.{name.format(current)}.svg")
    assert (icon.status_code, icon.headers["cache-control"]) == (200, "no-store")
    ElementTree.fromstring(icon.text)  # noqa: S314 -- our own file
    assert "999" not in icon.text
