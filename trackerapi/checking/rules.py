"""Rules of the check: they compare reports of a script with its configurations.

In all functions, `at` is the node of a tag or kind; a finding has the position of the
node.
"""

import ast
from collections.abc import Iterator

from trackerapi.checking.findings import (
    MISSING_FINISH,
    UNKNOWN_JOB,
    UNKNOWN_KIND,
    UNKNOWN_STEP,
    WRONG_ORDER,
)
from trackerapi.checking.state import State
from trackerapi.checking.symbols import UNKNOWN, Job, Step, Symbol, Text
from trackerapi.config.job_config import JobConfig, StepConfiguration, match_name
from trackerapi.config.nearest import nearest_tag
from trackerapi.errors import ConfigError, UnknownStepError, one_line
from trackerapi.events.event import KINDS, similar_kind


def name_step(state: State, job: Job, tag: Symbol, at: ast.expr) -> None:
    """Record a step that a call of a job names; add a finding for an unknown step."""
    job.is_used = True
    if isinstance(tag, Text):
        state.explained.add(tag.literal)
        job.sent.add(tag.text)
        _check_step(state, job, tag, at)
    else:
        job.is_open = True


def report_step(
    state: State, job: Job, tag: Symbol, at: ast.expr, *, begins: bool
) -> None:
    """Record a report of a step; if the report begins the step, check the order."""
    name_step(state, job, tag, at)
    if job.config is None or not isinstance(tag, Text):
        return
    step = job.config.find_step(tag.text)
    if step is not None:
        if begins:
            _check_order(state, job, step, tag.passed_at or at)
        job.begun.add(step.tag)


def report_handle(state: State, step: Step, *, begins: bool) -> None:
    """Record a report of a step by its handle."""
    job = step.job or state.current_job
    report_step(state, job, step.tag or UNKNOWN, step.named_at, begins=begins)


def report_to_unknown(state: State, tag: Symbol, at: ast.expr, *, is_job: bool) -> None:
    """Record a step that a call of an unknown object names; the object may be a job.

    With `is_job`, the variable is named like a job: a tag that resembles a known step
    is then a misspelt step.
    """
    if not isinstance(tag, Text):
        state.unknown_job.is_open = True
        return
    state.explained.add(tag.literal)
    state.unknown_job.sent.add(tag.text)
    if is_job and _nearest_step(state, tag.text):
        _check_step(state, Job(), tag, at)


def check_kind(state: State, kind: Symbol, at: ast.expr) -> str | None:
    """Return the kind of an event, or None; add a finding for a misspelt kind."""
    if not isinstance(kind, Text):
        return None
    near = similar_kind(kind.text)
    if kind.text not in KINDS and near:
        error = UnknownStepError(kind.text, near, what="event kind")
        state.findings.add(UNKNOWN_KIND, kind.passed_at or at, str(error))
    return kind.text


def config_of_tag(state: State, tag: Symbol, at: ast.expr) -> JobConfig | None:
    """Return the job configuration with a tag or display name; None if unknown.

    For a misspelt tag, adds a finding and returns the most similar configuration.
    """
    if not isinstance(tag, Text):
        return state.only_config
    state.explained.add(tag.literal)
    found = match_name(state.configs, tag.text)[0]
    if found is not None or not state.is_complete:
        return found
    near = nearest_tag(state.configs, tag.text)
    reason = f"no job configuration has the tag {tag.text!r}"
    error = ConfigError(reason, suggestion=near)
    state.findings.add(UNKNOWN_JOB, tag.passed_at or at, str(error))
    return match_name(state.configs, near)[0] if near else None


