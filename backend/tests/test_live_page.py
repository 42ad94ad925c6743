"""Customer's page in a browser while its job goes on: changes, lost connections."""

from __future__ import annotations

import os
import re
import signal
from base64 import b64encode
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from backend.tests.support.browser import is_marked, mark, open_tab
from backend.tests.support.images import png
from backend.tests.support.pages import new_link
from backend.tests.support.service import (
    new_job,
    new_name,
    prepare,
    report,
    serve_existing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx
    from playwright.sync_api import Browser, Page, Route

    from backend.tests.support.service import Service

# A browser without streams, and the times of its requests by scripts.
FETCHES = """
delete window.EventSource;
window.fetches = [];
window.answers = 0;
const real = window.fetch;
window.fetch = async (...options) => {
  window.fetches.push(Date.now());
  const answer = await real(...options);
  const text = await answer.text();
  // The page handles the answer before this runs.
  setTimeout(() => { window.answers += 1; });
  return new Response(text, answer);
};
"""


@pytest.fixture(scope="module")
def service(own_service: Service) -> Service:
    """A backend for all tests of this module."""
    return own_service


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """An empty tab on a phone."""
    with open_tab(browser) as page:
        yield page


def many_steps(api: httpx.Client, count: int = 60) -> dict[str, Any]:
    """Create a job with many steps, with the tags s1, s2, ..."""
    steps = [
        {"tag": f"s{n}", "name": f"Step number {n}", "points": 1}
        for n in range(1, count + 1)
    ]
    tag = new_name()
    document = {"tag": tag, "name": "Import", "step_configurations": steps}
    return new_job(api, tag=tag, configuration=document)


def position(tab: Page) -> float:
    """Return the distance of a message from the upper end of the window."""
    box = tab.get_by_text("Message 2").bounding_box()
    assert box is not None
    return box["y"]


def test_page_changes_in_place(tab: Page, api: httpx.Client) -> None:
    """A report changes the page: focus, selection, position and open details stay."""
    job = many_steps(api)
    for n in range(1, 5):
        report(api, job, kind="step", tag=f"s{n}", message=f"Message {n}")
    report(api, job, kind="progress", tag="s5", completed=1, total=4)
    tab.goto(new_link(api, job)["url"])
    mark(tab)
    summary = tab.locator("summary", has_text="more")
    summary.click()
    expect(tab.get_by_text("Step number 40")).to_be_visible()
    tab.get_by_text("Message 2").evaluate(
        "node => { getSelection().selectAllChildren(node); node.scrollIntoView() }"
    )
    seen = position(tab)
    scripted = "[document.activeElement.textContent, getSelection().toString()]"
    before = tab.evaluate(scripted)
    assert before == ["52 more", "“Message 2”"]

    report(api, job, kind="step", tag="s5", message="Message 5")
    report(api, job, kind="progress", tag="s6", completed=1, total=4)

    expect(tab).to_have_title("8 % · Import")
    expect(tab.locator(".what")).to_have_text("Step number 6")
    expect(tab.locator(".news li").first).to_contain_text("Message 5")
    assert tab.evaluate(scripted) == ["51 more", "“Message 2”"]
    assert position(tab) == pytest.approx(seen, abs=2)
    expect(tab.get_by_text("Step number 40")).to_be_visible()
    expect(tab.get_by_text("Step number 2", exact=True)).to_be_hidden()
    assert is_marked(tab)


def test_page_goes_on_after_a_restart(browser: Browser, tmp_path: Path) -> None:
    """Without a backend, one line of the page changes until the backend is back."""
    keys = prepare(tmp_path)
    with ExitStack() as stack:
        tab = stack.enter_context(open_tab(browser, is_connected=False))
        with serve_existing(tmp_path, keys) as (_, service), service.client() as api:
            job = many_steps(api)
            report(api, job, kind="progress", tag="s1", completed=1, total=4)
            url = new_link(api, job)["url"]
            tab.goto(url)
            mark(tab)
            tab.locator("summary").focus()
            expect(tab.locator(".live")).to_contain_text("Live Reported")
            steps = tab.locator(".way").all_inner_texts()
            place = tab.evaluate("scrollY")
        lost = tab.locator("#connection")
        expect(lost).to_contain_text("Waiting for news This page has no connection.")
        expect(lost).to_contain_text("This is how it stood at ")
        expect(tab.locator(".live.is-live")).to_be_hidden()
        assert tab.locator(".way").all_inner_texts() == steps
        tab.wait_for_timeout(10_000)

        port = urlsplit(url).port or 0
        _, service = stack.enter_context(serve_existing(tmp_path, keys, port=port))
        expect(lost).to_have_count(0)
        expect(tab.locator(".live")).to_contain_text("Live Reported")
        api = stack.enter_context(service.client())
        report(api, job, kind="progress", tag="s1", completed=3, total=4)
        expect(tab.locator(".line")).to_contain_text("3 of 4")
        assert tab.evaluate("[scrollY, document.activeElement.localName]") == [
            place,
            "summary",
        ]
        assert is_marked(tab)


def test_interrupted_job_goes_on_and_ends(tab: Page, api: httpx.Client) -> None:
    """The page shows an interruption, the next run and the end without a reload."""
    job = new_job(api)
    report(api, job, kind="progress", tag="load", completed=1, total=4)
    tab.goto(new_link(api, job)["url"])
    mark(tab)
    expect(tab.get_by_text("You need not wait here")).to_be_visible()
    headline = tab.get_by_role("status")
    expect(headline).to_have_text("Load")
    expect_icon(tab, "ring-5")

    report(api, job, kind="interrupt")
    expect(headline).to_have_text("Paused")
    expect_icon(tab, "paused")
    report(api, job, kind="progress", tag="load", completed=2, total=4)
    expect(headline).to_have_text("Load")
    expect(tab.locator(".of-reopened")).to_contain_text("Going on again since")
    expect_icon(tab, "ring-10")
    report(api, job, kind="complete")
    expect(headline).to_have_text("Ready")
    expect(tab).to_have_title("100 % · Import")
    expect(tab.locator(".live")).to_have_count(0)
    expect_icon(tab, "done")
    expect(tab.get_by_text("You need not wait here")).to_have_count(0)
    assert is_marked(tab)


def test_profile_changes_in_place(tab: Page, api: httpx.Client) -> None:
    """Name, mark, contact and colour of the provider change on an open page."""
    job = new_job(api)
    tab.goto(new_link(api, job)["url"])
    mark(tab)
    style = tab.locator('link[rel="stylesheet"]')
    usual = style.get_attribute("href")
    profile = {
        "display_name": "Northwind",
        "contact_text": "Ask.",
        "accent": "#9c3018",
        "mark": b64encode(png(8, 8)).decode(),
    }
    try:
        assert api.patch("/provider-profile", json=profile).is_success
        expect(tab.locator(".who")).to_have_text("Northwind")
        is_drawn = "image => image.decode().then(() => image.naturalWidth)"
        assert tab.locator(".who img").evaluate(is_drawn) == 8
        expect(tab.get_by_text("Ask.")).to_be_visible()
        expect(style).not_to_have_attribute("href", usual or "")
        expect(tab.locator(".bar .fill")).to_have_css("fill", "rgb(156, 48, 24)")
        expect(tab.locator("#copy")).to_be_visible()
        assert is_marked(tab)
    finally:
        assert api.patch("/provider-profile", json=dict.fromkeys(profile)).is_success


def expect_icon(tab: Page, name: str) -> None:
    """Wait until a tab has an icon; check that its policy lets the icon be drawn."""
    icon = tab.locator('link[rel="icon"]')
    expect(icon).to_have_attribute(
        "href", re.compile(rf"/icon\.{name}\.[0-9a-f]+\.svg")
    )
    draw = """async (link) => {
      const image = new Image();
      image.src = link.href;
      await image.decode();
      return image.naturalWidth > 0;
    }"""
    assert icon.evaluate(draw)


def test_revoked_link_shows_nothing_any_more(
    browser: Browser, api: httpx.Client
) -> None:
    """The page of a link that is revoked becomes the page of an ended link, once."""
    job = new_job(api)
    link = new_link(api, job)
    with open_tab(browser, is_connected=False) as tab:
        tab.goto(link["url"])
        expect(tab.get_by_role("status")).to_have_text("Not started yet")
        loads: list[str] = []
        tab.on("load", lambda page: loads.append(page.url))
        api.post(f"/share-links/{link['share_link']['id']}/revoke")
        expect(tab.locator("h1")).to_have_text("This link shows nothing any more")
        assert loads == [tab.url]
        assert tab.locator("script").count() == 0


def test_browser_without_a_network_shows_the_last_connection(
    browser: Browser, api: httpx.Client
) -> None:
    """An offline browser says so at once, in the language of the page, and recovers."""
    job = new_job(api)
    report(api, job, kind="start", tag="load")
    with open_tab(browser, is_connected=False, locale="de-DE") as tab:
        tab.goto(new_link(api, job)["url"])
        expect(tab.locator(".live")).to_contain_text("Live Gemeldet")
        mark(tab)
        tab.context.set_offline(True)
        lost = tab.locator("#connection")
        expect(lost).to_have_text(
            re.compile(r"^Offline Sie sind offline\. So stand es um \d\d:\d\d\.$")
        )
        expect(tab.locator(".live.is-live")).to_be_hidden()
        tab.context.set_offline(False)
        report(api, job, kind="progress", tag="load", completed=3, total=4)
        expect(tab.locator(".line")).to_contain_text("3 von 4")
        expect(lost).to_have_count(0)
        assert is_marked(tab)


@pytest.mark.parametrize("end", ["/", ".", "?lang=de"])
def test_link_with_an_end_is_live(tab: Page, api: httpx.Client, end: str) -> None:
    """A link with punctuation or a choice of language is as live as the link itself."""
    job = new_job(api)
    tab.goto(new_link(api, job)["url"] + end)
    report(api, job, kind="progress", tag="load", completed=3, total=4)
    expect(tab).to_have_title("18 % · Import")
    expect(tab.locator(".line")).to_contain_text("von" if "lang" in end else "of")


def test_refused_stream_is_tried_again(browser: Browser, api: httpx.Client) -> None:
    """After 429 for the stream, the browser requests the page, then the stream."""
    job = new_job(api)
    with open_tab(browser, is_connected=False) as tab:
        refused: list[str] = []

        def refuse(route: Route) -> None:
            refused.append(route.request.url)
            route.fulfill(status=429, headers={"Retry-After": "30"})

        tab.route("**/stream", refuse)
        tab.goto(new_link(api, job)["url"])
        mark(tab)
        report(api, job, kind="progress", tag="load", completed=1, total=4)
        expect(tab.locator(".line")).to_contain_text("1 of 4")
        expect(tab.locator("#connection")).to_have_count(0)
        tab.unroute("**/stream")
        report(api, job, kind="progress", tag="load", completed=2, total=4)
        expect(tab.locator(".line")).to_contain_text("2 of 4")
        assert refused
        assert is_marked(tab)


def set_hidden(tab: Page, *, is_hidden: bool) -> None:
    """Make the documents of a tab believe that the tab is visible or hidden."""
    value = str(is_hidden).lower()
    getter = f"{{get: () => {value}, configurable: true}}"
    tab.add_init_script(f"Object.defineProperty(document, 'hidden', {getter})")


def poll_times(tab: Page, count: int, step_seconds: int) -> list[float]:
    """Advance the clock of a tab until it has requested itself; return the times.

    Args:
        tab: A tab with a clock, and with a list `fetches` in its window.
        count: Number of requests to wait for.
        step_seconds: Time by which the clock advances between two looks at the list.
    """
    seen = tab.evaluate("fetches.length")
    while seen < count:
        tab.clock.run_for(step_seconds * 1000)
        now_seen = tab.evaluate("fetches.length")
        if now_seen > seen:
            tab.wait_for_function("count => answers === count", arg=now_seen)
        seen = now_seen
    return [each / 1000 for each in tab.evaluate("fetches")]


@pytest.mark.parametrize(
    ("is_hidden", "shortest", "longest"), [(False, 20, 45), (True, 220, 400)]
)
def test_browser_without_streams_requests_the_page(
    tab: Page, api: httpx.Client, is_hidden: bool, shortest: int, longest: int
) -> None:
    """Without `EventSource`, the page is requested each 30 seconds; hidden, 5 minutes.

    The intervals differ by a quarter at random.
    """
    job = new_job(api)
    tab.add_init_script(FETCHES)
    set_hidden(tab, is_hidden=is_hidden)
    tab.clock.install()
    tab.goto(new_link(api, job)["url"])
    mark(tab)
    report(api, job, kind="progress", tag="load", completed=1, total=4)
    times = poll_times(tab, 13 if is_hidden else 9, 5 if is_hidden else 1)
    intervals = [after - before for before, after in pairwise(times)]
    assert intervals[0] < shortest
    assert all(shortest <= each <= longest for each in intervals[-2:])
    expect(tab.locator(".line")).to_contain_text("1 of 4")
    expect_icon(tab, "ring-5")
    assert is_marked(tab)


def test_ages_grow_by_themselves(tab: Page, api: httpx.Client) -> None:
    """The page keeps the age of the news, by the clock of the server."""
    job = new_job(api)
    report(api, job, kind="start", tag="load")
    tab.clock.install(time=datetime.now(UTC) + timedelta(days=1))
    tab.goto(new_link(api, job)["url"])
    age = tab.locator(".live time")
    expect(age).to_have_text(re.compile(r"^Reported (just now|\d0 seconds ago)"))
    expect(tab.locator(".is-ring .at")).to_have_text(re.compile(r"^since \d\d:\d\d$"))
    tab.clock.run_for(30_000)
    expect(age).to_have_text(re.compile(r"^Reported [3-9]0 seconds ago \(\d\d:\d\d\)$"))


def test_stream_without_heartbeats_is_lost(
    browser: Browser, api: httpx.Client, service: Service
) -> None:
    """A connection that stays open without a sign of the server counts as lost."""
    job = new_job(api)
    with open_tab(browser, is_connected=False) as tab:
        tab.clock.install()
        tab.goto(new_link(api, job)["url"])
        lost = tab.locator("#connection")
        expect(tab).to_have_title("0 % · Import")
        mark(tab)
        os.kill(service.pid, signal.SIGSTOP)
        try:
            tab.clock.run_for(70_000)
            expect(lost).to_contain_text("This page has no connection.")
        finally:
            os.kill(service.pid, signal.SIGCONT)
        report(api, job, kind="progress", tag="load", completed=3, total=4)
        expect(tab.locator(".line")).to_contain_text("3 of 4")
        expect(lost).to_have_count(0)
        assert is_marked(tab)
