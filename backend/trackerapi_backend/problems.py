"""Problems: errors of requests as RFC 9457 documents.

Code below the routes raises a `Problem`, and `app.py` turns it into a response. The
name of a problem is stable and part of the contract: `urn:trackerapi:problem:<name>`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trackerapi_backend.generated import models

SHORT_DETAIL_LENGTH = 80

_KINDS = {
    "malformed-request": (400, "Malformed request"),
    "ambiguous-key": (400, "Different keys in one request"),
    "unauthorized": (401, "No valid API key"),
    "forbidden": (403, "Not allowed with this key"),
    "not-found": (404, "Not found"),
    "unknown-job": (404, "Unknown job"),
    "unknown-customer": (404, "Unknown customer"),
    "method-not-allowed": (405, "Method not allowed"),
    "request-timeout": (408, "Request sent too slowly"),
    "conflict": (409, "Conflict"),
    "erased": (410, "Erased job"),
    "too-large": (413, "Too large"),
    "unsupported-media-type": (415, "Unsupported media type"),
    "invalid-request": (422, "Invalid request"),
    "too-many-requests": (429, "Too many requests"),
    "too-many-viewers": (429, "Too many viewers"),
    "head-too-large": (431, "Request line and headers too large"),
    "internal": (500, "Internal error"),
    "unavailable": (503, "Not available now"),
}


class Problem(Exception):
    """Error of a request, which the caller receives as a problem document.

    Attributes:
        name: Name in the problem's URN, which determines status and title.
        detail: One sentence for the caller, without secrets and file names.
        errors: Invalid values of the request, with location and reason.
        headers: Additional headers of the response.
    """

    def __init__(
        self,
        name: str,
        detail: str,
        *,
        errors: Sequence[models.ProblemError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name, detail)
        self.name, self.detail = name, detail
        self.errors, self.headers = list(errors), dict(headers or {})

    @property
    def status(self) -> int:
        """HTTP status of the response."""
        return _KINDS[self.name][0]

    def shortened(self) -> Problem:
        """Return the problem with a short detail and without the locations."""
        return Problem(self.name, shorten(self.detail, SHORT_DETAIL_LENGTH))

    def document(self, request_id: str) -> models.Problem:
        """Return the problem document, with the id of the request."""
        status, title = _KINDS[self.name]
        document: models.Problem = {
            "type": f"urn:trackerapi:problem:{self.name}",
            "title": title,
            "status": status,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.errors:
            document["errors"] = self.errors
        return document


def shorten(text: str, length: int) -> str:
    """Return a text, cut to `length` characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def invalid(pointer: str, detail: str) -> Problem:
    """Return the problem of a request with one invalid value.

    Args:
        pointer: JSON Pointer into the body, or the name of a parameter.
        detail: Reason, as the predicate of a sentence that begins with the pointer,
            such as `lies in the past`.
    """
    error: models.ProblemError = {"pointer": pointer, "detail": detail}
    return Problem("invalid-request", f"{pointer or 'body'} {detail}", errors=[error])


def unauthorized(detail: str) -> Problem:
    """Return the problem of a request without a valid key."""
    headers = {"WWW-Authenticate": 'Bearer realm="trackerapi"'}
    return Problem("unauthorized", detail, headers=headers)


def unavailable(detail: str, retry_after_seconds: int = 1) -> Problem:
    """Return the problem of a request that may succeed after `retry_after_seconds`."""
    headers = {"Retry-After": str(retry_after_seconds)}
    return Problem("unavailable", detail, headers=headers)
