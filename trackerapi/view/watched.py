"""Rows of a job that is watched in a terminal: the bar of the job, then its steps.

Pure: callers pass size, encoding and times. Without rich: the command `job watch` works
in each installation.
"""

import math
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from trackerapi.errors import one_line
from trackerapi.events.projection import SETTLED, unfinished_words
from trackerapi.models import Job, JobStep
from trackerapi.number_text import attempt_text, failed_text, units_text
from trackerapi.view.lines import left_text, rate_text
from trackerapi.view.rate import RateMeter, seconds_left

MAX_STEPS: Final = 12
"""Maximum number of steps with a row each; of more steps, finished and later steps
share a row."""

_CYAN, _GREEN, _RED, _YELLOW, _DIM, _BOLD = "36", "32", "31", "33", "2", "1"
_COLOURS: Final = {
    "running": _CYAN,
    "done": _GREEN,
    "succeeded": _GREEN,
    "failed": _RED,
    "cancelled": _YELLOW,
    "interrupted": _YELLOW,
}
_SHAPES: Final = {
    "running": "◐",
    "done": "✓",
    "skipped": "✓",
    "failed": "✗",
    "cancelled": "✗",
}
_ASCII: Final = str.maketrans("◐✓✗○━╸─…", ">+x.==-~")
_BUSY: Final = frozenset({"running", "failed"})
_MAX_BAR: Final = 30
_MIN_NAME: Final = 20
_MIN_CUT_NAME: Final = 8
# Shape, spaces and percentage in the row of a running step.
_BESIDE_NAME: Final = 12


class _Part(NamedTuple):
    """Piece of a row; `colour` is a code of ECMA-48, empty for the usual colour."""

    text: str
    colour: str = ""


