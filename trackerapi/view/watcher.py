"""The view of one TrackerApi: what its reporter tells of each event."""

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from trackerapi.view.board import Board, Display, Source
from trackerapi.view.choice import chosen
from trackerapi.view.output import Output
from trackerapi.view.plain import PlainLines

if TYPE_CHECKING:
    from trackerapi.jobs.reporter import Reporter
    from trackerapi.jobs.sending import EventSender
    from trackerapi.settings.settings import Settings

_BOARDS: Final[dict[str, Board]] = {}
"""One for each kind of view: trackers of a process share a terminal."""


class Watcher:
    """Shows the jobs of one tracker; knows neither it nor its reporter.

    Args:
        board: Where they are shown.
        source: Tells how far the tracker's delivery is.
    """

    def __init__(self, board: Board, source: Source) -> None:
        self._board, self._source = board, source

    def saw(self, job: "EventSender", kind: str, tag: str | None) -> None:
        """Take note of an event that can change a status."""
        self._board.saw(job, kind, tag, self._source)

    def close(self) -> None:
        """Show the last of the tracker's jobs, in bounded time."""
        self._board.end(self._source)


def watch_over(reporter: "Reporter", source: Source, settings: "Settings") -> None:
    """Show the jobs that report through `reporter`, as the settings say.

    Raises:
        SettingsError: If a live view is asked for and rich is not installed.
    """
    kind = chosen(settings.progress, sys.stderr, os.environ)
    if kind is None:
        return
    output, seconds = Output(sys.stderr), settings.progress_seconds

    def opened() -> Display:
        if kind == "live" and output.descriptor is not None:
            with suppress(ImportError):  # a rich that is broken or too old
                from trackerapi.view.live import LiveView

                return LiveView(output)
        return PlainLines(output, seconds)

    # One atomic step of `dict`, so that two threads get the same one.
    board = _BOARDS.setdefault(kind, Board(opened))
    board.last_seconds = min(board.last_seconds, settings.shutdown_timeout_seconds)
    watcher = Watcher(board, source)
    reporter.watch, reporter.last_words = watcher.saw, watcher.close
