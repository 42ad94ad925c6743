"""Share links, and the text of the customer's page as a reader sees it."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx


def new_link(api: httpx.Client, job: dict[str, Any], **members: Any) -> dict[str, Any]:
    """Create a share link; return the answer, with the link and its URL."""
    answer = api.post(f"/jobs/{job['id']}/share-links", json=members)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def page_text(page: str) -> str:
    """Return the text of a page without tags, with single spaces.

    The text for browsers without scripts is left out.
    """
    page = re.sub("(?s)<noscript>.*?</noscript>", "", page)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", page)).split())
