"""Histories of jobs for tests: listed events, random events, states of all events."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from trackerapi_backend.instants import format_instant, to_micros
from trackerapi_backend.jobs.customer_view import customer_keys
from trackerapi_backend.jobs.recording import plan_of
from trackerapi_backend.projection.job import project
from trackerapi_backend.projection.kinds import PROGRESS
from trackerapi_backend.projection.snapshot import from_document
from trackerapi_backend.projection.step import key_of, kind_of
from trackerapi_backend.store import customer_view
from trackerapi_backend.store import events as stored_events
from trackerapi_backend.store import jobs as stored_jobs
from trackerapi_backend.store.paging import fetch_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Row
    from trackerapi_backend.projection.step import Fact, Key
    from trackerapi_backend.store import Store
    from trackerapi_backend.store.events import StoredEvent

START = datetime(2026, 1, 1, tzinfo=UTC)
KINDS: Sequence[dict[str, Any]] = [
    {"kind": "start"},
    {"kind": "start", "tag": "load"},
    *({"kind": "progress", "tag": tag} for tag in ("load", "store", "other")),
    *({"kind": "progress", "tag": "load", "completed": n, "total": 9} for n in (3, 6)),
    {"kind": "progress", "tag": "load", "part": "x", "completed": 4, "total": 9},
    {"kind": "progress", "tag": "load", "part": "x", "failed": 2},
    {"kind": "progress", "tag": "load", "completed": 5, "failed": 1},
    {"kind": "progress"},
    {"kind": "step", "tag": "load"},
    {"kind": "skip", "tag": "store"},
    {"kind": "error", "tag": "store", "retrying": True},
    *(
        {"kind": "error", "tag": "store", "retrying": True, "max_attempts": n}
        for n in (3, 5)
    ),
    {"kind": "error", "tag": "load"},
    {"kind": "error"},
    {"kind": "interrupt"},
    {"kind": "cancel"},
    {"kind": "complete"},
    {"kind": "info"},
    {"kind": "custom", "tag": "load"},
]


@dataclass(frozen=True, kw_only=True)
class ListedFact:
    """Event of a history in memory; see `Fact`."""

    occurred_at: int
    event_id: bytes
    received_at: int
    kind: str
    tag: str | None = None
    fraction: float | None = None
    completed: float | None = None
    total: float | None = None
    part: str | None = None
    retrying: bool = False
    failed: float | None = None
    max_attempts: int | None = None


def facts_of(*events: dict[str, Any]) -> list[Fact]:
    """Return facts of events at intervals of one second, in the given order."""
    return [
        ListedFact(
            occurred_at=to_micros(START + timedelta(seconds=second)),
            event_id=second.to_bytes(16, "big"),
            received_at=to_micros(START + timedelta(seconds=second)),
            **event,
        )
        for second, event in enumerate(events)
    ]


@dataclass
class ListedHistory:
    """Events of one job in any order; see `History`."""

    facts: Sequence[Fact]

    def status_facts(self) -> list[Fact]:
        """Return all events but progress, in the order of their keys."""
        facts = (fact for fact in self.facts if not _is_progress(fact))
        return sorted(facts, key=key_of)

    def next_progress(self, tag: str | None, after: Key | None) -> Fact | None:
        """Return the first progress with a tag after a key."""
        following = (
            fact
            for fact in self._progress()
            if fact.tag == tag and (after is None or key_of(fact) > after)
        )
        return min(following, key=key_of, default=None)

    def progress_tags(self) -> set[str]:
        """Return the tags of all progress."""
        return {fact.tag for fact in self._progress() if fact.tag is not None}

    def all_facts(self) -> Sequence[Fact]:
        """Return all events."""
        return self.facts

    def _progress(self) -> Iterator[Fact]:
        return filter(_is_progress, self.facts)


def _is_progress(fact: Fact) -> bool:
    return kind_of(fact) is PROGRESS


def random_history(seed: int, length: int) -> list[dict[str, Any]]:
    """Return events at different times, shuffled; their ids fall with time."""
    chance = random.Random(seed)  # noqa: S311 -- a repeatable test, no secret
    events = [
        {
            **chance.choice(KINDS),
            "occurred_at": format_instant(START + timedelta(seconds=second // 2)),
            "event_id": str(UUID(int=10**6 - second)),
        }
        for second in range(length)
    ]
    chance.shuffle(events)
    return events


def assert_states_equal_refolds(store: Store, **filters: Any) -> None:
    """Check that jobs of provider 1 have state and customer view of all their events.

    Args:
        store: Store of the jobs.
        filters: Filters of `list_jobs()`; all jobs without a filter.
    """

    def check(db: Connection) -> None:
        for job in fetch_all(partial(stored_jobs.list_jobs, db, 1, filters)):
            events = stored_events.all_events(db, job.id)
            state = from_document(job.state)
            assert state == project(plan_of(job), events)
            assert job.status == state.status
            assert_customer_view_is_of(db, job, events)

    store.read(check)


def assert_customer_view_is_of(
    db: Connection, job: Row[Any], events: Sequence[StoredEvent]
) -> None:
    """Check that the customer sees the latest values and messages of events."""
    in_order = sorted(events, key=lambda event: (event.occurred_at, event.event_id))
    values: dict[str, dict[str, Any]] = {}
    for event in in_order:
        metadata = json.loads(event.event_metadata)
        for key in customer_keys(job.document).get(event.tag, ()):
            if key["name"] in metadata:
                of_step = values.setdefault(event.tag or "", {})
                of_step[key["name"]] = metadata[key["name"]]
    messages = [event.event_id for event in in_order if event.message is not None]
    assert customer_view.find_values(db, job.id) == values
    assert [row.event_id for row in customer_view.find_messages(db, job.id)] == (
        messages[: -customer_view.MAX_MESSAGES - 1 : -1]
    )
