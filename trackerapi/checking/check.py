"""Check of one script: it reads the script, applies the rules, returns the findings."""

import ast
import itertools
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Final

from trackerapi.checking import expressions, statements
from trackerapi.checking.calls import read_later
from trackerapi.checking.findings import NEVER_SENT, Finding, Findings
from trackerapi.checking.rules import find_missing_finish, never_sent
from trackerapi.checking.sources import Script, uses_library_elsewhere
from trackerapi.checking.state import Reading, State, Task
from trackerapi.checking.symbols import UNKNOWN, Symbol
from trackerapi.config.job_config import JobConfig

MAX_READINGS: Final = 100_000
"""Number of tasks, in about one second, after which the check skips calls.

Five tasks for each node of the script are added to this number.
"""

_READERS: Final = {**expressions.READERS, **statements.READERS}


def check_script(script: Script, configs: Sequence[JobConfig]) -> list[Finding]:
    """Return the mistakes in a script, sorted by position.

    Neither runs nor imports the script. Reads modules beside the script, to find out
    whether these modules use this library.

    Args:
        script: The script.
        configs: Job configurations that the script may use.
    """
    findings = Findings(str(script.path), script.lines)
    is_complete = not script.makes_configs
    state = State(script.tree, configs, findings, is_complete=is_complete)
    limit = MAX_READINGS + 5 * sum(1 for _ in ast.walk(script.tree))
    _run(state, _read_script(state, script.tree), limit)
    find_missing_finish(state)
    missing = list(never_sent(state, script.tree))
    folders = [script.path.absolute().parent, Path.cwd()]
    if missing and not uses_library_elsewhere(script.tree, folders):
        for at, message in missing:
            findings.add(NEVER_SENT, at, message)
    return findings.in_order()


def _run(state: State, reading: Reading, limit: int) -> None:
    """Run a reading and all tasks inside it, at any depth, without recursion.

    Args:
        state: State of the check.
        reading: Generator that has not started.
        limit: Number of tasks before the check skips calls.
    """
    unfinished = [reading]
    symbol: Any = None  # A generator that has not started accepts only None.
    for count in itertools.count():
        if count == limit:
            state.stop_following()
        try:
            task = unfinished[-1].send(symbol)
        except StopIteration as end:
            symbol = end.value
            unfinished.pop()
            if not unfinished:
                return
            continue
        begun = _begin(state, task)
        if isinstance(begun, Generator):
            unfinished.append(begun)
            symbol = None
        else:
            symbol = begun


def _read_script(state: State, tree: ast.Module) -> Reading:
    yield tree.body
    return (yield read_later(state))


def _begin(state: State, task: Task) -> Reading | Symbol:
    """Return the symbol of a task without inner tasks; else the reading of the task."""
    if isinstance(task, ast.AST):
        return _READERS.get(type(task), expressions.read_other)(state, task)
    return _read_all(task) if isinstance(task, Sequence) else task


def _read_all(nodes: Sequence[ast.AST]) -> Reading:
    symbol: Symbol = UNKNOWN
    for node in nodes:
        symbol = yield node
    return symbol
