"""Steps on the customer's page: a shape and a word each, folded in long lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trackerapi_backend.projection.statuses import JobStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markupsafe import Markup

    from trackerapi_backend.pages.formats import Formats
    from trackerapi_backend.pages.metadata import MetadataValue
    from trackerapi_backend.pages.page_job import PageStep
    from trackerapi_backend.projection.job import JobState

MAX_UNFOLDED = 12
"""Maximum number of steps of an unfolded list."""
NEXT_SHOWN = 3
"""Number of pending steps that a folded list shows."""

_WORDS = {
    StepStatus.DONE: ("done", "step.done"),
    StepStatus.FAILED: ("cross", "step.failed"),
    StepStatus.SKIPPED: ("dot", "step.not_needed"),
    StepStatus.CANCELLED: ("cross", "step.cancelled"),
}


@dataclass(frozen=True, slots=True)
class StepView:
    """A step for the template.

    Attributes:
        shape: Shape of the step: `done`, `ring`, `dot`, `clock`, `triangle`, `cross`.
        words: Word for the status, with its time.
        count: Completed units of a running step; None if none were reported.
        failed: Units that failed; None if none failed.
        share: Completed share in percent.
        values: Metadata values for the customer.
    """

    name: str
    status: str
    shape: str
    words: Markup
    count: Markup | None
    failed: Markup | None
    share: int
    values: Sequence[MetadataValue]


@dataclass(frozen=True, slots=True)
class StepGroup:
    """Steps in a list, or behind a summary that opens them."""

    summary: Markup | None
    steps: Sequence[StepView]


def step_groups(
    job: JobState,
    steps: Sequence[PageStep],
    values: Mapping[str, Sequence[MetadataValue]],
    formats: Formats,
) -> list[StepGroup]:
    """Return the steps of a job, folded if there are more than `MAX_UNFOLDED`.

    Args:
        job: State of the job.
        steps: Steps in the order of the configuration.
        values: Metadata values for the customer, by step tag.
        formats: Language and time of the request.
    """
    views = [_view(job, step, values.get(step.tag, ()), formats) for step in steps]
    if len(views) <= MAX_UNFOLDED:
        return [StepGroup(None, views)] if views else []
    done = [view for view in views if view.status == StepStatus.DONE]
    to_do = [view for view in views if view.status == StepStatus.PENDING]
    settled = (StepStatus.SKIPPED, StepStatus.NOT_RUN)
    hidden = {id(view) for view in to_do[NEXT_SHOWN:]}
    hidden |= {id(view) for view in views if view.status in settled}
    rest = [view for view in views if view.status != StepStatus.DONE]
    shown = [view for view in rest if id(view) not in hidden]
    more = [view for view in rest if id(view) in hidden]
    groups = [
        StepGroup(formats.plural("done_step", len(done)), done),
        StepGroup(None, shown),
        StepGroup(formats.word("more_steps", n=formats.number(len(more))), more),
    ]
    return [group for group in groups if group.steps]


def _view(
    job: JobState,
    step: PageStep,
    values: Sequence[MetadataValue],
    formats: Formats,
) -> StepView:
    shape, key = _shape_and_word(job, step)
    state, words, count = step.state, formats.word(key, at=""), None
    if key == "step.in_progress":
        count = _count(step, formats)
        if state.started_at is not None:
            words = formats.word("step.running", at=formats.time(state.started_at))
    elif key == "step.done" and state.finished_at is not None:
        words = words + " " + formats.time(state.finished_at)
    share = int(100 * state.fraction)
    name = step.name
    failed = None
    if state.failed:
        failed = formats.word("failed_units", n=formats.number(state.failed))
    return StepView(name, step.status.value, shape, words, count, failed, share, values)


def _count(step: PageStep, formats: Formats) -> Markup | None:
    done, total = step.count_texts(formats)
    if done is None:
        return None
    if total is None:
        return formats.word("count_so_far", done=done)
    return formats.word("count_of", done=done, total=total)


def _shape_and_word(job: JobState, step: PageStep) -> tuple[str, str]:
    reported, shown = step.state.status, step.status
    if shown is StepStatus.RUNNING:
        if job.finished_at is not None:
            return "triangle", "step.not_finished"
        return "ring", "step.in_progress"
    if reported is StepStatus.WAITING and shown is StepStatus.PENDING:
        return "clock", "step.trying_again"
    if reported is StepStatus.PENDING:
        return _unsettled(job, step)
    return _WORDS[shown]


def _unsettled(job: JobState, step: PageStep) -> tuple[str, str]:
    was_interrupted = step.state.attempts > 0
    if step.status is StepStatus.PENDING:
        is_paused = was_interrupted and job.status is JobStatus.INTERRUPTED
        return ("clock", "step.paused") if is_paused else ("dot", "step.to_do")
    if was_interrupted:
        return "triangle", "step.not_finished"
    # The job has succeeded without a report of this step, so "not needed" would claim
    # more than the job has reported.
    return "dot", "step.left_out" if job.has_succeeded else "step.not_reached"
