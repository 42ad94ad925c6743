"""Customer's page: profile of the provider, cards, time zone, language, accent."""

from __future__ import annotations

import re
from base64 import b64encode
from itertools import product
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from trackerapi_backend.instants import utc_now
from trackerapi_backend.jobs.colors import (
    DARK_CARD,
    LIGHT_CARD,
    MIN_CONTRAST,
    contrast,
)
from trackerapi_backend.pages.stylesheet import accent_rules

from backend.tests.support.images import chunk, pixels, png
from backend.tests.support.pages import new_link, page_text
from backend.tests.support.service import MAX_WAIT_SECONDS, new_job, report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from backend.tests.support.service import Service

PROFILE = {
    "display_name": "Example <Radiology>",
    "contact_text": "Front desk, until 18:00",
    "contact_phone": "+49 (30) 123-45",
    "contact_mail": "front.desk+mri@clinic.example",
    "time_zone": "Europe/Berlin",
}
TODAY = utc_now()
UNTIL = f"{TODAY.year + (TODAY.month > 5)}-06-01T09:30:00Z"
"""Next 1 June: a link may expire at most 366 days after its creation."""
PIXELS = pixels((b"\x00" + b"\xff\x00\x00\xff" * 8) * 8)
"""Chunk with the pixels of `png(8, 8)`."""


@pytest.fixture
def profile(api: httpx.Client) -> Iterator[dict[str, Any]]:
    """The profile of the provider; removed after the test."""
    answer = api.patch("/provider-profile", json=PROFILE)
    assert answer.status_code == 200, answer.text
    yield dict(answer.json())
    nothing = dict.fromkeys([*PROFILE, "language", "accent", "mark"])
    assert api.patch("/provider-profile", json=nothing).status_code == 200


def link_to(api: httpx.Client, job: dict[str, Any], **members: str) -> str:
    """Return the address of a new share link."""
    return str(new_link(api, job, **members)["url"])


def open_link(url: str, language: str = "") -> str:
    """Return the page of a link for a browser with an `Accept-Language`."""
    headers = {"Accept-Language": language}
    answer = httpx.get(url, headers=headers, timeout=MAX_WAIT_SECONDS)
    assert answer.status_code == 200
    return answer.text


def cards_text(page: str) -> str:
    """Return the text of the cards below the progress; 1 June is without a year."""
    text = page_text(re.findall("(?s)<aside[^>]*>(.*)</aside>", page)[0])
    return re.sub(r"(1 June|1\. Juni) \d{4}", r"\1", text)


CARDS = {
    "en": "You need not wait here You can close this page and open the link again."
    " Questions? Front desk, until 18:00 Please say MR-7."
    " Call +49 (30) 123-45 Write to front.desk+mri@clinic.example"
    " About this page Reference MR-7 Times Europe/Berlin (ZONE)"
    " Who can see this Anyone with the link, until 11:30 CEST on 1 June"
    " The link, to be copied Copy the link",
    "de": "Sie müssen hier nicht warten Sie können diese Seite schließen und den Link"
    " wieder öffnen. Fragen? Front desk, until 18:00 Bitte nennen Sie MR-7."
    " Anrufen: +49 (30) 123-45 Schreiben an front.desk+mri@clinic.example"
    " Über diese Seite Referenz MR-7 Zeiten Europe/Berlin (ZONE)"
    " Wer das sehen kann Alle mit dem Link, bis 11:30 MESZ am 1. Juni"
    " Der Link zum Kopieren Link kopieren",
}


@pytest.mark.parametrize("language", ["en", "de"])
def test_cards_have_exactly_their_texts(
    api: httpx.Client, profile: dict[str, Any], language: str
) -> None:
    """The cards show contact, reference, time zone and end of the link."""
    job = new_job(api, reference="MR-7")
    page = open_link(link_to(api, job, expires_at=UNTIL), language)
    text = re.sub(r"\((CES?T|MES?Z)\)", "(ZONE)", cards_text(page))
    assert text == CARDS[language]
    assert 'href="tel:+493012345"' in page
    mail = "mailto:front.desk%2Bmri@clinic.example?subject=MR-7"
    assert f'href="{mail}"' in page


def test_cards_without_profile_show_the_link_alone(api: httpx.Client) -> None:
    """Without a contact and a reference, there is no card for questions."""
    job = new_job(api)
    text = cards_text(open_link(link_to(api, job, expires_at=UNTIL)))
    assert text == (
        "You need not wait here You can close this page and open the link again."
        " About this page Times UTC Who can see this Anyone with the link, until"
        " 09:30 UTC on 1 June The link, to be copied Copy the link"
    )


