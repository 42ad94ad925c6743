"""Each state of the customer's page in a browser: accessibility and screenshots.

The screenshots are in `build/pages/`; those in `docs/images/` are copies of them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from backend.tests.support.browser import PHONE, open_tab
from backend.tests.support.pages import new_link
from backend.tests.support.service import new_job, new_name, report
from scripts.project import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from playwright.sync_api import Browser, Page

    from backend.tests.support.service import Service

FOLDER = ROOT / "build/pages"
PROFILE = {
    "display_name": "Northwind Imaging",
    "contact_text": "Ask the reading room.",
    "contact_phone": "+49 30 123 45 67",
    "contact_mail": "rooms@northwind.example",
}
NAMES = {
    "receive": "Receive images",
    "prepare": "Prepare images",
    "organs": "Find organs and vessels",
    "measure": "Measure volumes",
    "report": "Write the report",
}
BEGUN = [
    {"kind": "step", "tag": "receive", "message": "All 1,840 images have arrived."},
    {"kind": "step", "tag": "prepare"},
]
RUNNING = [
    *BEGUN,
    {"kind": "progress", "tag": "organs", "completed": 812, "total": 1840},
]
FAILED = {"kind": "error", "message": "12 images are damaged."}
STATES: dict[str, list[dict[str, Any]]] = {
    "pending": [],
    "running": RUNNING,
    "total-unknown": [*BEGUN, {"kind": "progress", "tag": "organs", "completed": 812}],
    "between-steps": BEGUN,
    "retrying": [*BEGUN, {"kind": "error", "tag": "organs", "retrying": True}],
    "quiet": [{"age_seconds": 480, **each} for each in RUNNING],
    "silent": [{"age_seconds": 7200, **each} for each in RUNNING],
    "reopened": [*RUNNING, {"kind": "interrupt"}, RUNNING[-1]],
    "interrupted": [*RUNNING, {"kind": "interrupt"}],
    "failed": [*RUNNING, FAILED],
    "failed-without-message": [*RUNNING, {"kind": "error"}],
    "cancelled": [*RUNNING, {"kind": "cancel"}],
    "finishing": [{"kind": "step", "tag": tag} for tag in NAMES],
    "succeeded": [
        *({"kind": "step", "tag": tag} for tag in NAMES),
        {"kind": "complete", "message": "The report is in your inbox."},
    ],
    "with-remarks": [
        *({"kind": "step", "tag": tag} for tag in list(NAMES)[:-1]),
        {"kind": "skip", "tag": "report"},
        {"kind": "complete"},
    ],
}
COLOUR_RULES = ["color-contrast", "link-in-text-block"]
"""Rules of axe-core whose result depends on the colour scheme."""


@pytest.fixture(scope="module")
def service(own_service: Service) -> Service:
    """A backend for all tests of this module, with a profile of the provider."""
    with own_service.client() as api:
        assert api.patch("/provider-profile", json=PROFILE).status_code == 200
    return own_service


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Page]:
    """A tab on a phone; not all of its pages have status 200."""
    phone = {"width": 390, "height": 780}
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open_tab(browser, is_connected=False, viewport=phone) as page:
        yield page


def imaging_job(api: httpx.Client, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Create a job and report events 7 minutes apart, each `age_seconds` late."""
    tag = new_name()
    steps = [
        {"tag": step, "name": name, "points": 1, "units": "images"}
        for step, name in NAMES.items()
    ]
    job = new_job(
        api,
        tag=tag,
        title="Brain MRI of 3 November",
        reference="MR-2041",
        finish="explicit",
        configuration={
            "tag": tag,
            "name": "Imaging study",
            "step_configurations": steps,
        },
    )
    for later, line in zip(reversed(range(len(lines))), lines, strict=True):
        event = dict(line)
        age = timedelta(minutes=7 * later, seconds=event.pop("age_seconds", 0))
        at = datetime.now(UTC) - age
        report(api, job, **event, occurred_at=at.isoformat())
    return job


def look_at(tab: Page, name: str, *, is_whole: bool = True) -> None:
    """Check a page with axe-core and make screenshots, in light and dark colours.

    The screenshot `first` has the part of the page that a phone shows at first. The
    others have the whole page, unless `is_whole` is False for a very long page.
    """
    whole: dict[str, Any] = {"full_page": is_whole, "caret": "initial"}
    tab.emulate_media(color_scheme="light", reduced_motion="reduce")
    found = Axe().run(tab).response["violations"]
    tab.screenshot(path=FOLDER / f"{name}-first.png", caret="initial")
    tab.screenshot(path=FOLDER / f"{name}-light.png", **whole)
    tab.emulate_media(color_scheme="dark")
    found += tab.evaluate("rules => axe.run({ runOnly: rules })", COLOUR_RULES)[
        "violations"
    ]
    tab.screenshot(path=FOLDER / f"{name}-dark.png", **whole)
    assert found == []


@pytest.mark.parametrize("state", STATES)
def test_state_is_accessible(tab: Page, api: httpx.Client, state: str) -> None:
    """axe-core finds no violation in any state, light and dark."""
    tab.goto(new_link(api, imaging_job(api, STATES[state]))["url"])
    # A quiet job is a running job without recent news.
    shown = {"quiet": "running"}.get(state, state.replace("-", "_"))
    expect(tab.locator(".answer")).to_have_class(f"card answer is-{shown}")
    look_at(tab, state)


def test_page_without_connection_is_accessible(tab: Page, api: httpx.Client) -> None:
    """The line of a lost connection has no violation either."""
    tab.goto(new_link(api, imaging_job(api, RUNNING))["url"])
    tab.context.set_offline(True)
    try:
        expect(tab.locator("#connection")).to_be_visible()
        look_at(tab, "offline")
    finally:
        tab.context.set_offline(False)


@pytest.mark.parametrize(
    ("path", "name"), [("/", "start"), ("/s/x", "invalid-link"), ("/docs", "reference")]
)
def test_other_page_is_accessible(
    tab: Page, service: Service, path: str, name: str
) -> None:
    """Start page, page of an invalid link and reference have no violation."""
    tab.goto(service.base_url + path)
    look_at(tab, name, is_whole=path != "/docs")


@pytest.mark.parametrize("width", [PHONE["width"], 768, 1280])
def test_running_state_is_accessible_at_each_width(
    tab: Page, api: httpx.Client, width: int
) -> None:
    """A narrower and a wider window have no violation."""
    tab.set_viewport_size({"width": width, "height": 800})
    tab.goto(new_link(api, imaging_job(api, RUNNING))["url"])
    look_at(tab, f"running-{width}")
