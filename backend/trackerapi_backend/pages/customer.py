"""Customer's page of one job, opened by a share link or by its cookie.

A share link shows the page and sets cookies. When the browser requests the link again,
such as for a refresh, a browser with cookies is redirected to an address without the
token. A browser without cookies keeps the address of the link.

The page shows names, statuses, the percentage, and messages and metadata for customers.
Of the provider it shows the profile alone. No id, diagnostics or other metadata of the
provider reaches a template.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from trackerapi_backend.instants import utc_now
from trackerapi_backend.jobs.customer_view import customer_keys
from trackerapi_backend.jobs.recording import plan_of
from trackerapi_backend.pages.cards import Contact, about_job, about_link, contact_of
from trackerapi_backend.pages.configured_texts import ConfiguredTexts
from trackerapi_backend.pages.freshness import find_bounds
from trackerapi_backend.pages.front import show_invalid_link
from trackerapi_backend.pages.head import Head, cuts_of, head_of
from trackerapi_backend.pages.icon import icon_address, icon_name
from trackerapi_backend.pages.language import choices_of, formats_for
from trackerapi_backend.pages.mark import mark_address
from trackerapi_backend.pages.metadata import shown_metadata
from trackerapi_backend.pages.page_job import (
    PageJob,
    age_seconds,
    message_ids,
    steps_of,
)
from trackerapi_backend.pages.rendering import page
from trackerapi_backend.pages.script import script_address, script_texts
from trackerapi_backend.pages.steps import StepGroup, step_groups
from trackerapi_backend.pages.stylesheet import stylesheet_address
from trackerapi_backend.pages.texts import LANGUAGES
from trackerapi_backend.projection.job import percent
from trackerapi_backend.projection.snapshot import from_document
from trackerapi_backend.projection.statuses import ENDED, JobStatus
from trackerapi_backend.requests.credentials import hash_secret
from trackerapi_backend.store import (
    configurations,
    customer_view,
    events,
    jobs,
    providers,
    share_links,
)
from trackerapi_backend.store.schema import MAX_ID

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup
    from sqlalchemy import Connection, Row
    from starlette.requests import Request
    from starlette.responses import Response

    from trackerapi_backend.pages.formats import Formats
    from trackerapi_backend.pages.openings import Openings
    from trackerapi_backend.requests.call import Services
    from trackerapi_backend.store.configurations import PageSettings

_STORES_COOKIES = "kept"
"""Name of the cookie by which `enter()` recognises a browser that stores cookies."""

_REFRESH_SECONDS = 30
"""Interval between two refreshes of a page without scripts, in seconds."""

# The page of an interrupted or failed job refreshes too: an interrupted job is expected
# to continue, and a failed job may run again.
_REFRESHED = frozenset(
    {JobStatus.PENDING, JobStatus.RUNNING, JobStatus.INTERRUPTED, JobStatus.FAILED}
)


@dataclass(frozen=True, slots=True)
class _Message:
    text: str
    at: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """Values for the template of the customer's page.

    Attributes:
        name: Kind of job: the name of its configuration in the language of the reader.
        title: Name of this job for the customer; None without a title.
        reference: Text that the customer quotes, in a sentence; None without a
            reference.
        is_open: Whether the job has not ended; the page of such a job says that its
            reader need not wait.
        contact: Contact of the provider; None without a contact.
        facts: Name and value of each fact about the job.
        percent: Progress in percent, to two decimals; None without a configuration.
        cuts: Limits between steps in percent.
        links: Addresses of icon and style sheet, by the relation of their link.
        steady_seconds: Time until the job becomes quiet or silent without a report;
            infinite for a job that becomes neither.
        mark: Address of the image beside the provider's name; None without an image.
        version: Version of the job, which the page does not show.
    """

    name: str
    title: str | None
    reference: Markup | None
    is_open: bool
    contact: Contact | None
    facts: Sequence[tuple[Markup, Markup]]
    provider: str
    mark: str | None
    head: Head
    percent: float | None
    cuts: Sequence[float]
    links: Mapping[str, str]
    steady_seconds: float
    groups: Sequence[StepGroup]
    messages: Sequence[_Message]
    refresh_seconds: int | None
    version: int

    @property
    def document_title(self) -> str:
        """Title of the browser's tab."""
        name = self.title or self.name
        return name if self.percent is None else f"{self.whole_percent} % · {name}"

    @property
    def whole_percent(self) -> int:
        """Percentage for people, rounded down: 100 means that the job has succeeded."""
        return math.floor(self.percent or 0)


async def enter(services: Services, openings: Openings, request: Request) -> Response:
    """Show the page of a share link and set its cookies.

    A browser that sends the cookies is redirected to an address without the token.
    """
    token: str = request.path_params["token"]
    link = await run_in_threadpool(services.store.read, lambda db: find_link(db, token))
    if link is None:
        return await show_invalid_link(request)
    root = request.scope["root_path"]
    address = f"{root}/app/jobs/{link.job_id}"
    if _STORES_COOKIES in request.cookies:
        address += choices_of(request).query.removesuffix("?")
        return RedirectResponse(address, 303, {"Referrer-Policy": "no-referrer"})
    response = await _page(services, openings, request, token, link.job_id)
    is_secure = services.base_url(request).startswith("https:")
    # Each cookie has the path of its page. Otherwise a browser that has opened many
    # links would send all their cookies with each request.
    for name, value, path in (
        (cookie_name(link.job_id), token, address),
        (_STORES_COOKIES, "yes", f"{root}/s/{token}"),
    ):
        response.set_cookie(
            name,
            value,
            max_age=int((link.expires_at - utc_now()).total_seconds()),
            path=path,
            secure=is_secure,
            httponly=True,
            samesite="lax",
        )
    return response


