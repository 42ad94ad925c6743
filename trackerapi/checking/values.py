"""What an expression may stand for, as far as reading tells.

A `Value` is the set of all the things that an expression may be. `ANYTHING` in it says
that reading does not tell, or not all of it.
"""

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from trackerapi.config.job_config import JobConfig, StepConfiguration

if TYPE_CHECKING:
    from trackerapi.checking.jobs import Job
    from trackerapi.checking.scopes import Scope

TRACKERS: Final = frozenset({"TrackerApi", "AsyncTrackerApi"})
"""Classes of the library that make jobs."""

MOST_THINGS: Final = 600
"""Things beyond which a value is anything; more than a configuration has steps."""


class Thing:
    """One thing that an expression may be."""

    __slots__ = ()


Value = frozenset[Thing]


@dataclass(frozen=True, slots=True)
class Anything(Thing):
    """What reading does not tell."""


@dataclass(frozen=True, slots=True)
class Nothing(Thing):
    """None."""


@dataclass(frozen=True, slots=True)
class Text(Thing):
    """A text that is known.

    Attributes:
        text: The text.
        literal: Where the script spells it out; None where it comes from elsewhere.
        given_at: The argument by which it came into the function that uses it; None
            where it did not come as an argument.
    """

    text: str
    literal: ast.expr | None = field(default=None, compare=False)
    given_at: ast.expr | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Number(Thing):
    """A whole number that is known."""

    number: int


@dataclass(frozen=True, slots=True)
class Items(Thing):
    """A list or tuple whose items are known.

    Attributes:
        values: The items.
        made_at: Node of a list, which may change later; None for a tuple.
    """

    values: tuple[Value, ...]
    made_at: ast.AST | None = None


@dataclass(frozen=True, slots=True)
class Table(Thing):
    """A dict whose keys are known texts.

    Attributes:
        values: The values by key.
        made_at: Its node; it may change later.
    """

    values: tuple[tuple[str, Value], ...]
    made_at: ast.AST


@dataclass(frozen=True, slots=True)
class Library(Thing):
    """A module, class or function of this library.

    Attributes:
        name: The last part of its name, such as `TrackerApi`.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Builtin(Thing):
    """A function that Python has built in."""

    name: str


@dataclass(frozen=True, slots=True)
class Tracker(Thing):
    """A `TrackerApi`."""


@dataclass(frozen=True, slots=True)
class LoadedConfigs(Thing):
    """A `JobConfigManager`."""


@dataclass(frozen=True, slots=True)
class Config(Thing):
    """A job configuration."""

    config: JobConfig


@dataclass(frozen=True, slots=True)
class StepConfig(Thing):
    """A step of a job configuration."""

    step: StepConfiguration


@dataclass(frozen=True, slots=True)
class StepHandle(Thing):
    """What `job.step()` returns.

    Attributes:
        job: The job.
        tag: What names the step.
        named_at: Where it is named.
    """

    job: "Job"
    tag: Value
    named_at: ast.expr


@dataclass(frozen=True, slots=True)
class Tracked(Thing):
    """What `job.track()` and `step.track()` return: iterated over, the step begins."""

    step: StepHandle


@dataclass(frozen=True, slots=True)
class Steps(Thing):
    """What `job.steps` is."""

    job: "Job"


@dataclass(frozen=True, slots=True)
class StepBlock(Thing):
    """What the library's `step()` returns: a decorator, and a block.

    Attributes:
        tag: What names the step.
        named_at: Where it is named.
    """

    tag: Value
    named_at: ast.expr


@dataclass(frozen=True, slots=True)
class JobDecorator(Thing):
    """What `tracker.job()` returns when it is to decorate a function.

    Attributes:
        tag: What names the job's configuration.
        made_at: The call.
    """

    tag: Value
    made_at: ast.Call


@dataclass(frozen=True, slots=True, eq=False)
class Function(Thing):
    """A function of the script.

    Attributes:
        node: How it is written.
        scope: Where it is written.
        defaults: Values of parameters that have one, by name.
        decorators: The library's decorators on it, the outermost first.
        is_strange: Whether others decorate it too: nobody knows what they make of it.
        owner: The object whose method it is; None for a plain function.
    """

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: "Scope"
    defaults: dict[str, Value] = field(default_factory=dict[str, Value])
    decorators: tuple[StepBlock | JobDecorator, ...] = ()
    is_strange: bool = False
    owner: "Instance | None" = None


@dataclass(frozen=True, slots=True, eq=False)
class Class(Thing):
    """A class of the script.

    Attributes:
        scope: Names of its body.
        bases: What it is derived from.
        attributes: What its objects were seen to carry, by name.
    """

    scope: "Scope"
    bases: tuple["Class", ...] = ()
    attributes: dict[str, Value] = field(default_factory=dict[str, Value])

    def find(self, name: str) -> Value | None:
        """Return what a name stands for in the class; None if it is not there."""
        if name in self.scope.names:
            return self.scope.names[name]
        found = (base.find(name) for base in self.bases)
        return next((value for value in found if value is not None), None)


@dataclass(frozen=True, slots=True)
class Instance(Thing):
    """An object of a class of the script."""

    of: Class


@dataclass(frozen=True, slots=True)
class Method(Thing):
    """A method of a thing, before it is called."""

    owner: Thing
    name: str


ANYTHING: Final[Value] = frozenset({Anything()})
NOTHING: Final[Value] = frozenset({Nothing()})


def just(thing: Thing) -> Value:
    """Return the value that is one thing."""
    return frozenset({thing})


def either(values: Iterable[Value]) -> Value:
    """Return the value that may be any of several."""
    things = frozenset(thing for value in values for thing in value)
    return things if len(things) <= MOST_THINGS else ANYTHING


def texts_of(value: Value) -> tuple[list[Text], bool]:
    """Return the texts that a value may be, and whether it may be something else.

    None is no text, but nothing else either.
    """
    texts = sorted(
        (thing for thing in value if isinstance(thing, Text)),
        key=lambda thing: thing.text,
    )
    others = [t for t in value if not isinstance(t, Text | Nothing)]
    return texts, bool(others)


def widened(before: Value, after: Value) -> Value:
    """Return what a name may be that each round of a loop may change.

    Things that a script has few of stay as they are; any other may be anything.
    """
    if after <= before:
        return before
    few = (Text, Number, Items, Table)
    rest = frozenset(thing for thing in after if not isinstance(thing, few))
    return before | rest if rest == after else before | rest | ANYTHING
