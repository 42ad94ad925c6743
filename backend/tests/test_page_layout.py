"""Layout of the customer's page in a browser: widths, zoom, colours, scripts, keys."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from backend.tests.support.browser import PHONE, open_tab
from backend.tests.support.images import png
from backend.tests.support.pages import new_link
from backend.tests.support.service import new_job, new_name, report

if TYPE_CHECKING:
    import httpx
    from playwright.sync_api import Browser, Page

    from backend.tests.support.service import Service

TITLES = {"en": "Brain MRI of 3 November", "de": "Kopf-MRT vom 3. November"}
STEPS = {"en": "Find organs and vessels", "de": "Organe und Gefäße finden"}
LONG = "Magnetresonanztomographieuntersuchung des Kopfes ohne Kontrastmittel"
HEBREW = "בדיקת תהודה מגנטית של הראש"
FIRST_SCREEN = {
    "running": (".what", ".percent", ".line", ".bar", ".when", ".live"),
    "silent": (".what", ".percent", ".line", ".bar", ".of-silent"),
}
# Pixels of a PNG as [red, green, blue], at shares of its width and half of its height.
PIXELS = """
async ([image, shares]) => {
  const bytes = Uint8Array.from(atob(image), (each) => each.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes]));
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return shares.map((share) => Array.from(
    context.getImageData(bitmap.width * share, bitmap.height / 2, 1, 1).data
  ).slice(0, 3));
}
"""


@pytest.fixture(scope="module")
def service(own_service: Service) -> Service:
    """A backend for all tests of this module; its provider has a whole profile."""
    profile = {
        "display_name": "Northwind Imaging",
        "contact_phone": "+49 30 123 45 67",
        "contact_mail": "a@b.example",
        "mark": base64.b64encode(png(64, 32)).decode(),
    }
    with own_service.client() as api:
        assert api.patch("/provider-profile", json=profile).status_code == 200
    return own_service


def step_job(api: httpx.Client, names: list[str], **members: Any) -> dict[str, Any]:
    """Create a job with a step for each name, with the tags s1, s2, ..."""
    steps = [
        {"tag": f"s{n}", "name": name, "points": 1, "units": "images"}
        for n, name in enumerate(names, start=1)
    ]
    tag = new_name()
    document = {"tag": tag, "name": "Imaging", "step_configurations": steps}
    return new_job(api, tag=tag, configuration=document, **members)


def half_done(api: httpx.Client, **members: Any) -> dict[str, Any]:
    """Create a job of two steps that is half done."""
    job = step_job(api, ["Find organs", "Write the report"], **members)
    report(api, job, kind="step", tag="s1", message="The first half is done.")
    report(api, job, kind="start", tag="s2")
    return job


def overflow(page: Page) -> int:
    """Return by how many pixels the page is wider than the window."""
    width = (
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return int(page.evaluate(width))


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("state", ["running", "silent"])
def test_first_screen_of_a_phone_answers_the_questions(
    browser: Browser, api: httpx.Client, language: str, state: str
) -> None:
    """The head of the page is in the window of a phone, 320 x 568, without scrolling.

    For a silent job, one sentence covers the newest report and the time left.
    """
    names = [STEPS[language], "Store"]
    job = step_job(api, names, title=TITLES[language], reference="MR-2041")
    at = {"occurred_at": "2026-01-05T12:00:00Z"} if state == "silent" else {}
    report(api, job, kind="progress", tag="s1", completed=412, total=1840, **at)
    with open_tab(browser, locale=language) as page:
        page.goto(new_link(api, job)["url"])
        for place in FIRST_SCREEN[state]:
            box = page.locator(place).first.bounding_box()
            assert box is not None, place
            assert box["y"] + box["height"] <= PHONE["height"], place
        assert overflow(page) == 0


@pytest.mark.parametrize(
    ("width", "height", "font_percent"),
    [(320, 568, 100), (320, 568, 200), (640, 400, 100), (1280, 800, 200)],
)
def test_zoom_keeps_everything_in_the_window(
    browser: Browser, api: httpx.Client, width: int, height: int, font_percent: int
) -> None:
    """At 200 %, of the page or of its font, nothing is cut off or needs scrolling."""
    job = step_job(api, [LONG, *(f"Step {n}" for n in range(60))], title=LONG)
    count = {"completed": 1_234_567, "total": 2_000_000}
    report(api, job, kind="progress", tag="s1", **count, message="https://" + "x" * 200)
    with open_tab(browser, viewport={"width": width, "height": height}) as page:
        page.goto(new_link(api, job)["url"])
        page.locator("summary").click()
        page.evaluate(
            "percent => document.documentElement.style.fontSize = `${percent}%`",
            font_percent,
        )
        expect(page.locator(".line")).to_contain_text("1,234,567 of 2,000,000 images")
        assert overflow(page) == 0
        expect(page.locator(".way .name")).to_have_count(61)
        cut_off = """
        [...document.querySelectorAll("h1, p, dd, dt, summary, a")].filter(
          (each) => each.getClientRects().length
            && each.scrollWidth > each.clientWidth + 1
            && getComputedStyle(each).display !== "inline"
        ).map((each) => each.outerHTML)
        """
        assert page.evaluate(cut_off) == []


def test_scripts_off_show_the_same_page(browser: Browser, api: httpx.Client) -> None:
    """Without scripts, times name their zone, and the page refreshes itself."""
    job = half_done(api)
    with open_tab(browser, java_script_enabled=False) as page:
        page.goto(new_link(api, job)["url"])
        expect(page.get_by_role("status")).to_have_text("Write the report")
        expect(page.locator(".is-ring .at")).to_have_text(
            re.compile(r"^since \d\d:\d\d UTC$")
        )
        expect(page.locator("#link")).to_be_visible()
        expect(page.locator("#copy")).to_be_hidden()
        refresh = page.locator("meta[http-equiv=refresh]")
        expect(refresh).to_have_attribute("content", "30")
        report(api, job, kind="complete")
        page.get_by_role("link", name="Load the newest").click()
        expect(page.get_by_role("status")).to_have_text("Ready")
        expect(refresh).to_have_count(0)


def test_scripts_on_show_times_in_the_zone_of_the_reader(
    browser: Browser, api: httpx.Client
) -> None:
    """With scripts, no refresh is left, and all times are in the zone of the reader."""
    job = half_done(api)
    at = "2026-01-05T23:00:00Z"
    report(api, job, kind="info", message="An old message.", occurred_at=at)
    with open_tab(browser, timezone_id="Asia/Kolkata") as page:
        page.goto(new_link(api, job)["url"])
        expect(page.locator(".news time").last).to_have_text("04:30 on 6 January")
        expect(page.locator("#zone")).to_have_text("Asia/Calcutta (GMT+5:30)")
        expect(page.locator("#facts")).to_contain_text("GMT+5:30 on")
        assert "UTC" not in page.locator("body").inner_text()
        expect(page.locator("meta[http-equiv=refresh]")).to_have_count(0)
        expect(page.get_by_text("Load the newest")).to_be_hidden()


def test_keyboard_reaches_everything(browser: Browser, api: httpx.Client) -> None:
    """Tab reaches each link, summary and button in order, with a visible focus."""
    job = step_job(api, [f"Step {n}" for n in range(60)])
    report(api, job, kind="start", tag="s1")
    with open_tab(browser) as page:
        page.goto(new_link(api, job)["url"])
        wanted = page.locator("a, summary, input, button").evaluate_all(
            """all => all.filter((each) => each.checkVisibility())
                 .map((each) => each.outerHTML)"""
        )
        reached = []
        for _ in wanted:
            page.keyboard.press("Tab")
            html, outline = page.evaluate(
                """() => {
                  const focused = document.activeElement;
                  const { outlineStyle } = getComputedStyle(focused);
                  return [focused.outerHTML, outlineStyle];
                }"""
            )
            reached.append(html)
            assert outline == "solid", html
        assert reached == wanted
        page.locator("summary").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_text("Step 59")).to_be_visible()


@pytest.mark.parametrize(
    "title", ["Brain MRI", HEBREW, "脳のMRI検査", "mmmmmm WWWWWW", LONG, "iiiiillll"]
)
def test_texts_fit_into_the_badge(
    browser: Browser, api: httpx.Client, title: str
) -> None:
    """Both texts of a badge are inside of their halves."""
    url = new_link(api, half_done(api, title=title))["url"]
    # For a bare image, the browser asks for `/favicon.ico`.
    with open_tab(browser, is_connected=False) as page:
        page.goto(f"{url}/badge.svg")
        boxes = page.evaluate(
            """() => [...document.querySelectorAll("text, g rect")].map((each) => {
              const { left, right } = each.getBoundingClientRect();
              return [left, right];
            })"""
        )
        left_half, right_half, _fill, name, value = boxes
        for half, text in ((left_half, name), (right_half, value)):
            assert half[0] + 3 <= text[0] < text[1] <= half[1] - 3


# Clipboards of a page with TLS, without TLS, and of a browser that refuses to copy.
CLIPBOARDS = {
    "clipboard": "",
    "command": "Object.defineProperty(navigator, 'clipboard', {value: undefined})",
    "neither": "Object.defineProperty(navigator, 'clipboard', {value: undefined});"
    "document.execCommand = () => false",
}


@pytest.mark.parametrize(
    ("clipboard", "language", "text"),
    [
        ("clipboard", "en", "The link is copied."),
        ("command", "de", "Der Link ist kopiert."),
        ("neither", "en", "The link is selected. Please copy it."),
        ("neither", "de", "Der Link ist markiert. Bitte kopieren Sie ihn."),
    ],
)
def test_link_is_copied_by_keyboard(
    browser: Browser, api: httpx.Client, clipboard: str, language: str, text: str
) -> None:
    """A button copies the link, and a live region says so, each time.

    Where a browser can copy nothing, the field with the link is selected.
    """
    url = new_link(api, half_done(api))["url"]
    permissions = ["clipboard-read", "clipboard-write"]
    with open_tab(browser, locale=language, permissions=permissions) as page:
        page.add_init_script(
            "const real = navigator.clipboard;"
            f"window.pasted = () => real.readText(); {CLIPBOARDS[clipboard]}"
        )
        page.goto(url)
        field, button = page.locator("#link"), page.locator("#copy")
        expect(field).to_be_hidden()
        said = page.locator("[aria-live=polite]")
        expect(said).to_have_text("")
        for _ in range(2):
            button.focus()
            page.keyboard.press("Enter")
            expect(said).to_have_text(text)
        if clipboard == "neither":
            expect(field).to_be_focused()
            assert page.evaluate("getSelection().toString()") == url
        else:
            expect(button).to_be_focused()
            expect(field).to_be_hidden()
            assert page.evaluate("pasted()") == url


@pytest.mark.parametrize(
    "media",
    [
        {"media": "screen", "color_scheme": "light"},
        {"media": "screen", "color_scheme": "dark"},
        {"media": "screen", "forced_colors": "active"},
        {"media": "print"},
        {"media": "print", "color_scheme": "dark"},
    ],
    ids=lambda media: "-".join(media.values()),
)
def test_bar_is_drawn(
    browser: Browser, api: httpx.Client, media: dict[str, Any]
) -> None:
    """Of a half-done job, the first half of the bar differs from the second."""
    job = half_done(api)
    with open_tab(browser) as page:
        page.emulate_media(**media)
        page.goto(new_link(api, job)["url"])
        image = base64.b64encode(
            page.locator(".bar").screenshot(caret="initial")
        ).decode()
        page.goto("about:blank")
        done, rest = page.evaluate(PIXELS, [image, [0.25, 0.75]])
        assert sum(abs(a - b) for a, b in zip(done, rest, strict=True)) > 150


def test_dark_page_is_dark(browser: Browser, api: httpx.Client) -> None:
    """The colours follow the setting of the browser."""
    url = new_link(api, half_done(api))["url"]
    with open_tab(browser, color_scheme="dark") as page:
        page.goto(url)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == "rgb(13, 19, 18)"


def test_names_from_right_to_left(browser: Browser, api: httpx.Client) -> None:
    """Names in Hebrew run from right to left, and the sentences around them do not."""
    job = step_job(api, [HEBREW, "Write the report"], title=HEBREW)
    report(api, job, kind="progress", tag="s1", completed=1, total=4, message=HEBREW)
    with open_tab(browser) as page:
        page.goto(new_link(api, job)["url"])
        for place in ("h1", ".what .said", ".way .name >> nth=0", ".news .said"):
            name = page.locator(place)
            expect(name).to_contain_text(HEBREW)
            expect(name).to_have_css("direction", "rtl")
        for place in (".what", ".line", ".way .name >> nth=1"):
            expect(page.locator(place)).to_have_css("direction", "ltr")
        assert overflow(page) == 0
