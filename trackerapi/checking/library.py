"""Calls to this library in a checked script.

Each function takes a call that the script makes, records the effect of the call in the
state of the check, and returns the symbol of the result.
"""

import ast
from typing import Final

from trackerapi.checking.rules import (
    check_kind,
    config_of_tag,
    name_step,
    report_handle,
    report_step,
)
from trackerapi.checking.state import Arguments, State
from trackerapi.checking.symbols import (
    UNKNOWN,
    Job,
    JobDecorator,
    Plain,
    Step,
    Symbol,
    Text,
)
from trackerapi.config.job_config import JobConfig
from trackerapi.events.event import kinds_with

TRACKER_CLASSES: Final = frozenset({"TrackerApi", "AsyncTrackerApi"})
FOLLOWED_NAMES: Final = TRACKER_CLASSES | {"current_job", "step"}
ENDING_METHODS: Final = frozenset({"complete", "fail", "cancel"})

# `complete` is a kind of the job, so it does not begin attempts. Sent for a step, it
# acts like `step`, as in the original service: it begins and ends the step.
_BEGINNING_KINDS: Final = kinds_with("begins_attempt") | {"complete"}
_ENDING_KINDS: Final = kinds_with("ends_job")
_BEGINNING_METHODS: Final = frozenset({"start", "done", "advance"})


def evaluate_library_call(
    state: State, name: str, given: Arguments, node: ast.Call
) -> Symbol:
    """Evaluate the call of a class or function in `FOLLOWED_NAMES`."""
    if name in TRACKER_CLASSES:
        return Plain.TRACKER
    if name == "current_job":
        return state.current_job
    tag, at = _named_step(given, node, "name", 0)
    # `step()` may decorate a function. Code that the check cannot follow may call that
    # function, so the step counts as possibly reported.
    if tag:
        state.released.add(tag.text)
    else:
        state.unknown_job.is_open = True
    return Step(None, tag, at)


def evaluate_tracker_call(
    state: State, name: str, given: Arguments, node: ast.Call
) -> Symbol:
    """Evaluate the call of a method of a tracker: it may create a job."""
    if name in {"create_job", "run_job"}:
        return _create_job(state, name, given, node)
    if name == "as_job" or (name == "job" and "customer_id" in given.keywords):
        decorated = given.symbol("tag", 0)
        return JobDecorator(decorated if isinstance(decorated, Text) else None, node)
    if name in {"job", "attach"}:
        tag = given.find("tag")
        config = config_of_tag(state, tag.symbol, tag.at) if tag else state.only_config
        state.jobs.append(Job(config))
        return state.jobs[-1]
    is_tracker = name in {"from_env", "__enter__", "__aenter__"}
    return Plain.TRACKER if is_tracker else UNKNOWN


def evaluate_get_job_config(state: State, given: Arguments) -> Symbol:
    """Evaluate the call of `get_job_config()`: it finds a configuration."""
    tag = given.find("tag", 0)
    return (config_of_tag(state, tag.symbol, tag.at) if tag else None) or UNKNOWN


def evaluate_job_call(
    state: State, job: Job, name: str, given: Arguments, node: ast.Call
) -> Symbol:
    """Evaluate the call of a method of a job: it may report a step or end the job."""
    job.is_used = True
    job.is_ended |= name in ENDING_METHODS
    # After `token()`, another host may end the job; after `__enter__()`, `__exit__()`
    # may end it.
    if name == "token" or name.startswith("_"):
        job.leave()
    if name == "send_event":
        _send_event(state, job, given, node)
    elif name == "skip":
        tag, at = _named_step(given, node, "step", 0)
        report_step(state, job, tag or UNKNOWN, at, begins=False)
    elif name in {"step", "track"}:
        is_loop = name == "track"
        keyword, index = ("step", None) if is_loop else ("name", 0)
        tag, at = _named_step(given, node, keyword, index)
        name_step(state, job, tag or UNKNOWN, at)
        return Step(job, tag, at, is_loop)
    return UNKNOWN


def evaluate_step_call(state: State, step: Step, name: str) -> Symbol:
    """Evaluate the call of a method of a step: it reports the step."""
    if name == "track":
        return Step(step.job, step.tag, step.named_at, is_loop=True)
    report_handle(state, step, begins=name in _BEGINNING_METHODS)
    return UNKNOWN


def enter_block(state: State, symbol: Symbol) -> Symbol:
    """Enter a `with` block; return the symbol that `as` assigns."""
    if isinstance(symbol, Job):
        symbol.is_used = symbol.is_ended = True
    elif isinstance(symbol, Step):
        report_handle(state, symbol, begins=True)
        job = symbol.job or state.current_job
        return Step(job, symbol.tag, symbol.named_at)
    return symbol if isinstance(symbol, Job) or symbol is Plain.TRACKER else UNKNOWN


def evaluate_decorated_call(state: State, decorator: JobDecorator) -> Job:
    """Evaluate the call of a function with `@as_job()`; return the job it creates."""
    node = decorator.created_at
    at = node.args[0] if node.args else node
    config = config_of_tag(state, decorator.tag or UNKNOWN, at)
    return state.create_job(node, Job(config, node, is_used=True, is_ended=True))


def _create_job(state: State, name: str, given: Arguments, node: ast.Call) -> Job:
    found, tag = given.symbol("config"), given.find("tag", 2)
    config = found if isinstance(found, JobConfig) else None
    if found is Plain.NONE:
        config = config_of_tag(state, tag.symbol, tag.at) if tag else state.only_config
    job_id = given.symbol("provider_job_id", 0)
    is_run = name == "run_job"
    is_explicit = is_run or given.symbol("finish") == Text("explicit")
    known_id = job_id.text if isinstance(job_id, Text) else None
    return state.create_job(node, Job(config, node, known_id, is_explicit, is_run))


def _send_event(state: State, job: Job, given: Arguments, node: ast.Call) -> None:
    kind_given, step = given.find("kind", 0), given.find("name", 1)
    kind = check_kind(state, kind_given.symbol, kind_given.at) if kind_given else None
    if step is None or step.symbol is Plain.NONE:
        step = given.find("tag")
    is_of_step = step is not None and isinstance(step.symbol, Text)
    job.is_ended |= not is_of_step and (kind is None or kind in _ENDING_KINDS)
    if step is not None and step.symbol is not Plain.NONE:
        begins = kind in _BEGINNING_KINDS
        report_step(state, job, step.symbol, step.at, begins=begins)
    elif given.has_more:
        report_step(state, job, UNKNOWN, node, begins=False)


def _named_step(
    given: Arguments, node: ast.Call, keyword: str, index: int | None
) -> tuple[Text | None, ast.expr]:
    """Return the tag of the step that a call names, and the node of the tag.

    The tag is None if it is unknown; the node is then the argument or the call.
    """
    found = given.find(keyword, index)
    tag = found.symbol if found else None
    return tag if isinstance(tag, Text) else None, found.at if found else node
