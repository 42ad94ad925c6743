"""The live view: jobs and steps with bars, laid out by rich, drawn below the cursor.

The only importer of rich, and imported only where a view is shown.
"""

import io
import time
from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Console, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from trackerapi.delivery.report import DeliveryReport
from trackerapi.errors import one_line
from trackerapi.events.projection import ALIVE
from trackerapi.view import lines
from trackerapi.view.output import Output
from trackerapi.view.screen import Screen
from trackerapi.view.snapshot import JobView, Sight, StepView

INTERVAL_SECONDS: Final = 0.25
LONGEST_INTERVAL_SECONDS: Final = 5.0
MOST_ROWS: Final = 16
"""Rows that a job which has ended leaves behind."""

_SHARE_OF_TIME: Final = 0.02
"""Share of the time that laying out may take from the job."""

_BAR_COLUMNS: Final = 60
"""Fewest columns of a window that has room for bars."""

_COUNT_COLUMNS: Final = 45
"""Fewest columns of one that has room for counts."""

_STYLES: Final = {
    "running": "cyan",
    "waiting": "yellow",
    "done": "green",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "yellow",
    "interrupted": "yellow",
    "skipped": "dim",
    "pending": "dim",
    "not_run": "dim",
}
_BUSY: Final = frozenset({"running", "waiting", "failed"})


