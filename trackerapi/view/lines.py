"""Texts about jobs, steps and delivery, for both views. Pure: no output."""

from typing import Final

from trackerapi.delivery.report import DeliveryReport
from trackerapi.errors import one_line
from trackerapi.events.projection import unfinished_words
from trackerapi.number_text import units_text
from trackerapi.view.snapshot import JobSnapshot, StepSnapshot

_SPANS: Final = (("d", 86_400), ("h", 3_600), ("min", 60))
_RATES: Final = (("s", 1), ("min", 60), ("h", 3_600))
_MAX_STEPS: Final = 3
_MAX_ERROR_LENGTH: Final = 120


def seconds_text(seconds: float) -> str:
    """Return a time in its two largest units, such as `2 h 5 min`."""
    left = max(round(seconds), 0)
    for index, (unit, size) in enumerate(_SPANS):
        if left >= size:
            count, rest = divmod(left, size)
            lower, lower_size = (*_SPANS, ("s", 1))[index + 1]
            more = f" {rest // lower_size} {lower}" if rest // lower_size else ""
            return f"{count} {unit}{more}"
    return f"{left} s"


def counted_text(step: StepSnapshot) -> str:
    """Return the count of a step, such as `3 of 10 images`; empty without a count."""
    is_over = step.status not in ("pending", "running", "waiting")
    return units_text(step.completed, step.total, step.units, is_over=is_over)


def rate_text(rate: float | None) -> str:
    """Return a rate a second, minute or hour, such as `12.5/s`; empty if unknown."""
    if rate is None:
        return ""
    for unit, seconds in _RATES:
        if rate * seconds >= 1 or unit == "h":
            return f"{rate * seconds:,.{0 if rate * seconds >= 100 else 1}f}/{unit}"
    return ""


def left_text(seconds: float | None) -> str:
    """Return the remaining time, such as `5 min left`; empty if unknown."""
    return "" if seconds is None else f"{seconds_text(seconds)} left"


def percent_text(job: JobSnapshot) -> str:
    """Return the percent of a job; values below 100 are marked as `own estimate`."""
    return _percent_words(job.percent)


def status_text(status: str) -> str:
    """Return a status in words."""
    return {"waiting": "trying again"}.get(status, status)


def step_text(job: JobSnapshot, step: StepSnapshot) -> str:
    """Return the status of a step in words."""
    if step.status == "not_run":
        return unfinished_words(job.status, step.attempts)
    return status_text(step.status)


def title(job: JobSnapshot) -> str:
    """Return the title of a job: the tag of its configuration, and its id."""
    return one_line(f"{job.tag} {job.provider_job_id}".strip(), 120)


def begin_line(job: JobSnapshot) -> str:
    """Return the line of a job at its first event."""
    return _line(job, status_text(job.status), percent_text(job))


def change_line(job: JobSnapshot, step: StepSnapshot) -> str:
    """Return the line of a step whose status has changed."""
    words = f"{_name(step)} {step_text(job, step)}"
    if step.status == "running" and step.attempts > 1:
        words += f", attempt {step.attempts}"
    if step.seconds is not None:
        words += f" after {seconds_text(step.seconds)}"
    # The percent when the step changed: other steps may have ended since then.
    percent = job.percent if step.percent is None else step.percent
    return _line(job, words, _percent_words(percent))


def changes_line(job: JobSnapshot, count: int) -> str:
    """Return the line for `count` steps whose status changed since the last line."""
    done = sum(step.status in ("done", "skipped") for step in job.steps)
    words = f"{count} steps changed, {done} of {len(job.steps)} done"
    return _line(job, words, percent_text(job))


def progress_line(job: JobSnapshot, delivery: DeliveryReport | None) -> str:
    """Return the line about the progress of a job, printed at intervals."""
    running = [step for step in job.steps if step.status in ("running", "waiting")]
    words = [_step_words(step) for step in running[:_MAX_STEPS]]
    if len(running) > _MAX_STEPS:
        words.append(f"{len(running) - _MAX_STEPS} more steps")
    return _line(job, percent_text(job), *words, trouble_text(delivery))


def end_line(job: JobSnapshot, delivery: DeliveryReport | None) -> str:
    """Return the line of a job that has ended."""
    words = f"{status_text(job.status)} after {seconds_text(job.seconds)}"
    return _line(job, words, percent_text(job), trouble_text(delivery))


def trouble_text(report: DeliveryReport | None) -> str:
    """Return why reports are undelivered or held; empty without such reports."""
    if report is None:
        return ""
    parts: list[str] = []
    if report.held:
        parts.append(f"{report.held:,} held, see trackerapi outbox list")
    if report.waiting and report.last_error:
        error = one_line(report.last_error, _MAX_ERROR_LENGTH)
        parts.append(f"{report.waiting:,} not delivered yet: {error}")
    return "; ".join(parts)


def delivery_text(report: DeliveryReport | None) -> str:
    """Return the state of the delivery, in one line."""
    if report is None:
        return ""
    trouble = trouble_text(report)
    if trouble:
        return trouble
    waiting = f", {report.waiting:,} waiting" if report.waiting else ""
    return f"{report.delivered:,} delivered{waiting}"


def _percent_words(percent: float | None) -> str:
    if percent is None:
        return ""
    return "100 %" if percent == 100.0 else f"own estimate {percent:.2f} %"


def _step_words(step: StepSnapshot) -> str:
    if step.status == "waiting":
        return f"{_name(step)} {status_text(step.status)}"
    more = [rate_text(step.rate), left_text(step.seconds_left)]
    more = [text for text in more if text]
    words = f"{_name(step)} {counted_text(step) or _share_text(step)}".rstrip()
    return f"{words} ({', '.join(more)})" if more else words


def _share_text(step: StepSnapshot) -> str:
    return f"{step.fraction:.0%}" if step.fraction else status_text(step.status)


def _name(step: StepSnapshot) -> str:
    return one_line(step.tag, 60)


def _line(job: JobSnapshot, *parts: str) -> str:
    return f"{title(job)}: {', '.join(filter(None, parts))}"
