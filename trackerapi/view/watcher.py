"""Watcher of one TrackerApi: choice of the view, and events passed to the board."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TextIO

from trackerapi.errors import SettingsError
from trackerapi.view.board import Board, DeliverySource, Display
from trackerapi.view.output import Output
from trackerapi.view.plain import PlainLines

if TYPE_CHECKING:
    from trackerapi.jobs.reporter import Reporter
    from trackerapi.jobs.state import JobState
    from trackerapi.settings.settings import Settings

_BOARDS: Final[dict[str, Board]] = {}
"""Board of each kind of view: all trackers of a process share a terminal."""

_NO_CURSOR: Final = frozenset({"", "dumb", "unknown"})
"""Values of `TERM` for terminals whose cursor cannot move."""


class Watcher:
    """Watches the events of one tracker for a board.

    Args:
        board: Board that shows the jobs.
        source: Function that returns the state of the tracker's delivery.
    """

    def __init__(self, board: Board, source: DeliverySource) -> None:
        self._board, self._source = board, source

    def note_event(self, job: "JobState", kind: str, tag: str | None) -> None:
        """Queue an event for the board; never blocks."""
        self._board.note_event(job, kind, tag, self._source)

    def close(self) -> None:
        """Show the final state of the tracker's jobs, in bounded time."""
        self._board.end(self._source)


def watch_over(
    reporter: "Reporter", source: DeliverySource, settings: "Settings"
) -> None:
    """Show the jobs of `reporter` in the view that the setting `progress` selects.

    Raises:
        SettingsError: If the setting is `live` and rich is not installed.
    """
    kind = choose_view(settings.progress, sys.stderr, os.environ)
    if kind is None:
        return
    output, seconds = Output(sys.stderr), settings.progress_seconds

    def open_display() -> Display:
        if kind == "live" and output.descriptor is not None:
            with suppress(ImportError):  # The installed rich is broken or too old.
                from trackerapi.view.live import LiveView

                return LiveView(output)
        return PlainLines(output, seconds)

    # One atomic call, so that two threads get the same board.
    board = _BOARDS.setdefault(kind, Board(open_display))
    board.last_seconds = min(board.last_seconds, settings.shutdown_timeout_seconds)
    watcher = Watcher(board, source)
    reporter.show_event, reporter.end_view = watcher.note_event, watcher.close


def choose_view(
    progress: str, stream: TextIO | None, environment: Mapping[str, str]
) -> str | None:
    """Return the kind of the view: `live`, `plain`, or None if stderr is closed.

    Args:
        progress: Setting `progress`: auto, live or plain.
        stream: Stderr of the process; None for a process without stderr.
        environment: Environment variables; `TERM` names the kind of the terminal.

    Raises:
        SettingsError: If the setting is `live` and rich is not installed.
    """
    if progress == "live" and not _has_rich():
        raise SettingsError(
            'a live view needs rich; in a checkout: pip install ".[progress]". '
            "Without it, use auto",
            "progress",
        )
    is_movable = has_movable_cursor(stream, environment)
    if is_movable is None:
        return None
    return "live" if progress != "plain" and is_movable and _has_rich() else "plain"


def has_movable_cursor(
    stream: TextIO | None, environment: Mapping[str, str]
) -> bool | None:
    """Return whether a stream is a terminal whose cursor can move; None if closed.

    Args:
        stream: Stdout or stderr of the process; None for a process without it.
        environment: Environment variables; `TERM` names the kind of the terminal.
    """
    if stream is None:
        return None
    try:
        is_terminal = stream.isatty()
    except (OSError, ValueError):  # The stream is closed.
        return None
    return is_terminal and environment.get("TERM", "") not in _NO_CURSOR


def _has_rich() -> bool:
    from importlib.util import find_spec

    return find_spec("rich") is not None
