"""What a route is given: a request whose key, parameters and body are good."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from trackerapi_backend.instants import utc_now
from trackerapi_backend.problems import Problem
from trackerapi_backend.requests.bodies import examined, parse_json, read_body
from trackerapi_backend.requests.contract import check
from trackerapi_backend.store.schema import compact_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Row
    from starlette.requests import Request

    from trackerapi_backend.requests.auth import Authenticator, Caller
    from trackerapi_backend.requests.contract import Operation
    from trackerapi_backend.requests.schemas import Schema
    from trackerapi_backend.store import Store
    from trackerapi_backend.store.paging import Page
    from trackerapi_backend.store.readiness import Readiness
    from trackerapi_backend.store.writer import Writer

    Handler = Callable[["Call"], Awaitable[Response]]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What all routes share.

    Attributes:
        pepper: Secret of this installation, for new keys.
        public_base_url: Where readers reach this backend; None takes the address
            that a request came to.
    """

    store: Store
    writer: Writer
    authenticator: Authenticator
    readiness: Readiness
    pepper: bytes = field(repr=False)
    public_base_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to an operation of the contract.

    Attributes:
        parameters: Path and query parameters that were sent, by name.
        body: The JSON body; None for an operation that takes none.
        now: When the request came.
    """

    services: Services
    request: Request
    request_id: str
    caller_if_any: Caller | None
    parameters: Mapping[str, Any]
    body: Any
    now: datetime

    @property
    def caller(self) -> Caller:
        """Whose request it is; only for operations that need a key."""
        if self.caller_if_any is None:
            raise LookupError("a public operation has no caller")
        return self.caller_if_any

    @property
    def provider_id(self) -> int:
        """The provider that all the caller may see belongs to."""
        return self.caller.provider_id

    @property
    def base_url(self) -> str:
        """Address of this backend for readers, without a slash at the end."""
        own = self.services.public_base_url or str(self.request.base_url)
        return own.rstrip("/")

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Return what a query finds."""
        return await run_in_threadpool(self.services.store.read, query)

    async def read_page(
        self,
        query: Callable[[Connection], Page],
        shape: Callable[[Row[Any]], object],
    ) -> Response:
        """Return the answer with the page that a query finds."""
        body = await self.read(lambda db: page_bytes(query(db), shape))
        return Response(body, media_type="application/json")

    async def write(self, command: Callable[[Connection], T]) -> T:
        """Return what a command returns, once its changes are on the disk."""
        return await self.services.writer.write(command)


async def call_of(request: Request, operation: Operation, services: Services) -> Call:
    """Return the call that a request makes.

    Raises:
        Problem: If its key, a parameter or its body is not good.
    """
    caller = None
    if not operation.is_public:
        caller = await services.authenticator.identify(request.headers)
        request.state.caller = caller
        services.authenticator.authorize(
            caller, operation.operation_id, operation.scopes
        )
    parameters = operation.read_parameters(request)
    body = None
    if operation.body is not None:
        sent = await read_body(request, "application/json")
        body = await examined(sent, partial(_checked, operation.body))
    return Call(
        services=services,
        request=request,
        request_id=request.state.request_id,
        caller_if_any=caller,
        parameters=parameters,
        body=body,
        now=utc_now(),
    )


def _checked(schema: Schema, body: bytes) -> Any:
    """Return the JSON value of a body that fits a schema."""
    value = parse_json(body)
    check(schema, value)
    return value


def answer(document: object, status: int = 200) -> Response:
    """Return a JSON answer."""
    return JSONResponse(document, status)


def found(thing: T | None, what: str) -> T:
    """Return what was asked for.

    Raises:
        Problem: If there is no such thing; one of another provider counts as none.
    """
    if thing is None:
        raise Problem("not-found", f"This provider has no such {what}.")
    return thing


def page_bytes(page: Page, shape: Callable[[Row[Any]], object]) -> bytes:
    """Return one page of a list as JSON.

    Item by item: a long list is made in a thread, and a single call that encoded all
    of it would hold up the event loop all the same.
    """
    items = b",".join(compact_json(shape(row)).encode() for row in page.rows)
    cursor = compact_json(page.next_cursor).encode()
    return b'{"items":[%b],"next_cursor":%b}' % (items, cursor)
