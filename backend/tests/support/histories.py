"""Histories of jobs for tests: listed events in memory, random events to report."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from trackerapi_backend.instants import format_instant
from trackerapi_backend.projection.kinds import PROGRESS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trackerapi_backend.projection.step import Fact, Key

START = datetime(2026, 1, 1, tzinfo=UTC)
KINDS: Sequence[dict[str, Any]] = [
    {"kind": "start"},
    {"kind": "start", "tag": "load"},
    *({"kind": "progress", "tag": tag} for tag in ("load", "store", "other")),
    *({"kind": "progress", "tag": "load", "completed": n, "total": 9} for n in (3, 6)),
    {"kind": "progress", "tag": "load", "part": "x", "completed": 4, "total": 9},
    {"kind": "progress"},
    {"kind": "step", "tag": "load"},
    {"kind": "skip", "tag": "store"},
    {"kind": "error", "tag": "store", "retrying": True},
    {"kind": "error", "tag": "load"},
    {"kind": "error"},
    {"kind": "interrupt"},
    {"kind": "cancel"},
    {"kind": "complete"},
    {"kind": "info"},
    {"kind": "custom", "tag": "load"},
]


@dataclass
class ListedHistory:
    """Events of one job in any order; see `History`."""

    facts: Sequence[Fact]

    def status_facts(self) -> list[Fact]:
        """Return all events but progress, in the order of their keys."""
        facts = (fact for fact in self.facts if not _is_progress(fact))
        return sorted(facts, key=lambda fact: fact.key)

    def next_progress(self, tag: str | None, after: Key | None) -> Fact | None:
        """Return the first progress with a tag after a key."""
        following = (
            fact
            for fact in self._progress()
            if fact.tag == tag and (after is None or fact.key > after)
        )
        return min(following, key=lambda fact: fact.key, default=None)

    def progress_tags(self) -> set[str]:
        """Return the tags of all progress."""
        return {fact.tag for fact in self._progress() if fact.tag is not None}

    def all_facts(self) -> Sequence[Fact]:
        """Return all events."""
        return self.facts

    def _progress(self) -> Iterator[Fact]:
        return filter(_is_progress, self.facts)


def _is_progress(fact: Fact) -> bool:
    return fact.effective_kind is PROGRESS


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
