"""Browser for tests of pages: Chromium of the system, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect, sync_playwright

from backend.tests.support.service import MAX_WAIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

PHONE = {"width": 320, "height": 568}


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a browser during the block; skip the test where Chromium is missing.

    Playwright keeps an event loop in this thread: the block may not use another one.
    """
    program = shutil.which("chromium")
    if program is None:
        skip_without_chromium()
    # Chromium refuses its sandbox to root, who runs the tests in containers.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    expect.set_options(timeout=MAX_WAIT_SECONDS * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


def skip_without_chromium() -> None:
    """Skip the test; fail it in CI, where Chromium has to be installed."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)("Chromium is not installed")


@contextmanager
def open_tab(
    browser: Browser, *, is_connected: bool = True, **options: Any
) -> Iterator[Page]:
    """Open an empty tab on a phone; check at the end that its console is empty.

    Args:
        browser: The browser.
        is_connected: Whether each request is answered with status 200; otherwise the
            browser itself writes to the console.
        options: Options of the browser context.
    """
    settings: dict[str, Any] = {"viewport": PHONE, "locale": "en-GB"}
    context = browser.new_context(**settings | options)
    context.set_default_timeout(MAX_WAIT_SECONDS * 1000)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        yield page
    finally:
        context.close()
    own = [each for each in said if not each.startswith("Failed to load resource")]
    assert (said if is_connected else own) == []


def mark(page: Page) -> None:
    """Mark a document, so that a reload becomes visible."""
    page.evaluate("window.mark = true")


def is_marked(page: Page) -> bool:
    """Return whether the document is the one that `mark()` has seen."""
    return page.evaluate("window.mark === true") is True
