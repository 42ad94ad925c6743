"""Symbols, which describe the objects of expressions, and scopes with their names.

An expression has one symbol. If two paths through a script lead to different symbols,
the symbol is `UNKNOWN` after the paths have joined.
"""

import ast
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from trackerapi.config.job_config import JobConfig, StepConfiguration

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class Plain(Enum):
    """Symbols without attributes."""

    UNKNOWN = "any object that no other symbol describes"
    NONE = "the object None"
    TRACKER = "a TrackerApi or AsyncTrackerApi"


UNKNOWN: Final = Plain.UNKNOWN


@dataclass(frozen=True, slots=True)
class Text:
    """A known string.

    Attributes:
        text: The string.
        literal: Node of its literal; None for a string of a configuration.
        passed_at: Argument that passed the text to a helper function; None outside
            helpers. A finding points to the argument, not into the helper.
    """

    text: str
    literal: ast.expr | None = field(default=None, compare=False)
    passed_at: ast.expr | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """A list or tuple with known items; `list_node` is None for a tuple."""

    items: tuple["Symbol", ...]
    list_node: ast.expr | None = None


@dataclass(frozen=True, slots=True)
class Library:
    """A module, class or function of this library; `name` is its name without dots."""

    name: str


@dataclass(slots=True, eq=False)
class Job:
    """A handle of a job, with the facts that the check collects about it.

    Attributes:
        config: Configuration of the job; None if unknown.
        created_at: Call that creates the job; None for a handle of a running job.
        job_id: Id that the provider gives the job; None if unknown.
        is_explicit: Whether the job needs a `with` block or an explicit end.
        is_used: Whether the script uses the handle; `run_job()` counts as a use.
        is_ended: Whether the script uses the job in a `with` block, or ends the job.
        is_open: Whether the job may report steps that the check cannot see.
        has_left: Whether the handle was passed to code that the check cannot follow.
        sent: Tags and display names of the steps that calls of the job name.
        begun: Tags of the steps that may have begun so far.
    """

    config: JobConfig | None = None
    created_at: ast.expr | None = None
    job_id: str | None = None
    is_explicit: bool = False
    is_used: bool = False
    is_ended: bool = False
    is_open: bool = False
    has_left: bool = False
    sent: set[str] = field(default_factory=set[str])
    begun: set[str] = field(default_factory=set[str])

    def leave(self) -> None:
        """Record that the handle was passed to code that the check cannot follow."""
        self.is_used = self.is_open = self.has_left = True


@dataclass(frozen=True, slots=True)
class Step:
    """A handle of a step: the result of `job.step()`, `job.track()` or `step()`.

    Attributes:
        job: Job of the step; None for a decorator or block of the current job.
        tag: Tag or display name of the step; None if unknown.
        named_at: Node of that tag or name.
        is_loop: Whether the handle is a loop of `track()`.
    """

    job: Job | None
    tag: Text | None
    named_at: ast.expr
    is_loop: bool = False


@dataclass(frozen=True, slots=True)
class JobDecorator:
    """Result of `tracker.as_job()`: each call of the decorated function is a job."""

    tag: Text | None
    created_at: ast.Call


@dataclass(frozen=True, slots=True)
class Member:
    """An attribute or method of another symbol."""

    owner: "Symbol"
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A function of the script.

    Attributes:
        node: Definition of the function.
        scope: Scope around the definition.
        defaults: Default values by parameter.
        decorators: Decorators of this library, the outermost first.
        is_deferred: Whether the body may run later than the call: a generator, or a
            function with an unknown decorator.
    """

    node: FunctionNode
    scope: "Scope"
    defaults: dict[str, "Symbol"]
    decorators: tuple[Step | JobDecorator, ...] = ()
    is_deferred: bool = False


class Scope:
    """Names of a module, function or class. Also the symbol of the class.

    Attributes:
        names: Current symbol of each name.
        changed: Names that had several symbols.
        shared: Names that `global` or `nonlocal` binds in an outer scope.
        outer: Scope whose names are visible too; None for a module.
        is_class: Whether the scope is a class: its functions cannot see its names.
    """

    def __init__(
        self, around: "Scope | None" = None, *, is_class: bool = False
    ) -> None:
        self.names: dict[str, Symbol] = {}
        self.changed: set[str] = set()
        self.shared: set[str] = set()
        self.outer: Scope | None = (
            around.outer if around and around.is_class else around
        )
        self.is_class: bool = is_class

    def find(self, name: str) -> "Scope | None":
        """Return the scope that binds a name; None for an unbound name."""
        scope: Scope | None = self
        while scope and (name not in scope.names or name in scope.shared):
            scope = scope.outer
        return scope

    def assign(self, name: str, symbol: "Symbol") -> None:
        """Bind a name to a symbol."""
        scope = self
        while name in scope.shared and scope.outer:
            scope = scope.outer
        if scope.names.get(name, symbol) != symbol:
            scope.changed.add(name)
        scope.names[name] = symbol


_Known: TypeAlias = Text | Items | JobConfig | StepConfiguration | Function | Scope
Symbol: TypeAlias = Plain | _Known | Library | Job | Step | JobDecorator | Member
