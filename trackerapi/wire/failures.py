"""Translation of answers and of exceptions of httpx into our own errors.

Checks status, content type and body before any generated code does, so that no answer
of a server or a proxy raises another kind of error.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
from trackerapi.process.clock import utc_now
from trackerapi.retry import parse_retry_after
from trackerapi.wire.answer_check import (
    InvalidAnswer,
    check_answer,
    check_model,
    parsed,
)
from trackerapi.wire.bodies import secrets_of, without_secrets

TRANSPORT_ERRORS = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    OSError,
    UnicodeError,
)
"""Exceptions of httpx while a request is sent or its answer is read."""

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.InvalidURL,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
)
_DISTRUST = "CERTIFICATE_VERIFY_FAILED"
_NOT_TRUSTED = "the certificate of the backend is not trusted"
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
"""What OpenSSL, by its version, says of an answer in plain HTTP."""
_MAY_COME_BACK = frozenset({408, 425, 429})
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,64}")

_OWN_MEMBERS = ("type", "title", "status", "detail", "request_id")
_PROBLEM_LEVELS = 4
_PROBLEM_CHARACTERS = 16_000
_MOST_MEMBERS = 20
_TEXT_CHARACTERS = 2_000


def exchange_of(request: httpx.Request, **members: Any) -> Exchange:
    """Describe `request` without the parts that may contain a secret."""
    address = request.url.copy_with(username=None, password=None, query=None)
    url = str(address.copy_with(fragment=None))
    return Exchange(method=request.method, url=url, **members)


def no_answer(
    request: httpx.Request, error: Exception, proxy: str = ""
) -> BackendUnavailable:
    """Return the error for a request that got no answer because of `error`.

    `error` becomes its cause, unless the text of `error` repeats bytes of a server.

    Args:
        request: The request.
        error: What httpx raised.
        proxy: The proxy and the setting that names it; blank for the direct way.
    """
    was_sent = not isinstance(error, _NOT_SENT)
    text = without_secrets(one_line(str(error), 200), secrets_of(request.headers))
    failure = BackendUnavailable(
        _no_answer_reason(error, text or type(error).__name__, proxy),
        exchange_of(request, was_sent=was_sent),
    )
    failure.__cause__ = error if text == str(error) else None
    return failure


def is_distrust(error: BackendUnavailable) -> bool:
    """Tell whether `error` stands for a certificate, which no wait makes good."""
    return error.reason.startswith(_NOT_TRUSTED)


def _no_answer_reason(error: Exception, text: str, proxy: str) -> str:
    through = f" through the proxy {proxy}" if proxy else ""
    if _DISTRUST in text:
        return (
            f"{_NOT_TRUSTED}; set TRACKERAPI_CA_FILE to the file of its authority "
            f"({text})"
        )
    match error:
        case TimeoutError() | httpx.TimeoutException():
            return f"no answer in time{through}"
        case httpx.ProxyError():
            return f"the proxy {proxy} did not let the request pass ({text})"
        case httpx.ConnectError() if any(sign in text for sign in _NOT_TLS):
            return "cannot connect by https; the server may speak http:// only"
        case httpx.ConnectError() if proxy:
            return f"cannot connect{through} ({text}); is the proxy right and up?"
        case httpx.ConnectError():
            return f"cannot connect ({text}); is the address right and the backend up?"
        case _:
            return f"the connection broke ({text})"


@contextmanager
def proxy_translated() -> Iterator[None]:
    """Turn exceptions of httpx about a proxy, while a client is made, into ours."""
    try:
        yield
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise SettingsError(
            "cannot be used; it comes from the argument, or from HTTP_PROXY, "
            f"HTTPS_PROXY or ALL_PROXY ({one_line(str(error), 200)})",
            "proxy",
        ) from None


def read_answer(
    request: httpx.Request, status: int, headers: httpx.Headers, body: bytes
) -> bytes:
    """Return the body of a usable answer, without the key of the request.

    Raises:
        BackendError: If the answer is a failure, or not from a tracker backend.
    """
    try:
        sent = _content(status, _media_type(headers), body)
        content: dict[str, Any] = without_secrets(sent, secrets_of(request.headers))
        if 200 <= status < 300:
            check_answer(request.method, request.url.path, status, content)
            return body if content == sent else json.dumps(content).encode()
        check_model("Problem", content)
    except InvalidAnswer as fault:
        raise not_ours(request, status, headers, fault) from None
    exchange = _answered_exchange(request, status, headers, problem_details(content))
    raise _refusal(status)(_reason(status, exchange.problem), exchange)


def _content(status: int, media_type: str, body: bytes) -> dict[str, Any]:
    # A proxy may label any page as JSON, but no proxy labels a page as a problem.
    is_ours = 200 <= status < 300 and media_type == "application/json"
    if not (is_ours or media_type == "application/problem+json"):
        raise InvalidAnswer("")
    return parsed(body)


def not_ours(
    request: httpx.Request, status: int, headers: httpx.Headers, fault: InvalidAnswer
) -> BackendUnavailable:
    """Return the error for an answer that is not from a tracker backend."""
    media_type = without_secrets(
        one_line(_media_type(headers), 80), secrets_of(request.headers)
    )
    why = f" ({fault})" if str(fault) else ""
    return BackendUnavailable(
        f"{status} {_phrase(status)} with {media_type or 'no content'} is not an "
        f"answer of a tracker backend{why}; check the address and proxies between",
        _answered_exchange(request, status, headers, {}),
    )


def problem_details(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the problem details, cut to bounds and without control characters."""
    details: dict[str, Any] = _shown(content, _PROBLEM_LEVELS)
    if len(json.dumps(details)) > _PROBLEM_CHARACTERS:
        details = {name: details[name] for name in _OWN_MEMBERS if name in details}
    return details


