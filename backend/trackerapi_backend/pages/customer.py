"""Customer's page of one job, opened by a share link or by its cookie.

A share link shows the page and sets cookies. When the browser requests the link again,
at the latest by the automatic refresh, a browser with cookies is redirected to an
address without the token. A browser without cookies keeps the address of the link.

The page shows names, statuses, the percentage, and messages and metadata for customers.
No id, diagnostics or other metadata of the provider reaches a template.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from trackerapi_backend.instants import from_micros, utc_now
from trackerapi_backend.jobs.customer_view import customer_keys
from trackerapi_backend.jobs.recording import plan_of
from trackerapi_backend.pages.metadata import MetadataValue, shown_metadata
from trackerapi_backend.pages.numbers import number_text
from trackerapi_backend.pages.rendering import page
from trackerapi_backend.projection.job import (
    JobState,
    percent,
    shown_status,
)
from trackerapi_backend.projection.snapshot import from_document
from trackerapi_backend.projection.statuses import JobStatus, StepStatus
from trackerapi_backend.projection.step import StepState
from trackerapi_backend.requests.credentials import hash_token
from trackerapi_backend.store import customer_view, jobs, share_links
from trackerapi_backend.store.schema import MAX_ID

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Row
    from starlette.requests import Request
    from starlette.responses import Response

    from trackerapi_backend.requests.call import Services

_STORES_COOKIES = "kept"
"""Name of the cookie by which `enter()` recognises a browser that stores cookies."""

_REFRESH_OFF = "?refresh=off"
_JOB_WORDS = {
    JobStatus.PENDING: "Not started yet",
    JobStatus.RUNNING: "In progress",
    JobStatus.SUCCEEDED: "Finished",
    JobStatus.FAILED: "Stopped by a problem",
    JobStatus.CANCELLED: "Cancelled",
    JobStatus.INTERRUPTED: "Paused",
}
_STEP_WORDS = {
    StepStatus.RUNNING: "In progress",
    StepStatus.DONE: "Done",
    StepStatus.FAILED: "Did not work",
    StepStatus.SKIPPED: "Not needed",
    StepStatus.CANCELLED: "Cancelled",
}
# The page of an interrupted or failed job refreshes too: an interrupted job is expected
# to continue, and a failed job may run again.
_REFRESH_SECONDS = {
    JobStatus.PENDING: 5,
    JobStatus.RUNNING: 5,
    JobStatus.INTERRUPTED: 5,
    JobStatus.FAILED: 15,
}


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    status: str
    words: str
    values: Sequence[MetadataValue]


@dataclass(frozen=True, slots=True)
class _Message:
    text: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _JobView:
    """Values for the template of the customer's page."""

    name: str
    status: str
    words: str
    percent: float | None
    update_count: int
    steps: list[_Step]
    messages: list[_Message]
    last_event_at: datetime | None
    refresh_seconds: int | None


async def enter(services: Services, request: Request) -> Response:
    """Show the page of a share link and set its cookies.

    A browser that sends the cookies is redirected to an address without the token.
    """
    token: str = request.path_params["token"]
    link = await run_in_threadpool(
        services.store.read, lambda db: _find_link(db, token)
    )
    if link is None:
        return _invalid_link_page()
    address = f"/app/jobs/{link.job_id}"
    if _STORES_COOKIES in request.cookies:
        address += _REFRESH_OFF if _is_refresh_off(request) else ""
        return RedirectResponse(address, 303, {"Referrer-Policy": "no-referrer"})
    response = await _page(services, request, token, link.job_id)
    public = services.public_base_url or str(request.base_url)
    # Each cookie has the path of its page. Otherwise a browser that has opened many
    # links would send all their cookies with each request.
    for name, value, path in (
        (_cookie_name(link.job_id), token, address),
        (_STORES_COOKIES, "yes", f"/s/{token}"),
    ):
        response.set_cookie(
            name,
            value,
            max_age=int((link.expires_at - utc_now()).total_seconds()),
            path=path,
            secure=public.startswith("https:"),
            httponly=True,
            samesite="lax",
        )
    return response


