"""Records of a test: of this process in memory, of other processes in files.

A record is a line in the format of the outbox. Threads may share a store. The store has
no lock: a fork could copy a locked lock into the child.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from trackerapi.delivery.conflation import Conflation, Key, Line
from trackerapi.events.event import Event
from trackerapi.jobs.state import JobStates
from trackerapi.outbox.folder import OutboxFolder
from trackerapi.outbox.records import (
    Creation,
    job_of,
    parse_creation,
    parse_record,
    sort_events,
)
from trackerapi.outbox.survey import views


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """Records of one job.

    Attributes:
        number: Position in the order of first reports, from 1.
        provider_job_id: The provider's id of the job.
        creation: Members of the first creation; None if the job was not created.
        is_held: Whether the creation was rejected.
        events: Events, in the order in which they happened.
    """

    number: int
    provider_job_id: str
    creation: Mapping[str, Any] | None
    is_held: bool
    events: tuple[Event, ...]


class RecordStore:
    """Records of one test, by job.

    Args:
        outbox: Folder with the records of other processes; may be missing.

    Attributes:
        job_states: States of the jobs that the test reports.
    """

    def __init__(self, outbox: Path) -> None:
        self.outbox: Final = outbox
        self.job_states: Final = JobStates()
        self._lines: dict[str, list[bytes]] = {}
        self._numbers: dict[str, int] = {}
        self._pid = os.getpid()
        # A constant clock makes the store keep the first and last progress of a step.
        self._conflation = Conflation(self._write, clock=lambda: 0.0)

    def record_event(self, line: bytes, provider_job_id: str, tag: str | None) -> None:
        """Keep an event; see `Delivery`."""
        self.write_pending(provider_job_id, tag)
        self._keep(provider_job_id, line)

    def record_newest(self, line: Line, key: Key) -> None:
        """Keep an event that replaces the pending event with the same key."""
        self._conflation.offer(key, line)

    def write_pending(self, provider_job_id: str, tag: str | None) -> None:
        """Keep the pending progress of a step; see `Delivery`."""
        if self._conflation.pending:
            self._conflation.write_pending(provider_job_id, tag)

    def record_creation(
        self,
        document: Mapping[str, Any],
        state: str,
        problem: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep the creation of a job; see `Delivery`."""
        creation = Creation(document=document, state=state, problem=problem)
        self._keep(creation.provider_job_id, creation.as_line())

    def count(self, *, held: bool = False) -> int:
        """Return the number of records; with `held`, only records of rejected jobs."""
        if not held:
            return sum(map(len, list(self._lines.values())))
        return sum(len(job.events) + 1 for job in self.jobs() if job.is_held)

    def jobs(self) -> list[JobRecord]:
        """Return all jobs, in the order of their first reports."""
        self._write_all_pending()
        lines = {job_id: list(kept) for job_id, kept in list(self._lines.items())}
        for line in self._foreign_lines():
            lines.setdefault(job_of(line), []).append(line)
        return [self._job(job_id, kept) for job_id, kept in lines.items() if job_id]

    def find(self, provider_job_id: str) -> JobRecord | None:
        """Return one job; None if the job has no records."""
        lines = self._lines_of(provider_job_id)
        return self._job(provider_job_id, lines) if lines else None

    def events_of(self, provider_job_id: str) -> list[dict[str, Any]]:
        """Return the members of a job's events, in the order in which they happened."""
        return _events_in(self._lines_of(provider_job_id))

    def preview(self, document: Mapping[str, Any]) -> JobRecord:
        """Return the job that a creation with these members would make."""
        creation = Creation(document=document, state="done")
        job_id = creation.provider_job_id
        return self._job(job_id, [creation.as_line(), *self._lines.get(job_id, ())])

    def _lines_of(self, provider_job_id: str) -> list[bytes]:
        self._write_all_pending()
        foreign = (li for li in self._foreign_lines() if job_of(li) == provider_job_id)
        return [*self._lines.get(provider_job_id, ()), *foreign]

    def _write_all_pending(self) -> None:
        if os.getpid() == self._pid:
            self._conflation.write_all()

    def _write(self, line: bytes) -> None:
        self._keep(job_of(line), line)

    def _keep(self, provider_job_id: str, line: bytes) -> None:
        if line:  # An empty line stands for an event that `before_send` dropped.
            self._lines.setdefault(provider_job_id, []).append(line)

    def _foreign_lines(self) -> Iterator[bytes]:
        """Yield the records of other processes."""
        for file in views(OutboxFolder(self.outbox).all_paths()):
            yield from file.settled_lines()
            yield from file.undelivered_lines()

    def _job(self, provider_job_id: str, lines: list[bytes]) -> JobRecord:
        number = self._numbers.setdefault(provider_job_id, len(self._numbers) + 1)
        creations = [c for c in map(parse_creation, lines) if c is not None]
        taken = [c for c in creations if c.state != "held"] or creations
        return JobRecord(
            number=number,
            provider_job_id=provider_job_id,
            creation=taken[0].document if taken else None,
            is_held=bool(creations) and creations[-1].state == "held",
            events=tuple(map(_event, _events_in(lines))),
        )


def time_of(event: Event) -> datetime:
    """Return the time of an event."""
    return datetime.fromisoformat(event.occurred_at)


def _events_in(lines: list[bytes]) -> list[dict[str, Any]]:
    """Return the members of events in lines, in the order in which they happened."""
    return sort_events(
        event for event in map(parse_record, lines) if "event_id" in event
    )


def _event(members: Mapping[str, Any]) -> Event:
    names = [field.name for field in fields(Event) if field.name in members]
    metadata: dict[str, Any] = members.get("event_metadata") or {}
    return Event(**{name: members[name] for name in names}, metadata=metadata)
