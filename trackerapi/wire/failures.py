"""Errors of this library for failed requests, made from answers and httpx exceptions.

Status, content type and body are checked before generated code reads them. An unusable
answer raises a `BackendError`, and no other exception.
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
    parse_object,
)
from trackerapi.wire.bodies import secrets_of, without_secrets

TRANSPORT_ERRORS = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    OSError,
    UnicodeError,
)
"""Exceptions that httpx raises while it sends a request or reads the answer."""

_NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.InvalidURL,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
)
_CERTIFICATE_SIGN = "CERTIFICATE_VERIFY_FAILED"
_NOT_TRUSTED = "the certificate of the backend is not trusted"
_NOT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
"""Error texts of OpenSSL versions for an answer in plain HTTP."""

_RETRYABLE = frozenset({408, 425, 429})
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,64}")

_MAIN_MEMBERS = ("type", "title", "status", "detail", "request_id")
_MAX_LEVELS = 4
_MAX_PROBLEM_CHARACTERS = 16_000
_MAX_MEMBERS = 20
_MAX_TEXT_CHARACTERS = 2_000


def exchange_of(request: httpx.Request, **members: Any) -> Exchange:
    """Return the exchange of `request`, without parts of the address with secrets.

    User, password, query and fragment are left out.

    Args:
        request: The request.
        members: Other members of the exchange, such as `status`.
    """
    address = request.url.copy_with(username=None, password=None, query=None)
    url = str(address.copy_with(fragment=None))
    return Exchange(method=request.method, url=url, **members)


def transport_failure(
    request: httpx.Request, error: Exception, proxy_text: str = ""
) -> BackendUnavailable:
    """Return the error for a request without an answer.

    The exception becomes the cause, unless its text has secrets or control characters:
    a traceback would show them.

    Args:
        request: The request.
        error: The exception of httpx.
        proxy_text: The proxy and the setting that names it; empty without a proxy.
    """
    was_sent = not isinstance(error, _NOT_SENT)
    text = without_secrets(one_line(str(error), 200), secrets_of(request.headers))
    failure = BackendUnavailable(
        _transport_reason(error, text or type(error).__name__, proxy_text),
        exchange_of(request, was_sent=was_sent),
    )
    failure.__cause__ = error if text == str(error) else None
    return failure


def is_certificate_error(error: BackendUnavailable) -> bool:
    """Return whether a certificate is not trusted: a repetition would fail too."""
    return error.reason.startswith(_NOT_TRUSTED)


def _transport_reason(error: Exception, text: str, proxy_text: str) -> str:
    through = f" through the proxy {proxy_text}" if proxy_text else ""
    if _CERTIFICATE_SIGN in text:
        return (
            f"{_NOT_TRUSTED}; set TRACKERAPI_CA_FILE to the file of its authority "
            f"({text})"
        )
    match error:
        case TimeoutError() | httpx.TimeoutException():
            return f"no answer in time{through}"
        case httpx.ProxyError():
            return f"the proxy {proxy_text} did not let the request pass ({text})"
        case httpx.ConnectError() if any(sign in text for sign in _NOT_TLS):
            return "cannot connect by https; the server may speak http:// only"
        case httpx.ConnectError() if proxy_text:
            return f"cannot connect{through} ({text}); is the proxy right and up?"
        case httpx.ConnectError():
            return f"cannot connect ({text}); is the address right and the backend up?"
        case _:
            return f"the connection broke ({text})"


@contextmanager
def translate_proxy_errors() -> Iterator[None]:
    """Turn exceptions of httpx about a proxy into `SettingsError`, in the context."""
    try:
        yield
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise SettingsError(
            "cannot be used; it comes from the argument, or from HTTP_PROXY, "
            f"HTTPS_PROXY or ALL_PROXY ({one_line(str(error), 200)})",
            "proxy",
        ) from None


def check_body(
    request: httpx.Request, status: int, headers: httpx.Headers, body: bytes
) -> bytes:
    """Check an answer; return its body without the key of the request.

    Args:
        request: The request.
        status: HTTP status of the answer.
        headers: Headers of the answer.
        body: Unpacked body of the answer.

    Raises:
        BackendError: If the answer is a failure, or not from a tracker backend.
    """
    try:
        received = _parsed(status, _media_type(headers), body)
        content: dict[str, Any] = without_secrets(received, secrets_of(request.headers))
        if 200 <= status < 300:
            check_answer(request.method, request.url.path, status, content)
            return body if content == received else json.dumps(content).encode()
        check_model("Problem", content)
    except InvalidAnswer as fault:
        raise invalid_answer(request, status, headers, fault) from None
    exchange = _answered_exchange(request, status, headers, problem_details(content))
    raise _error_type(status)(_reason(status, exchange.problem), exchange)


def _parsed(status: int, media_type: str, body: bytes) -> dict[str, Any]:
    # A proxy may label a failure as JSON, but no proxy labels its page as a problem.
    is_success = 200 <= status < 300 and media_type == "application/json"
    if not (is_success or media_type == "application/problem+json"):
        raise InvalidAnswer("")
    return parse_object(body)


def invalid_answer(
    request: httpx.Request, status: int, headers: httpx.Headers, fault: InvalidAnswer
) -> BackendUnavailable:
    """Return the error for an answer that is not from a tracker backend.

    Args:
        request: The request.
        status: HTTP status of the answer.
        headers: Headers of the answer.
        fault: The fault of the answer; its text may be empty.
    """
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
    """Return problem details within size limits and without control characters."""
    details: dict[str, Any] = _shortened(content, _MAX_LEVELS)
    if len(json.dumps(details)) > _MAX_PROBLEM_CHARACTERS:
        details = {name: details[name] for name in _MAIN_MEMBERS if name in details}
    return details


def _shortened(value: Any, levels: int) -> Any:
    if isinstance(value, str):
        return one_line(value, _MAX_TEXT_CHARACTERS)
    if isinstance(value, list):
        return [_shortened(each, levels - 1) for each in value[:_MAX_MEMBERS] if levels]
    if isinstance(value, dict):
        members = list(value.items())[:_MAX_MEMBERS] if levels else ()
        return {one_line(n, 100): _shortened(each, levels - 1) for n, each in members}
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


def _error_type(status: int) -> type[BackendError]:
    if status in {401, 403}:
        return AuthenticationError
    if 400 <= status < 500 and status not in _RETRYABLE:
        return BackendRejected
    return BackendUnavailable


def _reason(status: int, problem: Mapping[str, Any]) -> str:
    words = [problem["title"], problem["detail"]]
    # The detail of a conflict names everything; its pointers are for programs.
    errors = () if status == HTTPStatus.CONFLICT else problem.get("errors", ())
    faults = [f"{error['pointer']} {error['detail']}".strip() for error in errors[:3]]
    words += [fault for fault in faults if fault not in (problem["detail"] or "")]
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
