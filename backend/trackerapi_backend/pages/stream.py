"""Stream of the customer's page: the parts of the page that change.

A page streams from its own path with `/stream` at the end, and with its own query:
`/s/{token}/stream` by the link, `/app/jobs/{job_id}/stream` by the cookie. The renderer
of the page makes the message, in the language of the request:

    event: page
    id: 12-9f3a01bc
    data: {"version": 12, "title": "41 % · Brain MRI",
        "links": {"icon": "/app/static/icon...", "stylesheet": "/app/static/page..."},
        "parts": {"job": "<section ...", "cards": "<section ...", ...}}

`data` is one line of JSON. `title` is the title of the document, as text. `links` has
the addresses of its links, by relation. `parts` has the inner HTML of elements of the
page, by element id. `version` never falls. A message follows each event of the job, and
each change of the provider's profile or the configuration's page settings. Without a
change, a message follows when other words than those in `<time>` elements change, such
as the headline of a job that has become silent: the page itself has to keep the ages in
`<time>` elements, which also grow without a connection. End and `Last-Event-ID` are
those of `stream_job`. Messages `heartbeat` replace its comments: they show the script
of the page that the connection is alive.

All viewers of a job in one language and time zone share a message. So the parts depend
on nothing else: neither on the link nor on other choices of the reader.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from zlib import crc32

from starlette.concurrency import run_in_threadpool

from trackerapi_backend.instants import utc_now
from trackerapi_backend.live.hub import Message, Watch, encode_message
from trackerapi_backend.live.stream import EventStream
from trackerapi_backend.pages.customer import (
    cookie_name,
    find_link,
    find_view,
    job_id_in,
)
from trackerapi_backend.pages.front import show_invalid_link
from trackerapi_backend.pages.language import formats_for
from trackerapi_backend.pages.rendering import fragment
from trackerapi_backend.problems import Problem
from trackerapi_backend.projection.snapshot import from_document
from trackerapi_backend.requests.call import client_network
from trackerapi_backend.store import configurations, jobs, providers
from trackerapi_backend.store.changes import profile_source, settings_source
from trackerapi_backend.store.schema import compact_json

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row
    from starlette.requests import Request
    from starlette.responses import Response

    from trackerapi_backend.pages.customer import JobView
    from trackerapi_backend.pages.formats import Formats
    from trackerapi_backend.requests.call import Services

RENDER_SECONDS = 60.0
"""Longest time after which an unchanged job is rendered again, in seconds.

A job that becomes quiet or silent earlier is rendered then."""

_TIMES = re.compile("<time.*?</time>", re.DOTALL)

_HEARTBEAT = b"event: heartbeat\ndata: {}\n\n"

_PARTS = {
    "provider": "customer_provider.html",
    "job": "customer_job.html",
    "cards": "customer_cards.html",
    "about-job": "customer_about.html",
    "facts": "customer_facts.html",
}
"""Template of the inner HTML of each element, by the id of the element."""


async def stream_by_link(services: Services, request: Request) -> Response:
    """Stream the page of a share link."""
    return await _stream(services, request, request.path_params["token"], None)


async def stream_by_cookie(services: Services, request: Request) -> Response:
    """Stream the page of a job to a browser with the cookie of a valid link."""
    job_id = job_id_in(request)
    if job_id is None:
        return await show_invalid_link(request)
    token = request.cookies.get(cookie_name(job_id), "")
    return await _stream(services, request, token, job_id)


async def _stream(
    services: Services, request: Request, token: str, job_id: int | None
) -> Response:
    """Stream the job of a token; reject any other job than `job_id` unless None."""

    async def find() -> Row[Any] | None:
        link = await run_in_threadpool(
            services.store.read, lambda db: find_link(db, token)
        )
        return link if link is not None and job_id in (None, link.job_id) else None

    async def check() -> None:
        if await find() is None:
            raise Problem("not-found", "The link has ended.")

    link = await find()
    if link is None:
        return await show_invalid_link(request)
    formats = formats_for(request, link)
    watch = Watch(
        job_id=link.job_id,
        form=("page", formats.language, str(formats.zone)),
        read=_PageReader(link.provider_id, link.job_id, formats),
        address=client_network(request),
        link_id=link.id,
        last_id=request.headers.get("last-event-id", ""),
        sources=_sources_of(link),
    )
    return EventStream(
        services.hub,
        watch,
        check,
        expires_at=link.expires_at,
        heartbeat=_HEARTBEAT,
    )


def _sources_of(link: Row[Any]) -> frozenset[str]:
    sources = {profile_source(link.provider_id)}
    if link.configuration_id is not None:
        sources.add(settings_source(link.configuration_id))
    return frozenset(sources)


class _PageReader:
    """Query of the message of a page; an unchanged page is not rendered each time."""

    def __init__(self, provider_id: int, job_id: int, formats: Formats) -> None:
        self._provider_id, self._job_id = provider_id, job_id
        self._formats = formats
        self._message: Message | None = None
        self._shown: object = None
        self._render_at = 0.0

    def __call__(self, db: Connection) -> Message | None:
        """Return the message; None if the job does not exist."""
        job = jobs.find_job(db, self._provider_id, self._job_id)
        if job is None:
            return None
        profile = providers.get_profile(db, job.provider_id)
        settings = configurations.find_page_settings(db, job.configuration_id)
        now, version = time.monotonic(), from_document(job.state).version
        shown = (version, tuple(profile), settings)
        if shown != self._shown or now >= self._render_at:
            self._shown = shown
            formats = replace(self._formats, now=utc_now())
            view = find_view(db, job, profile, settings, formats)
            self._render_at = now + min(RENDER_SECONDS, view.steady_seconds)
            self._message = _message_of(view, formats)
        return self._message


def _message_of(view: JobView, formats: Formats) -> Message:
    version, title = view.version, view.document_title
    parts = {
        name: fragment(template, job=view, formats=formats, root=formats.root)
        for name, template in _PARTS.items()
    }
    links = {name: formats.root + address for name, address in view.links.items()}
    lasting = _TIMES.sub("", "".join((title, *links.values(), *parts.values())))
    data = compact_json(
        {"version": version, "title": title, "links": links, "parts": parts}
    )
    id_ = f"{version}-{crc32(lasting.encode()):08x}"
    return encode_message(version, "page", data, id_=id_)
