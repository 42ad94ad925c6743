"""What went wrong with a request, in our own errors.

Looks at status, content type and body before any generated code does, so that
nothing a server or a proxy sends can escape as another kind of error.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import httpx

from trackerapi.errors import (
    AuthenticationError,
    BackendError,
    BackendRejected,
    BackendUnavailable,
    Exchange,
    SettingsError,
    one_line,
)
from trackerapi.retry import parse_retry_after
from trackerapi.wire.models import reads_as_answer

TRANSPORT_ERRORS = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    OSError,
    UnicodeError,
)
"""All that can come out of httpx while a request is made or its answer is read."""

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.InvalidURL,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
)
_DISTRUST = "CERTIFICATE_VERIFY_FAILED"
_MAY_COME_BACK = frozenset({408, 425, 429})
_ANSWERED = frozenset({200, 201})
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,64}")


def exchange_of(request: httpx.Request, **members: Any) -> Exchange:
    """Describe `request` without anything that could hold a secret."""
    address = request.url.copy_with(username=None, password=None, query=None)
    url = str(address.copy_with(fragment=None))
    return Exchange(method=request.method, url=url, **members)


def no_answer(request: httpx.Request, error: Exception) -> BackendUnavailable:
    """Return the error for a request that got no answer because of `error`."""
    was_sent = not isinstance(error, _NOT_SENT)
    exchange = exchange_of(request, was_sent=was_sent)
    return BackendUnavailable(_no_answer_reason(error), exchange)


def is_distrust(error: BackendUnavailable) -> bool:
    """Tell whether `error` stands for a certificate, which no wait makes good."""
    return _DISTRUST in str(error.__cause__)


def _no_answer_reason(error: Exception) -> str:
    text = one_line(str(error), 200) or type(error).__name__
    if _DISTRUST in text:
        return (
            "the certificate of the backend is not trusted; set TRACKERAPI_CA_FILE "
            f"to the file of its authority ({text})"
        )
    match error:
        case TimeoutError() | httpx.TimeoutException():
            return "no answer in time"
        case httpx.ProxyError():
            return f"the proxy did not let the request pass ({text})"
        case httpx.ConnectError():
            return f"cannot connect ({text}); is the address right and the backend up?"
        case _:
            return f"the connection broke ({text})"


@contextmanager
def proxy_translated() -> Iterator[None]:
    """Turn what httpx raises about a proxy, while a client is made, into our error."""
    try:
        yield
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise SettingsError(
            "cannot be used; it comes from the argument, or from HTTP_PROXY, "
            f"HTTPS_PROXY or ALL_PROXY ({one_line(str(error), 200)})",
            "proxy",
        ) from None


def failure_of(
    request: httpx.Request, status: int, headers: httpx.Headers, body: bytes
) -> BackendError | None:
    """Return the error that an answer stands for; None for a usable answer."""
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    content = _json_object(body) if _is_json(media_type) else None
    if status in _ANSWERED and content is not None:
        if reads_as_answer(request.method, request.url.path, content):
            return None
        content = None
    is_problem = media_type == "application/problem+json" and content is not None
    problem: Mapping[str, Any] = content or {} if is_problem else {}
    exchange = exchange_of(
        request,
        status=status,
        problem=problem,
        request_id=_request_id(headers, problem),
        retry_after_seconds=parse_retry_after(
            headers.get("retry-after"), now=datetime.now(UTC)
        ),
    )
    if not is_problem:
        return BackendUnavailable(_not_ours(status, media_type), exchange)
    return _refusal(status)(_reason(status, problem), exchange)


def _refusal(status: int) -> type[BackendError]:
    if status in {401, 403}:
        return AuthenticationError
    if 400 <= status < 500 and status not in _MAY_COME_BACK:
        return BackendRejected
    return BackendUnavailable


def _reason(status: int, problem: Mapping[str, Any]) -> str:
    title, detail = problem.get("title"), problem.get("detail")
    words = [word for word in (title, detail) if isinstance(word, str) and word]
    errors = problem.get("errors")
    if isinstance(errors, list):
        words += [
            f"{error.get('pointer', '')} {error.get('detail', '')}".strip()
            for error in errors[:3]
            if isinstance(error, dict)
        ]
    return f"{status}: {'; '.join(words) or _phrase(status)}"


def _not_ours(status: int, media_type: str) -> str:
    return (
        f"{status} {_phrase(status)} with {media_type or 'no content'} is not an "
        "answer of a tracker backend; check the address and proxies between"
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "(no standard status)"


def _is_json(media_type: str) -> bool:
    return media_type == "application/json" or media_type.endswith("+json")


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _request_id(headers: httpx.Headers, problem: Mapping[str, Any]) -> str | None:
    for candidate in (headers.get("x-request-id"), problem.get("request_id")):
        if isinstance(candidate, str) and _REQUEST_ID.fullmatch(candidate):
            return candidate
    return None