@pytest.mark.parametrize(
    ("kind", "waits"),
    [
        *(("start", True), ("interrupt", True)),
        *(("complete", False), ("error", False), ("cancel", False)),
    ],
)
def test_card_about_waiting_is_shown_until_the_end(
    api: httpx.Client, job: dict[str, Any], kind: str, waits: bool
) -> None:
    """The card "You need not wait here" is shown until the job has ended."""
    report(api, job, kind=kind)
    page = open_link(link_to(api, job))
    assert ("You need not wait here" in page) is waits


def test_page_names_the_provider_for_customers(
    api: httpx.Client, profile: dict[str, Any], job: dict[str, Any]
) -> None:
    """The page shows the display name instead of the name, and escapes it."""
    report(api, job, kind="error")
    page = open_link(link_to(api, job))
    assert (
        '<p class="who" id="provider" dir="auto">Example &lt;Radiology&gt;</p>' in page
    )
    assert "The reason is with Example <Radiology>." in page_text(page)
    assert "One" not in re.findall(r"\w+", page_text(page))


def test_page_shows_its_link_for_copying(
    api: httpx.Client, job: dict[str, Any]
) -> None:
    """The page shows the whole link, also after the redirect that sets the cookie."""
    url = link_to(api, job)
    with httpx.Client(follow_redirects=True, timeout=MAX_WAIT_SECONDS) as reader:
        for _ in range(2):
            page = reader.get(url).text
            assert re.findall('readonly value="([^"]*)"', page) == [url]


@pytest.mark.parametrize(
    ("zone", "language", "shown"),
    [
        ("Europe/Berlin", "en", "13:00 CET on 5 January 2026"),
        ("Europe/Berlin", "de", "13:00 MEZ am 5. Januar 2026"),
        ("America/New_York", "de", "07:00 EST am 5. Januar 2026"),
        ("Asia/Kathmandu", "en", "17:45 UTC+05:45 on 5 January 2026"),
        ("America/Sao_Paulo", "en", "09:00 UTC-03 on 5 January 2026"),
        ("Pacific/Kiritimati", "en", "02:00 UTC+14 on 6 January 2026"),
        (None, "en", "12:00 UTC on 5 January 2026"),
    ],
)
def test_times_are_in_the_zone_of_the_provider(
    api: httpx.Client,
    profile: dict[str, Any],
    zone: str | None,
    language: str,
    shown: str,
) -> None:
    """All times of the page are in the provider's zone and name it."""
    assert api.patch("/provider-profile", json={"time_zone": zone}).is_success
    job = new_job(api)
    noon = "2026-01-05T12:00:00Z"
    report(api, job, kind="cancel", message="No.", occurred_at=noon)
    page = open_link(link_to(api, job, expires_at=UNTIL), language)
    without_year = shown.removesuffix(" 2026")
    assert without_year in page_text(page.partition("</section>")[0])
    name = shown.split(" ")[1]
    others = {"UTC", "CET", "MEZ", "EST"} - {name}
    times = " ".join(re.findall("(?s)<time.*?</time>", page))
    assert not others & set(re.findall(r"[A-Z]{3}(?![+-])", times)) or zone is None


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_times_at_the_ends_of_the_calendar_are_shown(
    api: httpx.Client, profile: dict[str, Any], zone: str
) -> None:
    """A zone that would lead out of the years 1 to 9999 falls back to UTC."""
    assert api.patch("/provider-profile", json={"time_zone": zone}).is_success
    job = new_job(api)
    first = "0001-01-01T00:00:00Z"
    report(api, job, kind="cancel", message="No.", occurred_at=first)
    assert "No." in open_link(link_to(api, job))


@pytest.mark.parametrize(
    ("of_provider", "of_link", "accepted", "chosen", "shown"),
    [
        ("de", None, "", "", "de"),
        ("de", None, "fr,*", "", "de"),
        ("de", None, "en", "", "en"),
        ("en", "de", "", "", "de"),
        ("en", "de", "en", "", "de"),
        ("de", "de", "de", "en", "en"),
        (None, None, "fr", "", "en"),
        (None, "en", "de", "", "en"),
    ],
)
def test_language_of_the_page_comes_from_the_first_source(
    api: httpx.Client,
    profile: dict[str, Any],
    of_provider: str | None,
    of_link: str | None,
    accepted: str,
    chosen: str,
    shown: str,
) -> None:
    """The order is: choice of the reader, link, browser, provider, then English."""
    assert api.patch("/provider-profile", json={"language": of_provider}).is_success
    members = {} if of_link is None else {"language": of_link}
    url = link_to(api, new_job(api), **members)
    page = open_link(f"{url}?lang={chosen}", accepted)
    assert f'<html lang="{shown}">' in page