async def show(services: Services, request: Request) -> Response:
    """Show the page of a job to a browser with the cookie of a valid link."""
    text: str = request.path_params["job_id"]
    # A long text is rejected first: `int()` raises for more than 4,300 digits.
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_ID))):
        return _invalid_link_page()
    job_id = int(text)
    token = request.cookies.get(_cookie_name(job_id), "")
    return await _page(services, request, token, job_id)


async def _page(
    services: Services, request: Request, token: str, job_id: int
) -> Response:
    view = await run_in_threadpool(
        services.store.read, lambda db: _find_view(db, token, job_id)
    )
    if view is None:
        return _invalid_link_page()
    return page("customer.html", job=view, is_still=_is_refresh_off(request))


def _is_refresh_off(request: Request) -> bool:
    return request.url.query == _REFRESH_OFF[1:]


def _cookie_name(job_id: int) -> str:
    return f"share_{job_id}"


def _invalid_link_page() -> Response:
    return page("dead_end.html", status=404)


def _find_link(db: Connection, token: str) -> Row[Any] | None:
    return share_links.find_valid_link(db, hash_token(token), now=utc_now())


def _find_view(db: Connection, token: str, job_id: int) -> _JobView | None:
    """Return the view of a job; None unless the token is valid for this job."""
    link = _find_link(db, token)
    if link is None or link.job_id != job_id:
        return None
    job = jobs.find_job(db, link.provider_id, job_id)
    if job is None:
        return None
    state = from_document(job.state)
    steps = job.document["step_configurations"] if job.document else []
    keys, values = customer_keys(job.document), customer_view.find_values(db, job_id)
    return _JobView(
        name=job.name,
        status=state.status.value,
        words=_JOB_WORDS[state.status],
        percent=percent(plan_of(job), state),
        update_count=state.event_count,
        steps=[
            _step(
                state,
                step,
                shown_metadata(keys.get(step["tag"], ()), values.get(step["tag"], {})),
            )
            for step in steps
        ],
        messages=[
            _Message(row.message, from_micros(row.shown_at))
            for row in customer_view.find_messages(db, job_id)
        ],
        last_event_at=None
        if state.last_event_at is None
        else from_micros(state.last_event_at),
        refresh_seconds=_REFRESH_SECONDS.get(state.status),
    )


def _step(
    job: JobState, configured: Mapping[str, Any], values: Sequence[MetadataValue]
) -> _Step:
    step = job.steps.get(configured["tag"], StepState())
    status = shown_status(job, step)
    words = _step_words(job, step, status)
    return _Step(configured["name"], status.value, words, values)


def _step_words(job: JobState, step: StepState, status: StepStatus) -> str:
    if status is StepStatus.RUNNING:
        if job.finished_at is not None:
            return "Not finished"
        if step.total:
            done = number_text(step.completed or 0)
            return f"In progress: {done} of {number_text(step.total)}"
        if step.completed is not None:
            return f"In progress: {number_text(step.completed)} so far"
    if step.status is StepStatus.WAITING and status is StepStatus.PENDING:
        return f"Will be tried again, attempt {step.attempts + 1}"
    if step.status is StepStatus.PENDING:
        return _pending_step_words(job, step, status)
    return _STEP_WORDS[status]


def _pending_step_words(job: JobState, step: StepState, status: StepStatus) -> str:
    was_interrupted = step.attempts > 0
    if status is StepStatus.PENDING:
        is_paused = was_interrupted and job.status is JobStatus.INTERRUPTED
        return "Paused" if is_paused else "To do"
    if was_interrupted:
        return "Not finished"
    # The job has succeeded without a report of this step, so "not needed" would claim
    # more than the job has reported.
    return "Left out" if job.has_succeeded else "Not reached"