def _shown(value: Any, levels: int) -> Any:
    if isinstance(value, str):
        return one_line(value, _TEXT_CHARACTERS)
    if isinstance(value, list):
        return [_shown(each, levels - 1) for each in value[:_MOST_MEMBERS] if levels]
    if isinstance(value, dict):
        members = list(value.items())[:_MOST_MEMBERS] if levels else ()
        return {one_line(n, 100): _shown(each, levels - 1) for n, each in members}
    return value


def _answered_exchange(
    request: httpx.Request,
    status: int,
    headers: httpx.Headers,
    problem: Mapping[str, Any],
) -> Exchange:
    return exchange_of(
        request,
        status=status,
        problem=problem,
        request_id=_request_id(headers, problem, secrets_of(request.headers)),
        retry_after_seconds=parse_retry_after(
            headers.get("retry-after"), now=utc_now()
        ),
    )


def _refusal(status: int) -> type[BackendError]:
    if status in {401, 403}:
        return AuthenticationError
    if 400 <= status < 500 and status not in _MAY_COME_BACK:
        return BackendRejected
    return BackendUnavailable


def _reason(status: int, problem: Mapping[str, Any]) -> str:
    words = [problem["title"], problem["detail"]]
    # The detail of a conflict is complete; its pointers are for programs.
    errors = () if status == HTTPStatus.CONFLICT else problem.get("errors", ())
    places = [f"{error['pointer']} {error['detail']}".strip() for error in errors[:3]]
    words += [place for place in places if place not in (problem["detail"] or "")]
    return f"{status}: {'; '.join(filter(None, words)) or _phrase(status)}"


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "(no standard status)"


def _media_type(headers: httpx.Headers) -> str:
    return str(headers.get("content-type", "")).partition(";")[0].strip().lower()


def _request_id(
    headers: httpx.Headers, problem: Mapping[str, Any], secrets: tuple[str, ...]
) -> str | None:
    for candidate in (headers.get("x-request-id"), problem.get("request_id")):
        if candidate is not None and _REQUEST_ID.fullmatch(candidate):
            return str(without_secrets(candidate, secrets))
    return None
