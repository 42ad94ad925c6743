"""Live view: jobs and steps with bars, laid out by rich, drawn below the cursor.

Only this module imports rich, and only a live view imports this module.
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
from trackerapi.view.snapshot import JobSnapshot, StepSnapshot, WatchedJob

INTERVAL_SECONDS: Final = 0.25
MAX_INTERVAL_SECONDS: Final = 5.0
MAX_ROWS: Final = 16
"""Maximum number of rows that remain on the terminal after the end of a job."""

_SHARE_OF_TIME: Final = 0.02
"""Maximum share of the running time for the layout; a slow layout runs less often."""

_BAR_COLUMNS: Final = 60
"""Minimum number of terminal columns for bars."""

_COUNT_COLUMNS: Final = 45
"""Minimum number of terminal columns for counts."""

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
    """Shows jobs on a terminal; redraws a few times a second.

    Args:
        output: The terminal.
    """

    def __init__(self, output: Output) -> None:
        self._screen = Screen(output)
        self._console = Console(file=_DiscardingStream(output.encoding), emoji=False)
        self._next_at = 0.0

    def show(
        self, jobs: Sequence[WatchedJob], delivery: DeliveryReport | None, at: float
    ) -> float:
        """Draw the current state; return the seconds until the next call."""
        if at >= self._next_at:
            began = time.thread_time()
            columns, rows = self._screen.size
            snapshots = [job.snapshot(at) for job in jobs]
            self._screen.draw(self._frame(snapshots, delivery, columns, rows))
            spent = (time.thread_time() - began) / _SHARE_OF_TIME
            wait = min(max(spent, INTERVAL_SECONDS), MAX_INTERVAL_SECONDS)
            self._next_at = at + wait
        return self._next_at - at

    def end(self, job: WatchedJob, _delivery: DeliveryReport | None, at: float) -> None:
        """Print the final state of a job permanently."""
        snapshot = job.snapshot(at)
        if job.is_gone and snapshot.status in ALIVE:
            return  # Only the handle is gone: another handle may continue the job.
        columns, rows = self._screen.size
        self._screen.print_lines(
            self._render(_block(snapshot, columns, min(rows, MAX_ROWS)), columns)
        )
        self._next_at = 0.0

    def close(self) -> None:
        """Erase the view; the final states of ended jobs stay."""
        self._screen.close()

    def _frame(
        self,
        snapshots: Sequence[JobSnapshot],
        delivery: DeliveryReport | None,
        columns: int,
        rows: int,
    ) -> list[str]:
        """Return the lines of all jobs, at most `rows` - 2 lines."""
        room = rows - 2
        parts: list[RenderableType] = []
        for index, snapshot in enumerate(snapshots):
            # Each shown job needs two rows; the line about omitted jobs needs one row.
            share = max((room - 1) // max(len(snapshots) - index, 1), 2)
            if room - 1 < 2 and index:
                parts.append(_more_row(len(snapshots) - index, "job"))
                break
            block = _block(snapshot, columns, share)
            parts += block
            room -= sum(
                part.row_count if isinstance(part, Table) else 1 for part in block
            )
        text = lines.delivery_text(delivery)
        if text:
            parts.append(Text(f"delivery: {text}", style="dim"))
        return self._render(parts, columns)[: max(rows - 2, 0)]

    def _render(self, parts: Iterable[RenderableType], columns: int) -> list[str]:
        width = max(columns - 1, 1)
        with self._console.capture() as captured:
            for part in parts:
                self._console.print(
                    part, width=width, no_wrap=True, overflow="ellipsis", crop=True
                )
        return captured.get().splitlines()


def _block(job: JobSnapshot, columns: int, rows: int) -> list[RenderableType]:
    """Return the rows of a job: name, status and percent, then a row for each step."""
    head = Text(one_line(job.name, 100), style="bold")
    status = lines.status_text(job.status)
    head.append(f"  {status}", style=_STYLES.get(job.status, ""))
    parts = [lines.percent_text(job), lines.seconds_text(job.seconds)]
    head.append("  " + ", ".join(filter(None, parts)))
    if job.name != job.provider_job_id:
        head.append(f"  {one_line(job.provider_job_id, 60)}", style="dim")
    shown, left_out = _fit_steps(job.steps, rows - 1)
    block: list[RenderableType] = [head]
    if shown:
        block.append(_table(job, shown, columns))
    if left_out:
        block.append(_more_row(left_out, "step", "  "))
    return block


def _fit_steps(
    steps: Sequence[StepSnapshot], rows: int
) -> tuple[list[StepSnapshot], int]:
    """Return the steps that fit into `rows`, and the number of omitted steps.

    Running, waiting and failed steps have priority. The remaining rows show the steps
    nearest to the last of these steps, in the order of the configuration.
    """
    if len(steps) <= rows:
        return list(steps), 0
    room = max(rows - 1, 1)
    busy = [index for index, step in enumerate(steps) if step.status in _BUSY]
    at = busy[-1] if busy else 0
    near = sorted(range(len(steps)), key=lambda index: abs(index - at))
    chosen = sorted([*busy, *(i for i in near if i not in busy)][:room])
    left_out = len(steps) - len(chosen) if rows > 1 else 0
    return [steps[index] for index in chosen], left_out


def _more_row(count: int, noun: str, indent: str = "") -> Text:
    nouns = noun if count == 1 else f"{noun}s"
    return Text(f"{indent}and {count:,} more {nouns}", style="dim")


def _table(job: JobSnapshot, steps: Sequence[StepSnapshot], columns: int) -> Table:
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


def _bar(step: StepSnapshot, width: int) -> RenderableType:
    is_begun = step.status not in ("pending", "not_run", "skipped")
    if not is_begun or not (step.fraction or step.total):
        return Text("")
    return ProgressBar(total=1.0, completed=step.fraction, width=width)


def _share(step: StepSnapshot) -> str:
    is_unknown = not step.fraction and not step.total
    if is_unknown or step.status in ("pending", "not_run", "skipped"):
        return ""
    return f"{int(step.fraction * 100)} %"


def _counts(step: StepSnapshot) -> str:
    attempt = f"attempt {step.attempts}" if step.attempts > 1 else ""
    seconds = step.seconds or 0.0
    spent = lines.seconds_text(seconds) if seconds >= 1 else ""
    left = lines.left_text(step.seconds_left)
    texts = (lines.counted_text(step), lines.rate_text(step.rate), left, spent, attempt)
    return ", ".join(filter(None, texts))


class _DiscardingStream(io.StringIO):
    """Stream that discards its output; rich takes encoding and colours from it."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of the terminal."""
        return self._encoding

    def isatty(self) -> bool:
        """Return True: rich then uses colours."""
        return True

    def write(self, text: str) -> int:
        """Discard a text."""
        return len(text)
