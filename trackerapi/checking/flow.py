"""Which steps have begun when a place in a script is reached."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from trackerapi.checking.scopes import joined
from trackerapi.checking.values import Value

if TYPE_CHECKING:
    from trackerapi.checking.jobs import Job


@dataclass(frozen=True, slots=True)
class Begun:
    """The steps of one job that have begun.

    Attributes:
        surely: Tags of those that have, on whatever way the place was reached.
        perhaps: Tags of those that have on some way; holds `surely`.
    """

    surely: frozenset[str] = frozenset()
    perhaps: frozenset[str] = frozenset()


NOT_BEGUN: Final = Begun()

Flow: TypeAlias = Mapping["Job", Begun]
"""What has begun, by job. None in its place stands for a place never reached."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What is known when a place is reached.

    Attributes:
        names: What the names of the scope stand for.
        flow: What has begun; None if the place is never reached.
    """

    names: dict[str, Value]
    flow: Flow | None


def met(flows: Iterable[Flow | None]) -> Flow | None:
    """Return what has begun where several ways meet."""
    ways = [flow for flow in flows if flow is not None]
    if len(ways) <= 1:
        return ways[0] if ways else None
    jobs = dict.fromkeys(job for way in ways for job in way)
    return {job: _met([way[job] for way in ways if job in way]) for job in jobs}


def meeting(moments: Iterable[Moment]) -> Moment:
    """Return what is known where several ways meet."""
    ways = list(moments)
    reached = [way for way in ways if way.flow is not None] or ways
    return Moment(joined(way.names for way in reached), met(way.flow for way in ways))


def _met(ways: list[Begun]) -> Begun:
    surely, perhaps = ways[0].surely, ways[0].perhaps
    for way in ways[1:]:
        surely, perhaps = surely & way.surely, perhaps | way.perhaps
    return Begun(surely, perhaps)
