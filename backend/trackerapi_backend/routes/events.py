"""Operations on events: one event, a batch, the list of a job."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from trackerapi_backend import measurements
from trackerapi_backend.instants import to_micros
from trackerapi_backend.jobs.erasure import erased_problem, find_erased
from trackerapi_backend.jobs.new_event import NewEvent, read_event
from trackerapi_backend.jobs.plain_lines import read_plain_line
from trackerapi_backend.jobs.recording import (
    MAX_PARTS,
    Recorded,
    Refusal,
    Report,
    record_reports,
)
from trackerapi_backend.problems import Problem, invalid
from trackerapi_backend.requests.bodies import examined_body, read_body
from trackerapi_backend.requests.call import Call, json_response, require
from trackerapi_backend.requests.contract import check, named_schema
from trackerapi_backend.requests.json_text import parse_json
from trackerapi_backend.routes.serialization import serialize_event
from trackerapi_backend.store import events as stored
from trackerapi_backend.store import jobs as stored_jobs
from trackerapi_backend.store.events import StoredEvent
from trackerapi_backend.store.paging import Span
from trackerapi_backend.store.schema import compact_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row
    from starlette.responses import Response

    from trackerapi_backend.generated import models
    from trackerapi_backend.requests.auth import Caller

MAX_LINES = 1000
FULL_PROBLEMS_BYTES = 64 * 1024
"""Maximum size of complete problems in a report, in bytes.

