"""Application: routes of the contract and pages, errors, request log.

Each response has an `X-Request-Id`. Only this module turns exceptions into problem
responses, and into pages for the addresses that people open. The log has one line per
response: request id, operation, method, status, duration, provider and public part of
the key, but never a path, header or body.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from trackerapi_backend import measurements
from trackerapi_backend.jobs.erasure import finishing_erasures
from trackerapi_backend.jobs.retention import deleting_old_jobs
from trackerapi_backend.logs import log_request
from trackerapi_backend.pages import page_routes
from trackerapi_backend.pages.front import failure_page, is_for_people
from trackerapi_backend.problems import Problem, unavailable
from trackerapi_backend.requests.call import answer_call
from trackerapi_backend.requests.contract import operations
from trackerapi_backend.routes import HANDLERS
from trackerapi_backend.settings import SettingsError
from trackerapi_backend.store import StoreError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from trackerapi_backend.requests.call import Services
    from trackerapi_backend.requests.contract import Operation

# Load balancers send HEAD to these paths, but the contract only has GET. The server
# leaves out the body of the response.
_HEAD_PATHS = ("/livez", "/readyz")

_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
_NO_STORE = (b"cache-control", b"no-store")

_log = logging.getLogger(__name__)


def create_app(services: Services) -> ASGIApp:
    """Return the application; the caller opens and closes the services.

    Raises:
        SettingsError: If a path of this application begins with the path of the public
            address.
    """
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in operations():
        by_path.setdefault(operation.path, {})[operation.method] = operation
    for path in _HEAD_PATHS:
        by_path[path]["HEAD"] = by_path[path]["GET"]
    resources = {
        path: _Resource(methods, services) for path, methods in by_path.items()
    }
    routes: list[BaseRoute] = [Route(path, each) for path, each in resources.items()]
    routes += page_routes(services)
    _check_base_path(services.base_path, routes)
    # The contract is a checked-in file. The three URLs are None, so that FastAPI does
    # not serve a contract of its own that it derives from the routes.
    whole = FastAPI(
        routes=routes,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lambda app: _lifespan(app, services),
        middleware=[Middleware(_RequestMiddleware)],
        exception_handlers={HTTPException: _answer_failure},
    )
    return _Shortcut(resources, whole)


@asynccontextmanager
async def _lifespan(app: object, services: Services) -> AsyncIterator[None]:
    async with (
        services.readiness.run_checks(app),
        finishing_erasures(services),
        deleting_old_jobs(services),
    ):
        yield


def _check_base_path(base_path: str, routes: Sequence[BaseRoute]) -> None:
    """Check that no path of a route begins with the path of the public address.

    Raises:
        SettingsError: If a route has such a path: the server could not know whether a
            proxy has removed the path of the public address from a request.
    """
    paths = [route.path for route in routes if isinstance(route, Route)]
    if base_path and any(f"{path}/".startswith(f"{base_path}/") for path in paths):
        raise SettingsError(
            f"--public-base-url must not have the path {base_path}: the server has"
            " such a path itself"
        )


def rejection(problem: Problem) -> ASGIApp:
    """Return an application that answers a request with a problem and logs it."""

    async def reject(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise problem

    return _RequestMiddleware(reject)


async def _answer_failure(request: Request, error: Exception) -> Response:
    return _failure(error, request.scope)


class _Resource:
    """All operations of one path.

    A request with any other method gets status 405 with the allowed methods.
    """

    def __init__(self, methods: dict[str, Operation], services: Services) -> None:
        self._methods, self._services = methods, services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        operation = self._methods.get(scope["method"])
        if operation is None:
            allowed = ", ".join(sorted(self._methods))
            raise HTTPException(405, headers={"Allow": allowed})
        scope["state"]["operation"] = operation.operation_id
        request = Request(scope, receive)
        handler = HANDLERS[operation.operation_id]
        response = await answer_call(request, operation, self._services, handler)
        await response(scope, receive, send)


class _Shortcut:
    """Application that calls the resources of paths without parameters directly.

    Reports use these paths, and the layers of FastAPI need more time than the rest of a
    small request.

    Args:
        resources: Resources by the paths of the contract, such as `/jobs/{job_id}`.
        whole: Application with all paths.
    """

    def __init__(self, resources: dict[str, _Resource], whole: ASGIApp) -> None:
        self._whole = whole
        self._direct = {
            path: _RequestMiddleware(resource)
            for path, resource in resources.items()
            if "{" not in path
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # FastAPI handles the lifespan, which has no path, and closes WebSockets.
        direct = self._direct.get(scope["path"]) if scope["type"] == "http" else None
        await (direct or self._whole)(scope, receive, send)


class _RequestMiddleware:
    """Middleware that gives each request an id, a log line and a response.

    An exception of the application becomes a problem response.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"{random.getrandbits(64):016x}"
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] != "http.response.start":
                await send(message)
                return
            message["headers"] = _complete(message["headers"], request_id)
            # Set the status after the call: `send()` may wait for the client, and the
            # response has not begun until `send()` returns.
            await send(message)
            status = message["status"]

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            return
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 -- answered
            # A response that has begun cannot be replaced by a problem response.
            if status == 0:
                await _failure(error, scope)(scope, receive, send_with_id)
            # uvicorn cancels requests at its shutdown and logs their number. One
            # line for each cancelled request would flood the log.
            if isinstance(error, asyncio.CancelledError):
                return
        _log_request(scope, status, time.perf_counter() - started)


def _complete(
    headers: Sequence[tuple[bytes, bytes]], request_id: str
) -> list[tuple[bytes, bytes]]:
    """Return the headers of a response and the headers that all responses have."""
    added = [(b"x-request-id", request_id.encode()), _NO_SNIFFING]
    if all(name != b"cache-control" for name, _value in headers):
        added.append(_NO_STORE)
    return [*headers, *added]


def _failure(error: BaseException, scope: Scope) -> Response:
    request_id = scope["state"]["request_id"]
    problem = _problem_of(error, scope, request_id)
    if is_for_people(scope["path"]):
        return failure_page(problem, Request(scope))
    return JSONResponse(
        problem.document(request_id),
        status_code=problem.status,
        headers=problem.headers,
        media_type="application/problem+json",
    )


def _problem_of(error: BaseException, scope: Scope, request_id: str) -> Problem:
    known = {"request_id": request_id}
    match error:
        case Problem():
            return error
        case asyncio.CancelledError():
            return unavailable("The backend is stopping.")
        case HTTPException(status_code=405):
            detail = f"This path does not allow the method {scope['method']}."
            # For a static file, starlette raises 405 without the header `Allow`.
            allowed = error.headers or {"Allow": "GET, HEAD"}
            return Problem("method-not-allowed", detail, headers=allowed)
        case HTTPException(status_code=404):
            return Problem("not-found", "There is nothing under this path.")
        case StoreError():
            _log.error("the store cannot be read: %s", error, extra=known)
            detail = f"The backend cannot read anything now ({error.cause})."
            return unavailable(detail, retry_after_seconds=5)
    _log.error("a request failed", exc_info=error, extra=known)
    return Problem(
        "internal", "The backend failed; its log has the cause under this request id."
    )


def _log_request(scope: Scope, status: int, seconds: float) -> None:
    state = scope["state"]
    caller = state.get("caller")
    measurements.requests.add(state.get("operation"), status, seconds)
    log_request(
        request_id=state["request_id"],
        method=scope["method"],
        operation=state.get("operation"),
        status=status,
        seconds=round(seconds, 4),
        provider_id=None if caller is None else caller.provider_id,
        key_id=None if caller is None else caller.key_id,
    )
