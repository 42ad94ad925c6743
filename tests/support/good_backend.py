"""Answers of a backend that accepts each request; one operation can be replaced."""

import re
from typing import Any, Final

from tests.support.answers import answer
from tests.support.scripted_server import OWNER, Request, http

GOOD: Final = {
    "GET /api-keys/protected": (200, "ApiKeyOwner"),
    "POST /jobs": (201, "Job"),
    "GET /jobs": (200, "JobPage"),
    "GET /jobs/{}": (200, "Job"),
    "GET /jobs/{}/events": (200, "EventPage"),
    "POST /jobs/{}/tokens": (201, "JobTokenCreated"),
    "POST /jobs/{}/share-links": (201, "ShareLinkCreated"),
    "POST /events/batch": (200, "BatchReport"),
}


def key_of(request: Request) -> str:
    """Return the operation of a request, in the form of the keys of `GOOD`."""
    path = request.target.partition("?")[0]
    return f"{request.method} {re.sub(r'/[0-9]+', '/{}', path)}"


OURS: Final[dict[str, dict[str, Any]]] = {
    "ApiKeyOwner": OWNER,
    "Job": {"provider_job_id": "job-1", "customer_id": 142},
}
"""Members that make an answer match the requests of the tests."""


def whole_answer(schema: str) -> Any:
    """Return the complete answer for the key `KEY` and for `job-1` of customer 142."""
    return {**answer(schema), **OURS.get(schema, {})}


def good(request: Request) -> bytes:
    """Return the answer of a backend that accepts the request."""
    status, schema = GOOD[key_of(request)]
    whole = whole_answer(schema)
    if schema == "BatchReport":
        count = len(request.body.splitlines())
        whole = {"accepted": count, "duplicates": 0, "rejected": []}
    if schema.endswith("Page"):
        whole["next_cursor"] = None
    return http(status, whole)


class Backend:
    """Backend with good answers; `set_answer()` replaces one operation's answer."""

    def __init__(self) -> None:
        self.key, self.answer = "", b""

    def set_answer(self, key: str, text: str) -> None:
        """Answer the operation `key` with `text` from now on."""
        self.key, self.answer = key, http(GOOD[key][0], text.encode())

    def __call__(self, request: Request) -> bytes:
        """Return the answer to a request."""
        return self.answer if key_of(request) == self.key else good(request)