class JobRows:
    """Rows of one job; keeps the rates of its steps between two states.

    Args:
        encoding: Encoding of the terminal; characters that it lacks are replaced.
        has_colours: Whether the rows contain colours.
    """

    def __init__(self, encoding: str, *, has_colours: bool) -> None:
        self._is_plain = not _can_encode(encoding)
        self._has_colours = has_colours
        self._rates: dict[str, RateMeter] = {}

    def rows(self, job: Job, at: float, columns: int, height: int) -> list[str]:
        """Return the rows of a state, at most `height` rows.

        Args:
            job: The state.
            at: Monotonic time of its arrival, in seconds.
            columns: Width of the terminal, in cells.
            height: Maximum number of rows, 2 or more.
        """
        width = max(min(_MAX_BAR, columns // 4), 4)
        head = _head(job, width, columns - 1)
        rows = [head, *self._step_rows(job, at, width, columns - 1)]
        if len(rows) > height:
            left_out = len(rows) - height + 1
            rows = [*rows[: height - 1], [_Part(f"  and {left_out:,} more", _DIM)]]
        return [self._render(row, columns - 1) for row in rows]

    def _step_rows(
        self, job: Job, at: float, width: int, columns: int
    ) -> Iterator[list[_Part]]:
        rates = {step.tag: self._rate(step, at) for step in job.steps}
        is_folded = len(job.steps) > MAX_STEPS
        name_width = max((_cells(one_line(s.name, 40)) for s in job.steps), default=0)
        most = max(columns - width - _BESIDE_NAME, _MIN_CUT_NAME)
        name_width = min(max(name_width, _MIN_NAME), most)
        settled = [step for step in job.steps if step.status in SETTLED]
        later = [s for s in job.steps if s.status not in SETTLED | _BUSY]
        if is_folded and settled:
            yield [_shape("done"), _Part(_counted(len(settled), "done"))]
        for step in job.steps:
            if not is_folded or step.status in _BUSY:
                yield _step_row(job, step, rates[step.tag], (name_width, width))
        if is_folded and later:
            words = _words(job, later[0])
            words = "to do" if words == "pending" else words
            yield [_shape("pending"), _Part(_counted(len(later), words))]

    def _rate(self, step: JobStep, at: float) -> float | None:
        """Return the units a second of a running step; None if unknown."""
        if step.status != "running" or step.completed is None:
            self._rates.pop(step.tag, None)
            return None
        meter = self._rates.setdefault(step.tag, RateMeter())
        meter.add(at, step.completed)
        return meter.rate

    def _render(self, parts: Iterable[_Part], columns: int) -> str:
        shown, left = "", columns
        for part in parts:
            text = _cut(part.text, left)
            left -= _cells(text)
            is_coloured = self._has_colours and part.colour and text
            shown += f"\x1b[{part.colour}m{text}\x1b[0m" if is_coloured else text
            if text != part.text:
                break
        return shown.translate(_ASCII) if self._is_plain else shown


def job_line(job: Job) -> str:
    """Return a state as one line for a log."""
    percent = "" if job.percent is None else f"{math.floor(job.percent)} %"
    running = [step for step in job.steps if step.status == "running"]
    parts = [one_line(job.status, 40), percent]
    parts += [
        " ".join(filter(None, (one_line(step.name, 60), *_line_details(step))))
        for step in running
    ]
    name = one_line(job.title or job.name, 100)
    return f"{name} ({one_line(job.provider_job_id)}): " + ", ".join(
        filter(None, parts)
    )


def _line_details(step: JobStep) -> tuple[str, ...]:
    failed = failed_text(step.failed)
    attempt = attempt_text(step.attempts, step.max_attempts)
    notes = ", ".join(filter(None, (failed, attempt)))
    return _counts(step), f"({notes})" if notes else ""


def _head(job: Job, width: int, columns: int) -> list[_Part]:
    colour = _COLOURS.get(job.status, "")
    if job.percent is None:
        parts = [_Part(f" {_counted(job.event_count, 'so far', 'report')}")]
    else:
        parts = _bar(job.percent / 100, width, colour)
        parts.append(_Part(f"{math.floor(job.percent):4d} %"))
    parts.append(_Part(f"  {one_line(job.status, 40)}", colour))
    names = [one_line(job.title or job.name, 60), one_line(job.provider_job_id, 60)]
    name, job_id = _cut_longest(names, columns - sum(_cells(p.text) for p in parts) - 4)
    return [_Part(name, _BOLD), _Part(f"  {job_id}  ", _DIM), *parts]


def _step_row(
    job: Job, step: JobStep, rate: float | None, widths: tuple[int, int]
) -> list[_Part]:
    name_width, bar_width = widths
    name = _cut(one_line(step.name, 40), name_width)
    padding = " " * (name_width - _cells(name))
    parts = [_shape(step.status), _Part(f"{name}{padding}  ")]
    if step.status == "running" and (step.fraction or step.total):
        parts += _bar(step.fraction, bar_width, _CYAN)
        parts.append(_Part(f"{math.floor(step.fraction * 100):4d} %"))
    else:
        parts.append(_Part(_words(job, step), _COLOURS.get(step.status, _DIM)))
    left = None
    if rate is not None and step.completed is not None:
        left = seconds_left(rate, step.completed, step.total)
    details = (
        _counts(step),
        failed_text(step.failed),
        rate_text(rate),
        left_text(left),
        attempt_text(step.attempts, step.max_attempts),
    )
    return [*parts, _Part("".join(f"   {text}" for text in details if text), _DIM)]


def _shape(status: str) -> _Part:
    return _Part(f"  {_SHAPES.get(status, '○')} ", _COLOURS.get(status, _DIM))


def _bar(fraction: float, width: int, colour: str) -> list[_Part]:
    halves = math.floor(min(max(fraction, 0.0), 1.0) * width * 2)
    done = "━" * (halves // 2) + "╸" * (halves % 2)
    return [_Part(done, colour), _Part("─" * (width - len(done)), _DIM)]


def _words(job: Job, step: JobStep) -> str:
    is_cut_off = step.status == "running" and job.finished_at is not None
    if step.status == "not_run" or is_cut_off:
        return unfinished_words(job.status, step.attempts)
    return one_line(step.status, 40)


def _counts(step: JobStep) -> str:
    is_over = step.status not in ("pending", "running")
    return units_text(step.completed, step.total, step.units, is_over=is_over)


def _counted(count: int, words: str, noun: str = "step") -> str:
    return f"{count:,} {noun if count == 1 else f'{noun}s'} {words}"


def _cells(text: str) -> int:
    """Return the number of cells of a terminal that a text takes."""
    return sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _cut(text: str, columns: int) -> str:
    """Return the begin of a text that fits into `columns`, with an ellipsis if cut."""
    if _cells(text) <= columns:
        return text
    while text and _cells(text) >= columns:
        text = text[:-1]
    return f"{text}…" if columns > 0 else ""


def _cut_longest(texts: Sequence[str], columns: int) -> list[str]:
    """Cut the longest texts until all fit, but not below `_MIN_CUT_NAME` each."""
    sizes = [_cells(text) for text in texts]
    limit = max(*sizes, _MIN_CUT_NAME)
    while limit > _MIN_CUT_NAME and sum(min(s, limit) for s in sizes) > columns:
        limit -= 1
    return [_cut(text, limit) for text in texts]


def _can_encode(encoding: str) -> bool:
    try:
        "".join([*_SHAPES.values(), "○━╸─…"]).encode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True
