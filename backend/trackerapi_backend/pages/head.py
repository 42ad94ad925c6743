"""Head of the customer's page: headline, progress, time left, age of the news."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from trackerapi_backend.instants import to_micros
from trackerapi_backend.pages.freshness import BACK_SECONDS
from trackerapi_backend.pages.texts import State
from trackerapi_backend.projection.statuses import ENDED, SETTLED, JobStatus, StepStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from trackerapi_backend.pages.formats import Formats
    from trackerapi_backend.pages.page_job import PageJob, PageStep

MAX_CUT_STEPS = 20
"""Maximum number of steps whose limits are cuts in the bar: more cuts hide the bar."""

_BY_STATUS = {
    JobStatus.PENDING: State.PENDING,
    JobStatus.CANCELLED: State.CANCELLED,
    JobStatus.INTERRUPTED: State.INTERRUPTED,
}
_ESTIMATED = frozenset(
    {
        *(State.PENDING, State.RUNNING, State.TOTAL_UNKNOWN, State.BETWEEN_STEPS),
        *(State.NO_CONFIGURATION, State.RETRYING),
    }
)
_SENTENCE_ENDS = (".", "!", "?", "…", "。")
_NOTED = frozenset({State.SILENT, State.FAILED, State.FAILED_WITHOUT_MESSAGE})


@dataclass(frozen=True, slots=True)
class Freshness:
    """Age of the news: `live`, `quiet` or `waiting`, in a word and in sentences."""

    kind: str
    word: str
    texts: Sequence[Markup]


@dataclass(frozen=True, slots=True)
class Head:
    """Head of the page.

    Attributes:
        state: State of the job, which determines colours.
        headline: Present work or result of the job.
        lines: Sentences below the headline, each with the state that they describe.
        notes: Sentences below the bar: causes of a silence or a failure.
        when: Sentence on the time left, or on the end of the job; None if the page
            has no such sentence.
        freshness: Age of the news; None for a job that has ended.
        position: Position of the running step, such as `step 6 of 10`.
    """

    state: State
    headline: Markup
    lines: Sequence[tuple[State, Markup]]
    notes: Sequence[tuple[State, Markup]]
    when: Markup | None
    freshness: Freshness | None
    position: Markup | None


def head_of(job: PageJob, formats: Formats) -> Head:
    """Return the head of the page of a job."""
    base = _base_state(job)
    values = _values(job, base, formats)
    headline = formats.headline(base, values)
    age = job.age_seconds(formats.now)
    states = [base, *_further_states(job, formats)]
    for state in states[1:]:
        headline = formats.headline(state, {"headline": headline})
    lines = [(state, formats.line(state, values)) for state in states]
    return Head(
        state=base if base is State.INTERRUPTED else states[-1],
        headline=headline,
        lines=[each for each in lines if each[1] and each[0] not in _NOTED],
        notes=[each for each in lines if each[0] in _NOTED],
        when=_when(states, values, formats),
        freshness=_freshness(job, age, values, formats),
        position=None
        if values["number"] is None
        else formats.word("step_position", **values),
    )


def cuts_of(points: Sequence[int]) -> Sequence[float]:
    """Return the limits between steps in percent; none for more than `MAX_CUT_STEPS`.

    If all points are 0, each step has the same weight.
    """
    weights = points if sum(points) else [1] * len(points)
    if len(points) > MAX_CUT_STEPS:
        return []
    ends = [0, *accumulate(weights)]
    inner = [end for before, end in pairwise(ends) if before < end < ends[-1]]
    return [round(100 * end / ends[-1], 2) for end in inner]


def _base_state(job: PageJob) -> State:
    """Return the state without regard to the age of the news."""
    status = job.state.status
    if status is JobStatus.SUCCEEDED:
        return State.WITH_REMARKS if job.remark_count else State.SUCCEEDED
    if status is JobStatus.FAILED:
        return State.FAILED if job.message else State.FAILED_WITHOUT_MESSAGE
    if status is not JobStatus.RUNNING:
        return _BY_STATUS[status]
    if not job.steps:
        return State.NO_CONFIGURATION
    running = job.steps_with(StepStatus.RUNNING)
    if running:
        step = running[0].state
        has_count = step.completed is not None
        return State.TOTAL_UNKNOWN if has_count and not step.total else State.RUNNING
    if any(step.state.status is StepStatus.WAITING for step in job.steps):
        return State.RETRYING
    if all(step.status in SETTLED for step in job.steps):
        return State.FINISHING
    return State.BETWEEN_STEPS


def _further_states(job: PageJob, formats: Formats) -> Iterator[State]:
    status, age = job.state.status, job.age_seconds(formats.now)
    if status is JobStatus.RUNNING and job.is_reopened:
        yield State.REOPENED
    if age is None or status not in (JobStatus.RUNNING, JobStatus.INTERRUPTED):
        return
    if age >= job.bounds.silent:
        yield State.SILENT
    elif age < job.bounds.quiet and status is JobStatus.RUNNING:
        offline = job.offline_times
        if offline and to_micros(formats.now) - offline[1] < BACK_SECONDS * 1_000_000:
            yield State.BACK


def _subject(job: PageJob, state: State) -> PageStep | None:
    """Return the step that the headline or the line of a state names."""
    if state in (State.RUNNING, State.TOTAL_UNKNOWN):
        return job.steps_with(StepStatus.RUNNING)[0]
    if state is State.RETRYING:
        return _first(s for s in job.steps if s.state.status is StepStatus.WAITING)
    if state is State.BETWEEN_STEPS:
        return _first(step for step in job.steps if step.status not in SETTLED)
    if state is State.INTERRUPTED:
        begun = (s for s in job.steps if s.state.attempts)
        return _first(s for s in begun if s.status is StepStatus.PENDING)
    if state in (State.FAILED, State.FAILED_WITHOUT_MESSAGE):
        failed = job.steps_with(StepStatus.FAILED)
        latest = max(failed, key=lambda s: s.state.finished_at or 0, default=None)
        return latest or _first(job.steps_with(StepStatus.RUNNING))
    return None


def _values(job: PageJob, state: State, formats: Formats) -> dict[str, Any]:
    """Return the values of all templates; None for an unknown value."""
    number = formats.number
    subject = _subject(job, state)
    running = job.steps_with(StepStatus.RUNNING)
    skipped = len(job.steps_with(StepStatus.SKIPPED))
    failed = job.steps_with_failed_units()
    done, total = subject.count_texts(formats) if subject else (None, None)
    return {
        "done": done,
        "total": total,
        "step": None if subject is None else _named(subject, running, formats),
        "number": None if subject is None else number(subject.number),
        "count": number(len(job.steps)),
        "several": number(len(job.steps)) if len(job.steps) > 1 else None,
        "done_steps": number(len(job.steps_with(StepStatus.DONE))),
        "skipped_steps": number(skipped) if skipped else None,
        "remarks": formats.plural("remark", job.remark_count),
        "failed_units": number(sum(step.state.failed or 0 for step in failed))
        if failed
        else None,
        "failed_step": formats.said(failed[0].name) if len(failed) == 1 else None,
        "failed_steps": number(len(failed)),
        **_attempt_values(subject, formats),
        "updates": formats.plural("update", job.state.event_count),
        **_message_values(job, state, subject, formats),
        "provider": formats.said(job.provider),
        **_time_values(job, formats),
    }


def _message_values(
    job: PageJob, state: State, subject: PageStep | None, formats: Formats
) -> Mapping[str, Markup | str | None]:
    """Return the message about a state, and the period of a sentence that ends with it.

    A message that is a sentence needs no second period.
    """
    message = job.message
    if state is State.RETRYING and subject is not None:
        message = job.message_of_attempt(subject)
    if not message:
        return {"message": None, "period": None}
    period = "" if message.rstrip().endswith(_SENTENCE_ENDS) else "."
    return {"message": formats.said(message), "period": period}


def _attempt_values(
    step: PageStep | None, formats: Formats
) -> Mapping[str, str | None]:
    """Return the number of the next attempt, and the maximum number of attempts.

    None where the maximum is unknown or already exceeded: attempts of an earlier run of
    the script count too.
    """
    most = None if step is None else step.state.max_attempts
    following = 0 if step is None else step.state.attempts + 1
    if most is None or following > most:
        return {"nth_attempt": None, "attempt": None, "max_attempts": None}
    return {
        "nth_attempt": formats.ordinal(following),
        "attempt": formats.number(following),
        "max_attempts": formats.number(most),
    }


def _time_values(job: PageJob, formats: Formats) -> Mapping[str, Markup | None]:
    changed, last = job.changed_at, job.last_at
    finished, duration = job.state.finished_at, job.duration_seconds
    age, usual = job.age_seconds(formats.now), job.bounds.usual
    offline = job.offline_times
    return {
        "changed": None if changed is None else formats.time(changed),
        "last": None if last is None else formats.time(last),
        "finished": None if finished is None else formats.time(finished),
        "duration": None if duration is None else formats.duration(duration),
        "age": None if age is None else formats.age(age),
        "if_heard": None if age is None or age >= job.bounds.silent else Markup(),
        "offline_from": None if offline is None else formats.time(offline[0]),
        "offline_until": None if offline is None else formats.time(offline[1]),
        "every": None if usual is None else formats.every(usual),
    }


def _named(step: PageStep, running: Sequence[PageStep], formats: Formats) -> Markup:
    name = formats.said(step.name)
    if step.status is StepStatus.RUNNING and len(running) > 1:
        more = formats.number(len(running) - 1)
        return formats.word("several_running", step=name, more=more)
    return name


def _when(
    states: Sequence[State], values: Mapping[str, Any], formats: Formats
) -> Markup | None:
    if states[0] is State.WITH_REMARKS:
        return formats.line(State.SUCCEEDED, values)
    if states[0] in _ESTIMATED and State.SILENT not in states:
        return formats.word("no_history")
    return None


def _freshness(
    job: PageJob, age: int | None, values: Mapping[str, Any], formats: Formats
) -> Freshness | None:
    status, last = job.state.status, job.last_at
    if status in ENDED:
        return None
    if age is None or last is None:
        return Freshness("waiting", formats.word("waiting"), [])
    reported = [formats.reported(last, age)]
    if age >= job.bounds.silent or status is JobStatus.INTERRUPTED:
        return Freshness("waiting", formats.word("waiting"), reported)
    if age >= job.bounds.quiet:
        texts = [formats.line(State.QUIET, values), *reported]
        return Freshness("quiet", formats.word("quiet"), texts)
    return Freshness("live", formats.word("live"), reported)


def _first(steps: Iterable[PageStep]) -> PageStep | None:
    return next(iter(steps), None)
