"""Text of a page, as a reader sees it."""

from __future__ import annotations

import html
import re


def page_text(page: str) -> str:
    """Return the text of a page without tags, with single spaces.

    The text for browsers without scripts is left out.
    """
    page = re.sub("(?s)<noscript>.*?</noscript>", "", page)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", page)).split())