async def show(services: Services, openings: Openings, request: Request) -> Response:
    """Show the page of a job to a browser with the cookie of a valid link."""
    job_id = job_id_in(request)
    if job_id is None:
        return await show_invalid_link(request)
    token = request.cookies.get(cookie_name(job_id), "")
    return await _page(services, openings, request, token, job_id)


def job_id_in(request: Request) -> int | None:
    """Return the job id in the path of a request; None for any other text."""
    text: str = request.path_params["job_id"]
    # A long text is rejected first: `int()` raises for more than 4,300 digits.
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_ID))):
        return None
    return int(text)


async def _page(
    services: Services, openings: Openings, request: Request, token: str, job_id: int
) -> Response:
    address = f"{services.base_url(request)}/s/{token}"
    found = await run_in_threadpool(
        services.store.read, lambda db: _find_page(db, request, token, job_id, address)
    )
    if found is None:
        return await show_invalid_link(request)
    link, values = found
    choices = choices_of(request)
    response = page(
        "customer.html",
        root=request.scope["root_path"],
        languages=LANGUAGES,
        choices=choices,
        has_script=not choices.is_still,
        script=script_address(),
        script_texts=script_texts(values["language"]),
        **values,
    )
    response.background = openings.task_for(link)
    return response


def cookie_name(job_id: int) -> str:
    """Return the name of the cookie with the token of a link to a job."""
    return f"share_{job_id}"


def find_link(db: Connection, token: str) -> Row[Any] | None:
    """Return the valid link of a token, see `share_links.find_valid_link()`."""
    return share_links.find_valid_link(db, hash_secret(token), now=utc_now())


def _find_page(
    db: Connection, request: Request, token: str, job_id: int, address: str
) -> tuple[Row[Any], dict[str, Any]] | None:
    """Return a link and the values of its page; None unless the token is of this job.

    Args:
        db: Connection to read from.
        request: Request with the choices of the reader.
        token: Token of the link.
        job_id: Job of the page.
        address: Address of the link.
    """
    link = find_link(db, token)
    if link is None or link.job_id != job_id:
        return None
    job = jobs.find_job(db, link.provider_id, job_id)
    if job is None:
        return None
    profile = providers.get_profile(db, link.provider_id)
    formats = formats_for(request, link)
    settings = configurations.find_page_settings(db, job.configuration_id)
    view = find_view(db, job, profile, settings, formats)
    return link, {
        "job": view,
        **view.links,
        "about": about_link(link, address, formats),
        "formats": formats,
        "language": formats.language,
    }


def find_view(
    db: Connection,
    job: Row[Any],
    profile: Row[Any],
    settings: PageSettings,
    formats: Formats,
) -> JobView:
    """Return the view of a job.

    Args:
        db: Connection to read from.
        job: Row of the job.
        profile: Row of its provider.
        settings: Page settings of its configuration.
        formats: Language and time zone of the page.
    """
    state = from_document(job.state)
    texts = ConfiguredTexts(settings.texts, formats.language)
    steps = steps_of(state, job.document, texts)
    provider = profile.display_name or profile.name
    keys, values = customer_keys(job.document), customer_view.find_values(db, job.id)
    shown = {
        step.tag: shown_metadata(
            keys.get(step.tag, ()), values.get(step.tag, {}), texts, formats
        )
        for step in steps
    }
    page_job = PageJob(
        state=state,
        steps=steps,
        provider=provider,
        messages=events.find_messages(db, job.id, message_ids(state, steps)),
        bounds=find_bounds(db, job, state, settings, formats.now),
    )
    plan = plan_of(job)
    head, share = head_of(page_job, formats), percent(plan, state)
    return JobView(
        name=texts.job_name(job.name),
        title=job.title,
        reference=None
        if job.reference is None
        else formats.word("reference", reference=formats.said(job.reference)),
        is_open=job.status not in ENDED,
        contact=contact_of(job, profile, formats),
        facts=about_job(job, state.started_at, formats),
        provider=provider,
        mark=mark_address(profile.mark_hash),
        head=head,
        percent=share,
        cuts=cuts_of(list((plan.points or {}).values())),
        links={
            "icon": icon_address(icon_name(head.state, share), profile.accent),
            "stylesheet": stylesheet_address(profile.accent),
        },
        steady_seconds=page_job.bounds.next_after(age_seconds(state, formats.now) or 0),
        groups=step_groups(state, steps, shown, formats),
        messages=[
            _Message(row.message, formats.time(row.shown_at))
            for row in customer_view.find_messages(db, job.id)
            if not row.message.isspace()
        ],
        refresh_seconds=_REFRESH_SECONDS if state.status in _REFRESHED else None,
        version=state.version,
    )
