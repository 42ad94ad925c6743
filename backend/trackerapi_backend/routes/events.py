"""Facts about jobs, applied once each."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

from trackerapi_backend.jobs.recording import Draft, Outcome, read_event, record_events
from trackerapi_backend.problems import Problem
from trackerapi_backend.requests.bodies import examined, parse_json, read_body
from trackerapi_backend.requests.call import Call, answer, found
from trackerapi_backend.requests.contract import check, validator
from trackerapi_backend.routes import shapes
from trackerapi_backend.store import events as stored
from trackerapi_backend.store import jobs as stored_jobs
from trackerapi_backend.store.paging import Span
from trackerapi_backend.store.schema import compact_json

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection, Row
    from starlette.responses import Response

    from trackerapi_backend.generated import models
    from trackerapi_backend.requests.auth import Caller

MAX_LINES = 1000
# Problems of a report that are told in full; each line has its problem all the same.
FULL_PROBLEMS_BYTES = 64 * 1024
ERRORS_OF_LINE = 5
LONGEST_EVENT_ID = 36


async def create_event(call: Call) -> Response:
    """Report one event."""
    draft = read_event(call.body, now=call.now)
    row = await call.write(lambda db: _record_one(db, call.caller, draft))
    return answer(shapes.event(row, draft.provider_job_id), 201)


def _record_one(db: Connection, caller: Caller, draft: Draft) -> Row[Any]:
    job = caller.visible(
        stored_jobs.find_job_by_its_name(db, caller.provider_id, draft.provider_job_id)
    )
    if job is None:
        raise _unknown_job(draft)
    record_events(db, caller.provider_id, [draft], only_job_id=caller.job_id)
    return stored.find_event(db, job.id, draft.values["event_id"])


def _unknown_job(draft: Draft) -> Problem:
    return Problem(
        "unknown-job", f"This provider has no job {draft.provider_job_id!r}."
    )


async def import_events(call: Call) -> Response:
    """Report many events, one JSON object a line."""
    body = await read_body(call.request, "application/x-ndjson")
    read = partial(_read_lines, now=call.now, request_id=call.request_id)
    batch = await examined(body, read)
    only_job_id = call.caller.job_id
    outcomes = await call.write(
        lambda db: record_events(
            db, call.provider_id, batch.drafts, only_job_id=only_job_id
        )
    )
    return answer(_report(batch, outcomes))


@dataclass(slots=True)
class _Batch:
    """The lines of a batch, good and bad.

    Attributes:
        request_id: Stands in each problem.
        lines: Line and `event_id` of each draft; the first line of the body is 1.
        rejected: Lines that were refused, and why.
        room: Bytes of problems that may still be told in full.
    """

    request_id: str
    drafts: list[Draft] = field(default_factory=list)
    lines: list[tuple[int, str | None]] = field(default_factory=list)
    rejected: list[models.RejectedLine] = field(default_factory=list)
    room: int = FULL_PROBLEMS_BYTES

    @property
    def most_errors(self) -> int:
        """Errors of a line that are worth looking for."""
        return ERRORS_OF_LINE if self.room > 0 else 1

    def reject(self, line: int, event_id: str | None, problem: Problem) -> None:
        """Add a refused line; its problem is shortened where many are long."""
        told = problem if self.room > 0 else problem.shortened()
        document = told.document(self.request_id)
        self.room -= len(compact_json(document).encode())
        self.rejected.append({"line": line, "event_id": event_id, "problem": document})


def _read_lines(body: bytes, *, now: datetime, request_id: str) -> _Batch:
    """Return the events of a body; blank lines are passed over."""
    batch, of_an_event, count = _Batch(request_id), validator("EventInput"), 0
    for number, ended in enumerate(BytesIO(body), start=1):
        line = ended.removesuffix(b"\n")
        if not line.strip():
            continue
        count += 1
        if count > MAX_LINES:
            raise Problem("too-large", f"The body has more than {MAX_LINES} lines.")
        document = None
        try:
            document = parse_json(line)
            check(of_an_event, document, most=batch.most_errors)
            batch.drafts.append(read_event(document, now=now))
            batch.lines.append((number, document.get("event_id")))
        except Problem as problem:
            batch.reject(number, _event_id_in(document), problem)
    return batch


def _event_id_in(document: Any) -> str | None:
    """Return the `event_id` of a line that may be anything."""
    sent = document.get("event_id") if isinstance(document, dict) else None
    if not isinstance(sent, str) or len(sent) > LONGEST_EVENT_ID:
        return None
    return sent if sent.isprintable() else None


def _report(batch: _Batch, outcomes: list[Outcome]) -> models.BatchReport:
    for draft, (line, event_id), outcome in zip(
        batch.drafts, batch.lines, outcomes, strict=True
    ):
        if outcome is Outcome.UNKNOWN_JOB:
            batch.reject(line, event_id, _unknown_job(draft))
    return {
        "accepted": outcomes.count(Outcome.STORED),
        "duplicates": outcomes.count(Outcome.DUPLICATE),
        "rejected": sorted(batch.rejected, key=lambda each: each["line"]),
    }


async def list_events(call: Call) -> Response:
    """List the events of a job in order of arrival."""
    span = Span.from_parameters(call.parameters)
    job = await call.read(lambda db: _job(db, call.caller, call.parameters["job_id"]))
    return await call.read_page(
        lambda db: stored.list_events(db, job.id, span),
        lambda row: shapes.event(row, job.provider_job_id),
    )


def _job(db: Connection, caller: Caller, job_id: int) -> Row[Any]:
    job = stored_jobs.find_job(db, caller.provider_id, job_id)
    return found(caller.visible(job), "job")
