"""Where reading a script stands: names, what has begun, and the way that led there."""

import ast
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

from trackerapi.checking.findings import Findings
from trackerapi.checking.flow import Begun, Flow, Moment, meeting
from trackerapi.checking.jobs import Job, KnownConfigs
from trackerapi.checking.scopes import Scope
from trackerapi.checking.values import Items, Table, Value

LONG_READ: Final = 50_000
"""Nodes read after which calls are no longer followed; about a second."""

MOST_READ: Final = 500_000
"""Nodes to read at all; functions count each time they are called."""

Result = TypeVar("Result")


class TooLong(Exception):
    """The script is beyond what can be read in a few seconds."""


@dataclass(slots=True)
class Loop:
    """Where a loop can be left, and begun anew."""

    breaks: list[Moment] = field(default_factory=list[Moment])
    continues: list[Moment] = field(default_factory=list[Moment])


@dataclass(slots=True)
class Frame:
    """A module or function that is being read.

    Attributes:
        scope: Its names.
        chain: The calls that led here, and the functions called, the first one first.
        returned: What its `return` statements return.
        ends: What has begun at each of them.
        loops: The loops around the place that is being read.
    """

    scope: Scope
    chain: tuple[ast.AST, ...] = ()
    returned: list[Value] = field(default_factory=list[Value])
    ends: list[Flow | None] = field(default_factory=list[Flow | None])
    loops: list[Loop] = field(default_factory=list[Loop])


class Reading:
    """What is known at the place of a script that is being read.

    Args:
        known: The configurations that it may use.
        findings: Takes what is found.

    Attributes:
        jobs: Jobs that the script makes or finds running.
        stranger: Stands for jobs of which nothing is known, such as the current one
            of a function that is called from elsewhere.
        accounted: Texts of the script that are known to name a step or job.
        depth: How many functions around the place run at a time nobody knows.
    """

    def __init__(self, known: KnownConfigs, findings: Findings) -> None:
        self.known, self.findings = known, findings
        self.stranger = Job(config=known.only)
        self.jobs: list[Job] = [self.stranger]
        self.accounted: set[ast.expr] = set()
        self.frame = Frame(Scope())
        self.flow: Flow | None = {}
        self.depth = 0
        self._current: list[Job] = []
        self._created: dict[tuple[object, ...], Job] = {}
        self._changed: set[ast.AST] = set()
        self._read_count = 0

    @property
    def current_job(self) -> Job:
        """The job whose block or function is being read."""
        return self._current[-1] if self._current else self.stranger

    def count(self) -> None:
        """Count a node that is read.

        Raises:
            TooLong: If there were too many.
        """
        self._read_count += 1
        if self._read_count > MOST_READ:
            raise TooLong

    @property
    def is_long(self) -> bool:
        """Whether so much was read that calls are no longer followed."""
        return self._read_count > LONG_READ

    def moment(self) -> Moment:
        """Return what is known here."""
        return Moment(dict(self.frame.scope.names), self.flow)

    def go_to(self, moment: Moment) -> None:
        """Go on with what was known elsewhere."""
        self.frame.scope.names = dict(moment.names)
        self.flow = moment.flow

    def alternatives(self, ways: Sequence[Callable[[], Result]]) -> list[Result]:
        """Read ways of which one is taken; go on where they meet."""
        start, ends, results = self.moment(), list[Moment](), list[Result]()
        for way in ways:
            self.go_to(start)
            results.append(way())
            ends.append(self.moment())
        self.go_to(meeting(ends))
        return results

    @contextmanager
    def at_any_time(self) -> Generator[None]:
        """Read what runs some time after this place, never or many times."""
        before = self.flow
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1
            self.flow = self.interrupted(before)

    @contextmanager
    def within(self, jobs: Sequence[Job]) -> Generator[None]:
        """Read a block, or function, of one of some jobs."""
        self._current.extend(jobs)
        try:
            yield
        finally:
            del self._current[len(self._current) - len(jobs) :]

    @contextmanager
    def in_scope(self, scope: Scope) -> Generator[None]:
        """Read with the names of another scope."""
        before, self.frame.scope = self.frame.scope, scope
        try:
            yield
        finally:
            self.frame.scope = before

    def interrupted(self, before: Flow | None) -> Flow | None:
        """Return what has begun after a part that may have ended anywhere.

        Args:
            before: What had begun before that part.
        """
        if before is None:
            return None
        return {
            job: Begun(begun.surely, begun.perhaps | _all_sent(job))
            for job, begun in before.items()
        }

    def change(self, value: Value) -> None:
        """Note that lists and dicts are no longer what they were when made."""
        for thing in value:
            if isinstance(thing, Items | Table) and thing.made_at is not None:
                self._changed.add(thing.made_at)

    def is_changed(self, thing: Items | Table) -> bool:
        """Tell whether a list or dict may hold something else than at first."""
        return thing.made_at in self._changed


def _all_sent(job: Job) -> frozenset[str]:
    steps = job.config.step_configurations if job.config else ()
    return frozenset(
        step.tag for step in steps if job.is_open or job.has_sent(step.tag, step.name)
    )