def never_sent(state: State, tree: ast.Module) -> Iterator[tuple[ast.expr, str]]:
    """Yield position and message of each step without a report in the script.

    All jobs of one configuration count as one job: one function may create the job,
    another may attach to it. A literal that no known call uses counts as reported: code
    that the check cannot follow may use the literal.
    """
    unexplained = state.released.union(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node not in state.explained
    )
    created = [job for job in state.jobs if job.created_at and job.is_used]
    created.sort(key=_position, reverse=True)
    first_jobs = {job.config.tag: job for job in created if job.config}
    for tag, job in first_jobs.items():
        same = [each for each in state.jobs if each.config in (None, job.config)]
        if not job.config or not job.created_at or any(one.is_open for one in same):
            continue
        reported = unexplained.union(*(one.sent for one in same))
        for step in job.config.step_configurations:
            if not {step.tag, step.name} & reported:
                message = (
                    f"step {step.tag!r} of job configuration {tag!r} is never sent"
                )
                yield job.created_at, message


def find_missing_finish(state: State) -> None:
    """Add a finding for each job that needs an explicit end but is never ended."""
    for job in state.jobs:
        # If a script ignores the handle from `create_job()`, other code ends the job.
        is_ours = job.is_explicit and job.is_used and not job.has_left
        if job.created_at is None or not is_ours:
            continue
        if not any(each.is_ended for each in state.jobs if _may_be_same(job, each)):
            message = (
                "the job never ends: use it in a `with` block, or call complete(), "
                "fail() or cancel()"
            )
            state.findings.add(MISSING_FINISH, job.created_at, message)


def _nearest_step(state: State, name: str) -> str | None:
    steps = [step for config in state.configs for step in config.step_configurations]
    return nearest_tag(steps, name)


def _check_step(state: State, job: Job, tag: Text, at: ast.expr) -> None:
    """Add a finding if the job's configuration has no step with this tag.

    For a job without a known configuration, all configurations are searched.
    """
    configs = [job.config] if job.config else state.configs
    is_known = any(config.find_step(tag.text) for config in configs)
    is_certain = tag.text not in state.compared and (job.config or state.is_complete)
    if is_known or not is_certain:
        return
    if job.config:
        near = nearest_tag(job.config.step_configurations, tag.text)
        message = str(UnknownStepError(tag.text, near, job.config.tag))
    else:
        near = _nearest_step(state, tag.text)
        hint = f"; did you mean {near!r}?" if near else ""
        message = one_line(f"no job configuration has a step {tag.text!r}{hint}")
    state.findings.add(UNKNOWN_STEP, tag.passed_at or at, message)


def _check_order(state: State, job: Job, step: StepConfiguration, at: ast.expr) -> None:
    """Record that a step begins; add a finding if one of its successors has begun.

    No finding is added if the step may have begun before.
    """
    config = job.config
    if config is None or job not in state.flow or state.is_over_limit:
        return
    begun = state.flow[job]
    state.flow = {**state.flow, job: begun | {step.tag}}
    others = [each for each in state.jobs if each.created_at is None]
    is_repeated = any({step.tag, step.name} & other.sent for other in others)
    if step.tag in job.begun or is_repeated or job.is_open or job.has_left:
        return
    late = begun & _successors(config, step.tag)
    first = next((s.tag for s in config.step_configurations if s.tag in late), None)
    if first is not None:
        message = (
            f"step {step.tag!r} comes after {first!r} here, and before it in "
            f"job configuration {config.tag!r}"
        )
        state.findings.add(WRONG_ORDER, at, message)


def _successors(config: JobConfig, tag: str) -> set[str]:
    """Return the tag of a step, and the tags of all steps that have to follow it."""
    found, count = {tag}, 0
    while count < len(found):
        count, previous = len(found), ""
        for step in config.step_configurations:
            after = {previous} if step.after is None else set(step.after)
            found |= {step.tag} if after & found else set()
            previous = step.tag
    return found


def _position(job: Job) -> tuple[int, int]:
    at = job.created_at
    return (at.lineno, at.col_offset) if at else (0, 0)


def _may_be_same(job: Job, other: Job) -> bool:
    """Return whether two handles may be handles of one job."""
    if other is job or other.created_at is None:
        return True
    if job.job_id is not None and other.job_id is not None:
        return job.job_id == other.job_id
    return job.config is other.config or not (job.config and other.config)
