"""History of a job in memory, for tests of the projection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trackerapi_backend.projection.kinds import PROGRESS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trackerapi_backend.projection.step import Fact, Key


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