class LiveView:
    """Shows jobs on a terminal, anew a few times a second.

    Args:
        output: The terminal.
    """

    def __init__(self, output: Output) -> None:
        self._screen = Screen(output)
        self._console = Console(file=_Surface(output.encoding), emoji=False)
        self._next_at = 0.0

    def show(
        self, sights: Sequence[Sight], delivery: DeliveryReport | None, at: float
    ) -> float:
        """Draw what is so now; return the seconds until it may be drawn again."""
        if at >= self._next_at:
            began = time.thread_time()
            columns, rows = self._screen.size
            views = [sight.look(at) for sight in sights]
            self._screen.draw(self._frame(views, delivery, columns, rows))
            spent = (time.thread_time() - began) / _SHARE_OF_TIME
            wait = min(max(spent, INTERVAL_SECONDS), LONGEST_INTERVAL_SECONDS)
            self._next_at = at + wait
        return self._next_at - at

    def end(self, sight: Sight, _delivery: DeliveryReport | None, at: float) -> None:
        """Leave the last state of a job on the terminal."""
        view = sight.look(at)
        if sight.is_gone and view.status in ALIVE:
            return  # a handle for one event; others may speak of the job
        columns, rows = self._screen.size
        self._screen.leave(
            self._laid_out(_block(view, columns, min(rows, MOST_ROWS)), columns)
        )
        self._next_at = 0.0

    def close(self) -> None:
        """Take everything away but what was left to stay."""
        self._screen.close()

    def _frame(
        self,
        views: Sequence[JobView],
        delivery: DeliveryReport | None,
        columns: int,
        rows: int,
    ) -> list[str]:
        """Return the lines of all jobs; the cursor's own row stays free."""
        room = rows - 2
        parts: list[RenderableType] = []
        for index, view in enumerate(views):
            # Two rows a job at least; one for how many others there are.
            share = max((room - 1) // max(len(views) - index, 1), 2)
            if room - 1 < 2 and index:
                parts.append(_more(len(views) - index, "job"))
                break
            block = _block(view, columns, share)
            parts += block
            room -= sum(
                part.row_count if isinstance(part, Table) else 1 for part in block
            )
        text = lines.delivery_text(delivery)
        if text:
            parts.append(Text(f"delivery: {text}", style="dim"))
        return self._laid_out(parts, columns)[: max(rows - 2, 0)]

    def _laid_out(self, parts: Iterable[RenderableType], columns: int) -> list[str]:
        width = max(columns - 1, 1)
        with self._console.capture() as captured:
            for part in parts:
                self._console.print(
                    part, width=width, no_wrap=True, overflow="ellipsis", crop=True
                )
        return captured.get().splitlines()


def _block(view: JobView, columns: int, rows: int) -> list[RenderableType]:
    """Return a job: its name and how far it is, and its steps."""
    head = Text(one_line(view.name, 100), style="bold")
    status = lines.status_text(view.status)
    head.append(f"  {status}", style=_STYLES.get(view.status, ""))
    parts = [lines.percent_text(view), lines.seconds_text(view.seconds)]
    head.append("  " + ", ".join(filter(None, parts)))
    if view.name != view.provider_job_id:
        head.append(f"  {one_line(view.provider_job_id, 60)}", style="dim")
    shown, left_out = _fitting(view.steps, rows - 1)
    block: list[RenderableType] = [head]
    if shown:
        block.append(_table(view, shown, columns))
    if left_out:
        block.append(_more(left_out, "step", "  "))
    return block


def _fitting(steps: Sequence[StepView], rows: int) -> tuple[list[StepView], int]:
    """Return the steps that matter most where not all have room, and how many not."""
    if len(steps) <= rows:
        return list(steps), 0
    room = max(rows - 1, 1)
    busy = [index for index, step in enumerate(steps) if step.status in _BUSY]
    at = busy[-1] if busy else 0
    near = sorted(range(len(steps)), key=lambda index: abs(index - at))
    chosen = sorted([*busy, *(i for i in near if i not in busy)][:room])
    left_out = len(steps) - len(chosen) if rows > 1 else 0
    return [steps[index] for index in chosen], left_out


def _more(count: int, noun: str, indent: str = "") -> Text:
    nouns = noun if count == 1 else f"{noun}s"
    return Text(f"{indent}and {count:,} more {nouns}", style="dim")


def _table(job: JobView, steps: Sequence[StepView], columns: int) -> Table:
    has_bars, has_counts = columns >= _BAR_COLUMNS, columns >= _COUNT_COLUMNS
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=columns // 3)
    for _ in range(2 + has_bars):
        table.add_column(no_wrap=True)
    if has_counts:
        table.add_column(no_wrap=True, overflow="ellipsis")
    for step in steps:
        cells: list[RenderableType] = [Text(f"  {one_line(step.name, 100)}")]
        status = lines.step_text(job, step)
        cells.append(Text(status, style=_STYLES.get(step.status, "")))
        if has_bars:
            cells.append(_bar(step, columns // 5))
        cells.append(Text(_share(step), justify="right"))
        if has_counts:
            cells.append(Text(_counts(step), style="dim"))
        table.add_row(*cells)
    return table


def _bar(step: StepView, width: int) -> RenderableType:
    is_begun = step.status not in ("pending", "not_run", "skipped")
    if not is_begun or not (step.fraction or step.total):
        return Text("")
    return ProgressBar(total=1.0, completed=step.fraction, width=width)


def _share(step: StepView) -> str:
    is_unknown = not step.fraction and not step.total
    if is_unknown or step.status in ("pending", "not_run", "skipped"):
        return ""
    return f"{int(step.fraction * 100)} %"


def _counts(step: StepView) -> str:
    attempt = f"attempt {step.attempts}" if step.attempts > 1 else ""
    seconds = step.seconds or 0.0
    spent = lines.seconds_text(seconds) if seconds >= 1 else ""
    left = lines.left_text(step.seconds_left)
    texts = (lines.counted_text(step), lines.rate_text(step.rate), left, spent, attempt)
    return ", ".join(filter(None, texts))


class _Surface(io.StringIO):
    """Stands for the terminal, so that rich lays out for one and writes nothing."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The terminal's encoding."""
        return self._encoding

    def isatty(self) -> bool:
        """Tell that it is a terminal."""
        return True

    def write(self, text: str) -> int:
        """Take a text and do nothing with it."""
        return len(text)