def test_accent_has_a_style_sheet_of_its_own(
    service: Service, api: httpx.Client, profile: dict[str, Any], job: dict[str, Any]
) -> None:
    """A style sheet with the accent has light and dark colours, and is cached."""
    usual = re.findall(r'"(/app/static/[^"]*css)"', open_link(link_to(api, job)))
    changed = api.patch("/provider-profile", json={"accent": "#9C3018"}).json()
    [address] = re.findall(r'"(/app/static/[^"]*css)"', open_link(link_to(api, job)))
    assert [address] != usual
    style = httpx.get(service.base_url + address, timeout=MAX_WAIT_SECONDS)
    common = httpx.get(service.base_url + usual[0], timeout=MAX_WAIT_SECONDS).text
    assert "immutable" in style.headers["cache-control"]
    assert style.text == common + accent_rules("#9c3018")
    assert f"--accent: {changed['accent_dark']};" in style.text
    other = address.replace("9c3018", "0c6a60")
    kept = httpx.get(service.base_url + other, timeout=MAX_WAIT_SECONDS)
    assert kept.headers["cache-control"] == "no-store"


def test_mark_is_beside_the_name(
    service: Service, api: httpx.Client, profile: dict[str, Any], job: dict[str, Any]
) -> None:
    """The page has the mark; its address changes with the image."""
    addresses = []
    for image in (png(8, 8), png(9, 9)):
        change = {"mark": b64encode(image).decode()}
        assert api.patch("/provider-profile", json=change).json()["has_mark"] is True
        page = open_link(link_to(api, job))
        [address] = re.findall('<img class="mark" src="([^"]*)" alt=""', page)
        shown = httpx.get(service.base_url + address, timeout=MAX_WAIT_SECONDS)
        assert shown.headers["content-type"] == "image/png"
        assert "immutable" in shown.headers["cache-control"]
        assert shown.content == image
        addresses.append(address)
    assert len(set(addresses)) == 2
    gone = httpx.get(service.base_url + addresses[0], timeout=MAX_WAIT_SECONDS)
    assert gone.status_code == 404
    assert api.patch("/provider-profile", json={"mark": None}).is_success
    assert "<img" not in open_link(link_to(api, job))


@pytest.mark.parametrize(
    "image",
    [
        png(8, 8, chunk(b"eXIf", b"canary")),
        png(8, 8, chunk(b"PLTE", b"canary" * 500)),
        png(8, 8, chunk(b"tRNS", b"canary")),
        png(8, 8).replace(
            PIXELS, chunk(b"IDAT", PIXELS[8:-4] + b"canary") + chunk(b"IDAT", b"canary")
        ),
        png(8, 8) + b"canary",
    ],
    ids=["EXIF", "palette", "transparency", "data after pixels", "data after end"],
)
def test_mark_is_shown_without_parts_that_change_no_pixel(
    service: Service,
    api: httpx.Client,
    profile: dict[str, Any],
    job: dict[str, Any],
    image: bytes,
) -> None:
    """Bytes of the file that are no pixels do not reach the customer."""
    change = {"mark": b64encode(image).decode()}
    assert api.patch("/provider-profile", json=change).is_success
    [address] = re.findall(
        '<img class="mark" src="([^"]*)"', open_link(link_to(api, job))
    )
    shown = httpx.get(service.base_url + address, timeout=MAX_WAIT_SECONDS)
    assert shown.content == png(8, 8)
    assert api.patch("/provider-profile", json={"mark": None}).is_success


def test_texts_are_readable_with_each_accent() -> None:
    """For each accent, links and texts have enough contrast with each background.

    The filled part of the bar has a contrast of 3 to 1 with the empty part.
    """
    for channels in product(range(0, 256, 17), repeat=3):
        accent = "#" + bytes(channels).hex()
        if contrast(accent, LIGHT_CARD) < MIN_CONTRAST:
            continue
        light, dark = _variables(accent)
        for colors, backgrounds, track, inks in (
            (light, (LIGHT_CARD, "#f2f5f4"), "#e0e8e5", ("#14201d", "#4e5f5a")),
            (dark, (DARK_CARD, "#0d1312"), "#2b3835", ("#e9f0ee", "#a4b4af")),
        ):
            wash = colors["accent-wash"]
            for below in (*backgrounds, wash):
                assert contrast(colors["link"], below) >= MIN_CONTRAST, accent
            assert all(contrast(ink, wash) >= MIN_CONTRAST for ink in inks), accent
            assert contrast(colors["accent"], track) >= 3, accent
        assert light["accent"] == accent


def _variables(accent: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the colours of the light and of the dark page by name."""
    light, dark = accent_rules(accent).split("prefers-color-scheme: dark")
    found = [re.findall("--([a-z-]+): (#[0-9a-f]+);", each) for each in (light, dark)]
    return dict(found[0]), dict(found[1])
