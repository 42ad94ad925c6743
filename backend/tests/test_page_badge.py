"""Badge of a share link: texts of each state, access, headers, odd names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from trackerapi_backend.pages.badge import MAX_AGE_SECONDS, MAX_LENGTH

from backend.tests.support.pages import new_link
from backend.tests.support.service import CUSTOMER, new_job, new_name, report

if TYPE_CHECKING:
    import httpx

# The texts and rules of this module do not depend on the engine.
pytestmark = pytest.mark.parametrize("service", ["sqlite"], indirect=True)

SVG = "{http://www.w3.org/2000/svg}"
OLD = "2026-01-05T12:00:00Z"
HEBREW = "בדיקת תהודה"


def badge_of(reader: httpx.Client, link: dict[str, Any], query: str = "") -> Any:
    """Return the parsed badge of a share link."""
    answer = reader.get(f"{link['url']}/badge.svg{query}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/svg+xml"
    return ElementTree.fromstring(answer.content)  # noqa: S314 -- our own file


def texts_of(badge: Any) -> list[str]:
    """Return the two texts on a badge."""
    return [each.text or "" for each in badge.iter(f"{SVG}text")]


def fill_share(badge: Any) -> float:
    """Return the filled share of the second half, in percent."""
    _clip, _name, track, fill = badge.iter(f"{SVG}rect")
    assert fill.get("x") == track.get("x")
    return 100 * float(fill.get("width")) / float(track.get("width"))


@pytest.mark.parametrize(
    ("events", "words", "share"),
    [
        ([], {"en": "0 %", "de": "0 %"}, 0),
        (
            [{"kind": "progress", "tag": "load", "completed": 412, "total": 1840}],
            {"en": "5 %", "de": "5 %"},
            5.6,
        ),
        (
            [{"kind": "step", "tag": "load", "occurred_at": OLD}],
            {"en": "25 %", "de": "25 %"},
            25,
        ),
        (
            [{"kind": "step", "tag": "load"}, {"kind": "interrupt"}],
            {"en": "Paused", "de": "Unterbrochen"},
            25,
        ),
        (
            [{"kind": "error", "message": "canary", "detail": "canary"}],
            {"en": "not finished", "de": "nicht beendet"},
            0,
        ),
        ([{"kind": "cancel"}], {"en": "Cancelled", "de": "Abgebrochen"}, 0),
        ([{"kind": "complete"}], {"en": "Ready", "de": "Fertig"}, 100),
        (
            [{"kind": "skip", "tag": "load"}, {"kind": "complete"}],
            {"en": "Ready, with 1 remark", "de": "Fertig, mit 1 Anmerkung"},
            100,
        ),
    ],
)
def test_badge_has_name_and_percentage_or_end(
    api: httpx.Client,
    reader: httpx.Client,
    events: list[dict[str, Any]],
    words: dict[str, str],
    share: float,
) -> None:
    """The badge shows the whole percentage, or the words of a pause or an end."""
    job = new_job(api, title="Brain MRI")
    for event in events:
        report(api, job, **event)
    link = new_link(api, job)
    for language, text in words.items():
        badge = badge_of(reader, link, f"?lang={language}")
        assert texts_of(badge) == ["Brain MRI", text]
        percent = {"en": "percent", "de": "Prozent"}[language]
        said = text.replace("%", percent)
        assert badge.find(f"{SVG}title").text == f"\u2068Brain MRI\u2069: {said}"
        assert fill_share(badge) == pytest.approx(share, abs=0.1)


def test_badge_without_percentage_says_what_happens(
    api: httpx.Client, reader: httpx.Client
) -> None:
    """Without a configuration, the badge has the headline of the page."""
    body = {"provider_job_id": new_name(), "customer_id": CUSTOMER, "tag": "untold"}
    job = api.post("/jobs", json=body).json()
    link = new_link(api, job)
    assert texts_of(badge_of(reader, link)) == ["untold", "Not started yet"]
    report(api, job, kind="start")
    assert texts_of(badge_of(reader, link)) == ["untold", "In progress"]


@pytest.mark.parametrize(
    ("title", "shown", "direction"),
    [
        ('<Brain> & "MRI"', '<Brain> & "MRI"', "ltr"),
        ("]]></text><script>", "]]></text><script>", "ltr"),
        ("two  spaces", "two spaces", "ltr"),
        ("odd \ufffe\uffff", "odd \ufffd\ufffd", "ltr"),
        (HEBREW, HEBREW, "rtl"),
        (f"7 {HEBREW}", f"7 {HEBREW}", "rtl"),
        ("脳のMRI検査", "脳のMRI検査", "ltr"),
        ("x" * 200, "x" * (MAX_LENGTH - 1) + "…", "ltr"),
        ("123", "123", "ltr"),
    ],
)
def test_badge_shows_any_name(
    api: httpx.Client, reader: httpx.Client, title: str, shown: str, direction: str
) -> None:
    """A name is escaped, in one line, of bounded length, and has its own direction."""
    badge = badge_of(reader, new_link(api, new_job(api, title=title)))
    name, _value = badge.iter(f"{SVG}text")
    assert (name.text, name.get("direction")) == (shown, direction)
    assert badge.get("aria-label") == f"\u2068{shown}\u2069: 0 percent"
    assert badge.get("height") == "20"
    assert float(name.get("textLength")) < float(badge.get("width"))


def test_badge_has_the_headers_of_the_page(
    api: httpx.Client, reader: httpx.Client, job: dict[str, Any], link: dict[str, Any]
) -> None:
    """A badge has the headers of a page without script, and is cached for seconds.

    A view of the badge sets no cookie and is no view of the page.
    """
    badge = reader.get(f"{link['url']}/badge.svg")
    page = reader.get(f"{link['url']}?refresh=off")
    for name in ("content-security-policy", "referrer-policy", "x-robots-tag"):
        assert badge.headers[name] == page.headers[name]
    assert badge.headers["x-content-type-options"] == "nosniff"
    assert badge.headers["cache-control"] == f"private, max-age={MAX_AGE_SECONDS}"
    assert badge.headers["vary"] == "Accept-Language"
    assert "set-cookie" not in badge.headers
    other = new_link(api, job)
    reader.get(f"{other['url']}/badge.svg")
    [newest, _] = api.get(f"/jobs/{job['id']}/share-links").json()["items"]
    assert (newest["id"], newest["last_opened_at"]) == (
        other["share_link"]["id"],
        None,
    )


def test_badge_of_an_ended_link_is_that_of_an_unknown_one(
    api: httpx.Client, reader: httpx.Client, link: dict[str, Any]
) -> None:
    """A revoked link and an unknown link get the same page with status 404."""
    address = f"{link['url']}/badge.svg"
    assert reader.get(address).status_code == 200
    api.post(f"/share-links/{link['share_link']['id']}/revoke")
    revoked, unknown = reader.get(address), reader.get(f"{link['url']}x/badge.svg")
    assert (revoked.status_code, unknown.status_code) == (404, 404)
    assert revoked.text == unknown.text
    assert revoked.headers["cache-control"] == "no-store"


def test_badge_has_the_accent_of_the_provider(
    api: httpx.Client, reader: httpx.Client, link: dict[str, Any]
) -> None:
    """The fill is the accent mixed with white; the usual colour without an accent."""
    usual = [each.get("fill") for each in badge_of(reader, link).iter(f"{SVG}rect")]
    assert api.patch("/provider-profile", json={"accent": "#000000"}).is_success
    try:
        own = [each.get("fill") for each in badge_of(reader, link).iter(f"{SVG}rect")]
    finally:
        assert api.patch("/provider-profile", json={"accent": None}).is_success
    assert own == [*usual[:-1], "#8c8c8c"]
