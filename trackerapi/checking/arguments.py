"""The arguments of a call, and how they come into a function."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from trackerapi.checking.jobs import Job
from trackerapi.checking.values import (
    ANYTHING,
    Config,
    Function,
    Items,
    LoadedConfigs,
    Text,
    Tracker,
    Value,
    just,
)

NOT_GIVEN: Final[Value] = frozenset()


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: what it may be, and where it stands."""

    value: Value
    at: ast.expr

    def as_given(self) -> Value:
        """Return its value, whose texts remember where they were given."""
        return frozenset(
            replace(thing, given_at=self.at)
            if isinstance(thing, Text) and thing.given_at is None
            else thing
            for thing in self.value
        )


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of a call.

    Attributes:
        by_place: Those without a name.
        by_name: Those with one.
        has_more: Whether there may be others, by `*` or `**`.
    """

    by_place: tuple[Argument, ...] = ()
    by_name: tuple[tuple[str, Argument], ...] = ()
    has_more: bool = False

    def find(self, name: str, place: int | None = None) -> Argument | None:
        """Return an argument by its name, or its place; None if it is not given."""
        found = dict(self.by_name).get(name)
        if found is None and place is not None and place < len(self.by_place):
            return self.by_place[place]
        return found

    def value(self, name: str, place: int | None = None) -> Value:
        """Return what an argument may be; empty if it is not given."""
        found = self.find(name, place)
        return found.value if found else ANYTHING if self.has_more else NOT_GIVEN

    def __iter__(self) -> Iterator[Argument]:
        yield from self.by_place
        yield from dict(self.by_name).values()

    def without_first(self, count: int) -> "Arguments":
        """Return the arguments behind the first ones, as another function gets them."""
        return replace(self, by_place=self.by_place[count:])


def bound_names(
    function: Function, given: Arguments, stranger: Job, only: Config | None
) -> dict[str, Value]:
    """Return what the parameters of a function stand for when it is called.

    Args:
        function: The function.
        given: The arguments; parameters without one are what they are declared as.
        stranger: What a parameter is that is declared as a job.
        only: What one is that is declared as a configuration; None if that says
            nothing.
    """
    parameters = function.node.args
    declared = [*parameters.posonlyargs, *parameters.args]
    places = list(given.by_place)
    names: dict[str, Value] = {}
    if function.owner is not None and declared:
        names[declared.pop(0).arg] = just(function.owner)
    for parameter in [*declared, *parameters.kwonlyargs]:
        by_place = places and parameter not in parameters.kwonlyargs
        found = places.pop(0) if by_place else given.find(parameter.arg)
        default = None if given.has_more else function.defaults.get(parameter.arg)
        if found is not None:
            names[parameter.arg] = found.as_given()
        elif default is not None:
            names[parameter.arg] = default
        else:
            names[parameter.arg] = _declared(parameter, stranger, only)
    if parameters.vararg:
        rest = Items(tuple(one.as_given() for one in places))
        names[parameters.vararg.arg] = ANYTHING if given.has_more else just(rest)
    if parameters.kwarg:
        names[parameters.kwarg.arg] = ANYTHING
    return names


def _declared(parameter: ast.arg, stranger: Job, only: Config | None) -> Value:
    """Return what a parameter is by its annotation."""
    words = re.findall(r"\w+", ast.unparse(parameter.annotation or ast.Constant("")))
    if "TrackerJob" in words or "AsyncTrackerJob" in words:
        return just(stranger)
    if "TrackerApi" in words or "AsyncTrackerApi" in words:
        return just(Tracker())
    if "JobConfigManager" in words:
        return just(LoadedConfigs())
    return just(only) if "JobConfig" in words and only else ANYTHING
