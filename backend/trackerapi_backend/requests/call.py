"""Calls of routes: requests with a valid key, valid parameters and a valid body."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from trackerapi_backend.instants import utc_now
from trackerapi_backend.problems import Problem
from trackerapi_backend.requests.bodies import examine_body, read_body
from trackerapi_backend.requests.contract import check
from trackerapi_backend.requests.json_text import parse_json
from trackerapi_backend.requests.limits import CallLimits, network_of
from trackerapi_backend.store.erasures_file import ErasuresFile
from trackerapi_backend.store.fair_queue import Load
from trackerapi_backend.store.schema import compact_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row
    from starlette.requests import Request

    from trackerapi_backend.generated import models
    from trackerapi_backend.live.hub import Hub
    from trackerapi_backend.pepper import PepperFile
    from trackerapi_backend.requests.auth import Authenticator, Caller
    from trackerapi_backend.requests.contract import Operation
    from trackerapi_backend.requests.schemas import Schema
    from trackerapi_backend.store import Store
    from trackerapi_backend.store.changes import Changes
    from trackerapi_backend.store.paging import Page
    from trackerapi_backend.store.readiness import Readiness
    from trackerapi_backend.store.writer import Writer

    Handler = Callable[["Call"], Awaitable[Response]]

T = TypeVar("T")
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Services that all routes share.

    Attributes:
        pepper: Secrets of this installation, for new keys.
        limits: Limits of the requests of all callers.
        public_base_url: Address of this backend in share links; None for the address
            of each request.
        erasures: File of the erasures of this installation.
        erasing: Erasures that run in this process, by kind, provider and id.
        purging: Lock that lets one erasure at a time rewrite the files of the database.
        residue: Set while bytes of erased rows may be left in the files of the
            database.
    """

    store: Store
    writer: Writer
    hub: Hub
    authenticator: Authenticator
    readiness: Readiness
    pepper: PepperFile
    limits: CallLimits = field(default_factory=CallLimits)
    public_base_url: str | None = None
    erasures: ErasuresFile = field(default_factory=ErasuresFile)
    erasing: dict[tuple[str, int, int], asyncio.Task[models.Erasure]] = field(
        default_factory=dict
    )
    purging: asyncio.Lock = field(default_factory=asyncio.Lock)
    residue: asyncio.Event = field(default_factory=asyncio.Event)

    def apply(self, changes: Changes) -> None:
        """Follow committed changes: forget changed keys, and notify the viewers."""
        if changes.keys:
            self.authenticator.forget(*changes.keys)
        if changes.rows:
            self.hub.changed(changes.rows)
        if changes.permissions:
            self.hub.suspect(changes.permissions)

    @property
    def base_path(self) -> str:
        """Path of the public address, such as `/tracker`; empty without a path."""
        return urlsplit(self.public_base_url or "").path

    def base_url(self, request: Request) -> str:
        """Return the address of this backend in share links; no slash at the end.

        Args:
            request: Request whose address counts without a `public_base_url`.
        """
        return (self.public_base_url or str(request.base_url)).rstrip("/")


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """Valid request to an operation of the contract.

    Attributes:
        caller_if_any: Caller; None for a public operation.
        parameters: Values of the sent path and query parameters, by name.
        body: JSON body; None for an operation without a JSON body.
        body_size_bytes: Size of the decompressed JSON body.
        now: Time at which the request was read.
    """

    services: Services
    request: Request
    request_id: str
    caller_if_any: Caller | None
    parameters: Mapping[str, Any]
    body: Any
    body_size_bytes: int
    now: datetime

    @property
    def caller(self) -> Caller:
        """Caller of an operation that needs a key."""
        if self.caller_if_any is None:
            raise LookupError("a public operation has no caller")
        return self.caller_if_any

    @property
    def provider_id(self) -> int:
        """Provider of the caller: the caller sees nothing of other providers."""
        return self.caller.provider_id

    @property
    def base_url(self) -> str:
        """Address of this backend in share links, without a slash at the end."""
        return self.services.base_url(self.request)

    @property
    def client_network(self) -> str:
        """Name of the client in limits, or of the last proxy that is not trusted."""
        return client_network(self.request)

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Return the result of a query, which runs in a thread."""
        return await run_in_threadpool(self.services.store.read, query)

    async def read_page(
        self,
        query: Callable[[Connection], Page],
        serialize: Callable[[Row[Any]], object],
    ) -> Response:
        """Return a response with the page that a query finds.

        Args:
            query: Query of the page.
            serialize: Function that returns the document of one row.
        """
        body = await self.read(lambda db: encode_page(query(db), serialize))
        return Response(body, media_type="application/json")

    async def write(self, command: Callable[[Connection], T]) -> T:
        """Run a command in the writer; return its result once it is on the disk."""
        load = Load(self.provider_id, size_bytes=self.body_size_bytes)
        return await self.services.writer.write(command, load)

    async def write_together(
        self,
        write_all: Callable[[Connection, Sequence[Item]], Sequence[T]],
        item: Item,
        *,
        events: int = 1,
        size_bytes: int | None = None,
    ) -> T:
        """Write an item together with items of other requests; return its result.

        Args:
            write_all: Function that writes items, see `Writer.write_together()`.
            item: Item of this request.
            events: Number of events in the item.
            size_bytes: Size of the data of the item; None for the JSON body.
        """
        size = self.body_size_bytes if size_bytes is None else size_bytes
        load = Load(self.provider_id, events, size)
        return await self.services.writer.write_together(write_all, item, load)


async def answer_call(
    request: Request, operation: Operation, services: Services, handler: Handler
) -> Response:
    """Check a request and return the response of its handler.

    The request counts against the limits of its caller until the handler returns the
    response, so an open stream does not count.

    Raises:
        Problem: If the key, a parameter or the body is not valid, or a limit is
            reached.
    """
    if operation.is_public:
        return await handler(await _read_call(request, operation, services, None))
    authenticator, limits = services.authenticator, services.limits
    caller = await authenticator.identify(request.headers, request.scope["client"])
    # Set the caller before the authorization, so that the log names the caller of a
    # rejected request too.
    request.scope["state"]["caller"] = caller
    limits.begin(caller)
    try:
        authenticator.authorize(caller, operation.operation_id, operation.scopes)
        return await handler(await _read_call(request, operation, services, caller))
    finally:
        limits.end(caller)


async def _read_call(
    request: Request, operation: Operation, services: Services, caller: Caller | None
) -> Call:
    """Check the parameters and the body of a request; return its call."""
    parameters = operation.read_parameters(request)
    body, sent = None, b""
    if operation.body is not None:
        provider_id = caller.provider_id if caller else 0
        sent = await read_body(request, "application/json", provider_id)
        examine = partial(_parse_valid, operation.body)
        body = await examine_body(sent, examine, provider_id)
    return Call(
        services=services,
        request=request,
        request_id=request.scope["state"]["request_id"],
        caller_if_any=caller,
        parameters=parameters,
        body=body,
        body_size_bytes=len(sent),
        now=utc_now(),
    )


def _parse_valid(schema: Schema, body: bytes) -> Any:
    """Return the JSON value of a body; raise Problem if it does not fit a schema."""
    value = parse_json(body)
    check(schema, value)
    return value


def client_network(request: Request) -> str:
    """Return the name under which limits count the client of a request.

    Returns:
        Result of `network_of()`; empty if the server listens on no network.
    """
    return "" if request.client is None else network_of(request.client.host)


def json_response(document: object, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(compact_json(document), status, media_type="application/json")


def require(row: T | None, noun: str) -> T:
    """Return `row`; raise a `not-found` problem if it is None.

    Args:
        row: Row, or None if this provider has no such row.
        noun: Word for the row in the message, such as `job`.

    Raises:
        Problem: If `row` is None.
    """
    if row is None:
        raise Problem("not-found", f"This provider has no such {noun}.")
    return row


def encode_page(page: Page, serialize: Callable[[Row[Any]], object]) -> bytes:
    """Return a page as JSON; `serialize` returns the document of one row."""
    # Encode item by item: the encoder holds the interpreter lock during a call. One
    # call for the whole page would block the event loop, even from another thread.
    items = b",".join(compact_json(serialize(row)).encode() for row in page.rows)
    cursor = compact_json(page.next_cursor).encode()
    return b'{"items":[%b],"next_cursor":%b}' % (items, cursor)
