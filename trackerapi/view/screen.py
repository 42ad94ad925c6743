"""Lines below the cursor of a terminal.

The cursor stays at the end of the job's output. The lines are drawn below the cursor,
so the output of the job stays as the job wrote it. A wrapper of `write()` of Python's
streams erases the lines before a text of the job reaches them. The output of other
processes overwrites the lines until the next drawing.

The modes of the terminal stay unchanged, so that a killed process leaves a usable
terminal behind.
"""

import io
import os
import sys
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, TextIO

from trackerapi.process.clock import steady_seconds
from trackerapi.view.output import Output

_ERASE_BELOW: Final = "\x1b[J"
_ERASE_REST: Final = "\x1b[K"
_DOWN: Final = "\x1bD"
_SAVE_CURSOR: Final = "\x1b7"
_RESTORE_CURSOR: Final = "\x1b8"
_MIN_INTERVAL_SECONDS: Final = 0.05
_DEFAULT_SIZE: Final = os.terminal_size((80, 24))

_OPEN: Final["weakref.WeakSet[Screen]"] = weakref.WeakSet()
_hooked: Final[set[str]] = set()


class Screen:
    """Draws lines below the cursor; safe to share between threads and across a fork.

    Args:
        output: The terminal.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        # Reentrant: a signal handler may print while its thread is inside `write()`.
        self._lock = threading.RLock()
        self._lines: Sequence[str] = ()
        self._is_drawn = self._is_gone = False
        self._drawn_at = 0.0
        self._column = 0
        self._watched: list[TextIO] = []
        for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
            if stream is not None and self._is_this_terminal(stream):
                self._wrap(stream)
        _OPEN.add(self)
        if "fork" not in _hooked and hasattr(os, "register_at_fork"):
            _hooked.add("fork")
            os.register_at_fork(after_in_child=_forget_all)

    @property
    def size(self) -> os.terminal_size:
        """Columns and rows of the terminal."""
        with suppress(OSError, ValueError):
            size = os.get_terminal_size(self._output.descriptor or 0)
            if size.columns and size.lines:
                return size
        return _DEFAULT_SIZE

    def draw(self, lines: Sequence[str]) -> None:
        """Replace the lines; each line must fit into a row."""
        with self._lock:
            self._lines = lines
            self._draw_lines()

    def print_lines(self, lines: Sequence[str]) -> None:
        """Print permanent lines at the cursor; the next drawing appears below them."""
        with self._lock:
            begin = "" if self._column == 0 else "\r\n"
            text = "".join(f"{line}\r\n" for line in lines)
            self._column = 0
            self._write(f"{_ERASE_BELOW}{begin}{text}")
            self._lines, self._is_drawn = (), False

    def close(self) -> None:
        """Erase the lines, and unwrap the streams."""
        with self._lock:
            if self._is_drawn:
                self._write(_ERASE_BELOW)
            self._stop()

    def forget(self) -> None:
        """Stop drawing in a forked child: the parent draws on the same terminal."""
        # A new lock: a thread of the parent may have held the old lock at the fork.
        self._lock = threading.RLock()
        self._stop()

    def _stop(self) -> None:
        self._is_drawn, self._is_gone = False, True
        for stream in self._watched:
            # Remove only our own wrapper: a later wrapper of the job still calls ours.
            if getattr(vars(stream).get("write"), "screen", None) is self:
                vars(stream).pop("write")
        self._watched = []

    def _draw_lines(self) -> None:
        if self._is_gone or not self._is_in_foreground():
            return
        count = len(self._lines)
        # Scroll first: scrolling after the save would move the saved cursor position.
        room = f"{_DOWN * count}\x1b[{count}A" if count else ""
        text = "".join(f"\r\n{line}{_ERASE_REST}" for line in self._lines)
        self._write(f"{room}{_SAVE_CURSOR}{_ERASE_BELOW}{text}{_RESTORE_CURSOR}")
        self._is_drawn, self._drawn_at = bool(count), steady_seconds()

    def _write(self, text: str) -> None:
        if not self._is_gone and not self._output.write(text, "replace"):
            self._is_gone = True

    def _is_in_foreground(self) -> bool:
        """Return whether this process is in the foreground of the terminal."""
        try:
            return os.tcgetpgrp(self._output.descriptor or 0) == os.getpgrp()
        except OSError:
            return True  # Not the controlling terminal: it has no foreground group.

    def _is_this_terminal(self, stream: TextIO) -> bool:
        """Return whether a Python stream writes to this terminal."""
        if not isinstance(stream, io.TextIOWrapper) or stream in self._watched:
            return False
        try:
            here = os.fstat(self._output.descriptor or 0)
            return os.path.samestat(os.fstat(stream.fileno()), here)
        except (OSError, ValueError):
            return False

    def _wrap(self, stream: TextIO) -> None:
        """Replace `write()` of a stream by a wrapper that erases and redraws."""
        original = stream.write

        def write(text: str) -> int:
            if self._is_gone or not isinstance(text, str):
                return original(text)
            with self._lock:
                with suppress(Exception):
                    self._erase_before(text)
                written = original(text)
                with suppress(Exception):
                    self._redraw_after(text)
            return written

        # Set on the stream object: other code may keep references to the stream.
        write.screen = self  # type: ignore[attr-defined]
        vars(stream)["write"] = write
        self._watched.append(stream)

    def _erase_before(self, text: str) -> None:
        """Erase the lines if `text` could overwrite them."""
        last = text.rpartition("\n")[2].rpartition("\r")[2]
        is_line = "\n" in text or "\r" in text
        self._column = len(last) + (0 if is_line else self._column)
        stays = "\n" not in text and "\x1b" not in text
        if self._is_drawn and not (stays and self._column < self.size.columns // 2):
            self._write(_ERASE_BELOW)
            self._is_drawn = False

    def _redraw_after(self, text: str) -> None:
        """Redraw the lines after a complete line, at most 20 times a second."""
        if self._is_drawn or not self._lines or not text.endswith("\n"):
            return
        if steady_seconds() - self._drawn_at >= _MIN_INTERVAL_SECONDS:
            self._draw_lines()


def _forget_all() -> None:
    for screen in list(_OPEN):
        screen.forget()
