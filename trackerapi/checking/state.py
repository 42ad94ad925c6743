"""State of the check at one point of a script: names, begun steps, current job."""

import ast
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from trackerapi.checking.findings import Findings
from trackerapi.checking.symbols import (
    UNKNOWN,
    Function,
    Items,
    Job,
    Plain,
    Scope,
    Symbol,
)
from trackerapi.config.job_config import JobConfig

Task: TypeAlias = "ast.AST | Sequence[ast.AST] | Reading"
"""A node, a sequence of nodes, or a reading that has not started."""

Reading: TypeAlias = Generator["Task", Symbol, Symbol]
"""A generator that reads a part of a script.

The generator yields each task inside the part, receives the symbol of the task, and
returns the symbol of the part. `check_script()` keeps unfinished generators in a list:
deeply nested source needs no deep Python stack.
"""

Reader: TypeAlias = Callable[["State", Any], Reading | Symbol]
"""Function that reads one type of node; returns the symbol, or a generator for it."""

Flow: TypeAlias = Mapping[Job, frozenset[str]]
"""Tags of the begun steps by job. A job with an unknown order of steps is absent."""

_COROUTINE_RUNNERS: Final = frozenset({"run", "run_until_complete"})


@dataclass(frozen=True, slots=True)
class Argument:
    """Symbol and node of an argument."""

    symbol: Symbol
    at: ast.expr


@dataclass(slots=True)
class Arguments:
    """Arguments of a call; `has_more` if `*` or `**` may pass further arguments."""

    positional: list[Argument] = field(default_factory=list[Argument])
    keywords: dict[str, Argument] = field(default_factory=dict[str, Argument])
    has_more: bool = False

    def find(self, name: str, index: int | None = None) -> Argument | None:
        """Return an argument by keyword or position; None if absent."""
        if name in self.keywords or index is None:
            return self.keywords.get(name)
        return self.positional[index] if index < len(self.positional) else None

    def symbol(self, name: str, index: int | None = None) -> Symbol:
        """Return the symbol of an argument.

        For an absent argument, return `UNKNOWN` if `*` or `**` may pass the argument,
        else `Plain.NONE`.
        """
        found = self.find(name, index)
        return found.symbol if found else UNKNOWN if self.has_more else Plain.NONE

    def __iter__(self) -> Iterator[Symbol]:
        for argument in (*self.positional, *self.keywords.values()):
            yield argument.symbol


class State:
    """State of the check at its current point in a script.

    Attributes:
        configs: Job configurations from configuration files.
        is_complete: False if the script makes further configurations in code.
        findings: Collector of the mistakes.
        unknown_job: Placeholder for all jobs that the script does not visibly create,
            such as the current job of a function that other modules call.
        jobs: All jobs of the script, `unknown_job` included.
        explained: Literals that name a step or a job configuration.
        released: Texts that were passed to code that the check cannot follow.
        compared: Texts in comparisons: the condition may exclude a report of the text.
        called: Nodes of functions that the script calls with known arguments.
        later: Functions of the script that other code may call, with the arguments.
        awaited: Calls of coroutines that run before the next statement.
        unstable: Attributes that the script sets, and names that functions bind in an
            outer scope: code that the check reads later may change them.
        is_over_limit: Whether the check has run `limit` tasks: it then skips calls and
            further rounds of loops.
        scope: Names of the module, function or class under reading.
        chain: Calls and called functions that lead from the module to this point.
        returned: Symbols of the `return` statements of the function.
        return_flow: Flow at the last `return` statement of the function.
        flow: Steps that have begun. Empty after `return` and similar statements.
        current_job: Job of the innermost block or decorated function.
    """

    def __init__(
        self,
        tree: ast.Module,
        configs: Sequence[JobConfig],
        findings: Findings,
        *,
        is_complete: bool,
    ) -> None:
        self.configs, self.is_complete = configs, is_complete
        self.findings = findings
        self.unknown_job = Job(config=self.only_config)
        self.jobs = [self.unknown_job]
        self.explained: set[ast.expr | None] = set()
        self.released: set[str] = set()
        self.compared: set[str] = set()
        self.called: set[ast.AST] = set()
        self.later: list[tuple[Function, Arguments]] = []
        self.awaited: set[ast.AST] = set()
        self.unstable: set[str] = set()
        self.is_over_limit = False
        self.scope = Scope()
        self.chain: tuple[ast.AST, ...] = ()
        self.returned: list[Symbol] = []
        self.return_flow: Flow = {}
        self.flow: Flow = {}
        self.current_job = self.unknown_job
        self._created: dict[tuple[object, ...], Job] = {}
        self._changed_lists: set[ast.AST] = set()
        self._survey(tree)

    def _survey(self, tree: ast.Module) -> None:
        """Collect the facts that the check needs before it reads a script."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                self.unstable.add(node.attr)
            elif isinstance(node, ast.Global | ast.Nonlocal):
                self.unstable.update(node.names)
            elif isinstance(node, ast.Await):
                self.awaited.add(node.value)
            elif isinstance(node, ast.Call):
                name = getattr(node.func, "attr", "")
                self.awaited.update(node.args if name in _COROUTINE_RUNNERS else ())

    @property
    def only_config(self) -> JobConfig | None:
        """The only job configuration that the script can use; else None."""
        return self.configs[0] if self.is_complete and len(self.configs) == 1 else None

    @contextmanager
    def override(self, **attributes: object) -> Generator[None]:
        """Set attributes within a block (`with` statement); restore them at its end."""
        before = {name: getattr(self, name) for name in attributes}
        for name, value in attributes.items():
            setattr(self, name, value)
        yield
        for name, value in before.items():
            setattr(self, name, value)

    def create_job(self, node: ast.Call, job: Job) -> Job:
        """Return the job that a call creates; the same job at each reading of the call.

        If the call is in a helper function, each call of the helper creates a new job.
        """
        key = (*self.chain, node, job.config.tag if job.config else None)
        if key not in self._created:
            self._created[key] = job
            self.jobs.append(job)
        self.flow = {**self.flow, self._created[key]: frozenset()}
        return self._created[key]

    def change(self, items: Items) -> None:
        """Record that the items of a list may change."""
        if items.list_node is not None:
            self._changed_lists.add(items.list_node)

    def items_of(self, symbol: Symbol) -> Sequence[Symbol] | None:
        """Return the items of a known list or tuple, else None."""
        if isinstance(symbol, Items) and symbol.list_node not in self._changed_lists:
            return symbol.items
        return None

    def stop_following(self) -> None:
        """Skip calls and further rounds of loops in the rest of the check."""
        # Skipped code may report any step and end any job.
        self.is_over_limit = self.unknown_job.is_open = self.unknown_job.is_ended = True
