"""What is said about jobs, in words. Pure text; nothing here knows a terminal."""

from typing import Final

from trackerapi.delivery.report import DeliveryReport
from trackerapi.errors import one_line
from trackerapi.events.projection import unfinished_words
from trackerapi.number_text import units_text
from trackerapi.view.snapshot import JobView, StepView

_SPANS: Final = (("d", 86_400), ("h", 3_600), ("min", 60))
_RATES: Final = (("s", 1), ("min", 60), ("h", 3_600))
_MOST_STEPS: Final = 3
_LONGEST_ERROR: Final = 120


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


def counted_text(step: StepView) -> str:
    """Return the units of a step, such as `3 of 10`; empty if it counted none."""
    is_over = step.status not in ("pending", "running", "waiting")
    return units_text(step.completed, step.total, is_over=is_over)


def rate_text(rate: float | None) -> str:
    """Return a speed in the unit that fits it, such as `12.5/s`; empty without one."""
    if rate is None:
        return ""
    for unit, seconds in _RATES:
        if rate * seconds >= 1 or unit == "h":
            return f"{rate * seconds:,.{0 if rate * seconds >= 100 else 1}f}/{unit}"
    return ""


def left_text(seconds: float | None) -> str:
    """Return how long the rest takes; empty if nobody can tell."""
    return "" if seconds is None else f"{seconds_text(seconds)} left"


def percent_text(job: JobView) -> str:
    """Return how far a job is; what is no end is this process's own estimate."""
    return _percent_words(job.percent)


def status_text(status: str) -> str:
    """Return a status as people read it."""
    return {"waiting": "trying again"}.get(status, status)


def step_text(job: JobView, step: StepView) -> str:
    """Return the status of a step as people read it."""
    if step.status == "not_run":
        return unfinished_words(job.status, step.attempts)
    return status_text(step.status)


def title(job: JobView) -> str:
    """Return by what a job is known: the tag of its configuration, and its id."""
    return one_line(f"{job.tag} {job.provider_job_id}".strip(), 120)


def begin_line(job: JobView) -> str:
    """Return the line of a job that is seen for the first time."""
    return _line(job, status_text(job.status), percent_text(job))


def change_line(job: JobView, step: StepView) -> str:
    """Return the line of a step that has another status than before."""
    words = f"{_name(step)} {step_text(job, step)}"
    if step.status == "running" and step.attempts > 1:
        words += f", attempt {step.attempts}"
    if step.seconds is not None:
        words += f" after {seconds_text(step.seconds)}"
    # Of that moment: by now other steps may have been done.
    percent = job.percent if step.percent is None else step.percent
    return _line(job, words, _percent_words(percent))


def changes_line(job: JobView, count: int) -> str:
    """Return the line of many steps that have changed at once."""
    done = sum(step.status in ("done", "skipped") for step in job.steps)
    words = f"{count} steps changed, {done} of {len(job.steps)} done"
    return _line(job, words, percent_text(job))


def progress_line(job: JobView, delivery: DeliveryReport | None) -> str:
    """Return the line that says from time to time how far a job is."""
    running = [step for step in job.steps if step.status in ("running", "waiting")]
    words = [_step_words(step) for step in running[:_MOST_STEPS]]
    if len(running) > _MOST_STEPS:
        words.append(f"{len(running) - _MOST_STEPS} steps more")
    return _line(job, percent_text(job), *words, trouble_text(delivery))


def end_line(job: JobView, delivery: DeliveryReport | None) -> str:
    """Return the line of a job that has ended, or is seen no more."""
    words = f"{status_text(job.status)} after {seconds_text(job.seconds)}"
    return _line(job, words, percent_text(job), trouble_text(delivery))


def trouble_text(report: DeliveryReport | None) -> str:
    """Return what keeps reports from the backend; empty if nothing does."""
    if report is None:
        return ""
    parts: list[str] = []
    if report.held:
        parts.append(f"{report.held:,} held, see trackerapi outbox list")
    if report.waiting and report.last_error:
        error = one_line(report.last_error, _LONGEST_ERROR)
        parts.append(f"{report.waiting:,} not delivered yet: {error}")
    return "; ".join(parts)


def delivery_text(report: DeliveryReport | None) -> str:
    """Return how far delivery is, in one line."""
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


def _step_words(step: StepView) -> str:
    if step.status == "waiting":
        return f"{_name(step)} {status_text(step.status)}"
    more = [rate_text(step.rate), left_text(step.seconds_left)]
    more = [text for text in more if text]
    words = f"{_name(step)} {counted_text(step) or _share_text(step)}".rstrip()
    return f"{words} ({', '.join(more)})" if more else words


def _share_text(step: StepView) -> str:
    return f"{step.fraction:.0%}" if step.fraction else status_text(step.status)


def _name(step: StepView) -> str:
    return one_line(step.tag, 60)


def _line(job: JobView, *parts: str) -> str:
    return f"{title(job)}: {', '.join(filter(None, parts))}"