The problems of further lines are shortened."""
MAX_LINE_ERRORS = 5
MAX_EVENT_ID_LENGTH = 36

_job_id_of = attrgetter("job_id")


async def create_event(call: Call) -> Response:
    """Record one event; return the event as it is stored."""
    event = read_event(call.body, now=to_micros(call.now))
    report = Report(call.provider_id, [event], call.caller.job_id)
    [outcome] = await _record(call, report)
    measurements.events[_outcome_name(outcome)] += 1
    if outcome is Refusal.DUPLICATE:
        # The stored event counts, so return it in place of the repeated event.
        outcome = await call.read(lambda db: _find_stored(db, call.caller, event))
    if outcome is Refusal.UNKNOWN_JOB:
        [outcome] = await _explain(call, [outcome], [event])
    if isinstance(outcome, Refusal):
        raise _problem(outcome, event)
    return json_response(serialize_event(outcome, event.provider_job_id), 201)


async def _record(
    call: Call, report: Report, size_bytes: int | None = None
) -> list[Recorded]:
    """Record the events of a request; notify the viewers of changed jobs.

    The parts of a report are recorded one after another. So after a failure, the stored
    events are the first events of the request, in their order.
    """
    parts = report.split(call.services.writer.max_item_events)
    size = None if size_bytes is None else size_bytes // len(parts)
    outcomes: list[Recorded] = []
    for part in parts:
        outcomes += await call.write_together(
            record_reports, part, events=len(part.events), size_bytes=size
        )
        # An event of an unknown job has the job id 0.
        call.services.hub.changed({*map(_job_id_of, part.events)} - {0})
    return outcomes


def _outcome_name(outcome: Recorded) -> str:
    if isinstance(outcome, StoredEvent):
        return "accepted"
    return "duplicate" if outcome is Refusal.DUPLICATE else "rejected"


async def _explain(
    call: Call, outcomes: list[Recorded], events: Sequence[NewEvent]
) -> list[Recorded]:
    """Return the outcomes of events, with `ERASED` for the events of erased jobs.

    The look-up runs after the recording, because only events of unknown jobs need it.
    It misses no erasure: one transaction removes a job and stores the HMAC of its name.
    """
    unknown = [n for n, each in enumerate(outcomes) if each is Refusal.UNKNOWN_JOB]
    names = {events[n].provider_job_id for n in unknown}
    if call.caller.job_id is not None:
        # A job token must not reveal whether another job has existed.
        names &= {call.caller.provider_job_id or ""}
    if not names:
        return outcomes
    pepper = call.services.pepper
    erased = await call.read(
        lambda db: find_erased(db, pepper, call.provider_id, names)
    )
    for n in unknown:
        if events[n].provider_job_id in erased:
            outcomes[n] = Refusal.ERASED
    return outcomes


def _find_stored(db: Connection, caller: Caller, event: NewEvent) -> Recorded:
    job = stored_jobs.find_job_by_provider_job_id(
        db, caller.provider_id, event.provider_job_id
    )
    # The job can have been deleted since the event was found.
    if job is None:
        return Refusal.UNKNOWN_JOB
    return stored.find_event(db, job.id, event.event_id)


def _problem(refusal: Refusal, event: NewEvent) -> Problem:
    """Return the problem of an event that was neither stored nor a duplicate."""
    if refusal is Refusal.TOO_MANY_PARTS:
        return invalid("/part", f"is new, and the step has {MAX_PARTS:,} parts already")
    name = event.provider_job_id
    if refusal is Refusal.ERASED:
        return erased_problem(name)
    return Problem("unknown-job", f"This provider has no job {name!r}.")


async def import_events(call: Call) -> Response:
    """Record a batch of events, one JSON object per line; return a report."""
    body = await read_body(call.request, "application/x-ndjson", call.provider_id)
    read = partial(_read_lines, now=to_micros(call.now), request_id=call.request_id)
    size_bytes = len(body)
    async with examined_body(body, read, call.provider_id) as batch:
        # The body is parsed: it is not kept while the batch waits for the writer.
        del body
        report = Report(call.provider_id, batch.events, call.caller.job_id)
        outcomes = await _record(call, report, size_bytes)
        outcomes = await _explain(call, outcomes, batch.events)
    return json_response(_answer(batch, outcomes))


@dataclass(slots=True)
class _Batch:
    """Lines of a batch: valid events and rejected lines.

    Attributes:
        request_id: Id of the request, for each problem.
        now: Time of the request, in microseconds since 1970.
        count: Number of lines that are not blank.
        events: Events of the valid lines.
        lines: Number of the line of each event in `events`; the first line of the
            body is 1.
        rejected: Rejected lines with their problems.
        bytes_left: Bytes of complete problems that still fit the report.
    """

    request_id: str
    now: int
    count: int = 0
    events: list[NewEvent] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    rejected: list[models.RejectedLine] = field(default_factory=list)
    bytes_left: int = FULL_PROBLEMS_BYTES

    @property
    def max_errors(self) -> int:
        """Maximum number of errors to find in a line.

        1 once the report is full: a shortened problem has no locations.
        """
        return MAX_LINE_ERRORS if self.bytes_left > 0 else 1

    def reject(self, line: int, event_id: str | None, problem: Problem) -> None:
        """Add a rejected line, with a short problem once the report is full."""
        shown = problem if self.bytes_left > 0 else problem.shortened()
        document = shown.document(self.request_id)
        self.bytes_left -= len(compact_json(document).encode())
        self.rejected.append({"line": line, "event_id": event_id, "problem": document})


def _read_lines(body: bytes, *, now: int, request_id: str) -> _Batch:
    """Return the lines of a body; blank lines are ignored."""
    batch = _Batch(request_id, now)
    for number, ended in enumerate(BytesIO(body), start=1):
        event = read_plain_line(ended, now=now, line=batch.count)
        if event is None:
            if not ended.strip():
                continue
            event = _read_line(batch, number, ended.removesuffix(b"\n"))
        if event is not None:
            batch.events.append(event)
            batch.lines.append(number)
        batch.count += 1
        if batch.count > MAX_LINES:
            raise Problem("too-large", f"The body has more than {MAX_LINES} lines.")
    return batch


def _read_line(batch: _Batch, number: int, line: bytes) -> NewEvent | None:
    """Return the event of a line; if invalid, add the line to the rejected lines."""
    document = None
    try:
        document = parse_json(line)
        check(named_schema("EventInput"), document, max_errors=batch.max_errors)
        return read_event(document, now=batch.now, line=batch.count)
    except Problem as problem:
        batch.reject(number, _event_id_in(document), problem)
        return None


def _event_id_in(document: Any) -> str | None:
    """Return the `event_id` of an invalid line.

    Return None if the id is missing, too long or not printable.
    """
    sent = document.get("event_id") if isinstance(document, dict) else None
    if not isinstance(sent, str) or len(sent) > MAX_EVENT_ID_LENGTH:
        return None
    return sent if sent.isprintable() else None


def _answer(batch: _Batch, outcomes: Sequence[Recorded]) -> models.BatchReport:
    """Return the report on a batch with the outcome of each valid line."""
    refused = duplicates = 0
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, StoredEvent):
            continue
        refused += 1
        if outcome is Refusal.DUPLICATE:
            duplicates += 1
        else:
            event = batch.events[index]
            problem = _problem(outcome, event)
            batch.reject(batch.lines[index], event.sent_event_id, problem)
    measurements.events["accepted"] += len(outcomes) - refused
    measurements.events["duplicate"] += duplicates
    measurements.events["rejected"] += len(batch.rejected)
    return {
        "accepted": len(outcomes) - refused,
        "duplicates": duplicates,
        "rejected": sorted(batch.rejected, key=lambda each: each["line"]),
    }


async def list_events(call: Call) -> Response:
    """List the events of a job in order of arrival."""
    span = Span.from_parameters(call.parameters)
    job = await call.read(lambda db: _job(db, call.caller, call.parameters["job_id"]))
    return await call.read_page(
        lambda db: stored.list_events(db, job.id, span),
        lambda row: serialize_event(row, job.provider_job_id),
    )


def _job(db: Connection, caller: Caller, job_id: int) -> Row[Any]:
    job = stored_jobs.find_job(db, caller.provider_id, job_id)
    return require(caller.visible(job), "job")
