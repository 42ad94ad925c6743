"""Customer's page in a browser while its job goes on: changes, lost connections."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from backend.tests.support.browser import chromium, is_marked, mark, new_link, open_tab
from backend.tests.support.service import (
    new_job,
    new_name,
    prepare,
    report,
    serve_existing,
    serve_new,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx
    from playwright.sync_api import Browser, Page

    from backend.tests.support.service import Service


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for all tests of this module."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A backend for all tests of this module."""
    with serve_new(tmp_path_factory.mktemp("service")) as service:
        yield service


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
