"""Helper process that matches output against `--progress`, bounded in CPU time.

`re` holds the GIL until a match has ended, and a pattern such as `(a+)+$` takes years
on forty characters. In the main process, output and signals would wait for the match.
The helper is forked while the main process has one thread, and ends with the main
process.
"""

import marshal
import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NoReturn

from trackerapi.cli.run.descriptors import open_pipe
from trackerapi.cli.run.progress_pattern import MAX_LINES, Measure, ProgressPattern
from trackerapi.cli.run.signals import Signals, wake

LIMIT_SECONDS: Final = 0.05
"""Maximum CPU time of the helper for one request, in seconds."""

MAX_GIVEN_UP: Final = 8
"""Maximum number of lines over the time limit; further lines are skipped."""

LAST_SECONDS: Final = 5.0
"""Maximum wait for the last answer, in seconds; only a stalled machine needs longer."""

_LENGTH_BYTES: Final = 4
_GIVEN_UP: Final = "given up"


class Matcher:
    """Search for progress in lines of output; the caller that adds lines never blocks.

    Args:
        pattern: Pattern that finds the progress in a line.
        on_progress: Function that a thread calls with each progress found.

    Raises:
        OSError: If the limit of processes or descriptors is reached.
    """

    def __init__(
        self, pattern: ProgressPattern, on_progress: Callable[[Measure], object]
    ) -> None:
        self._on_progress = on_progress
        self._buffers: list[deque[bytes]] = []
        self._filled = threading.Event()
        self._has_thread = self._is_over = self._is_awaited = False
        source, self._requests = open_pipe()
        self._answers, target = open_pipe()
        # Fork before the first thread: a fork copies only the calling thread, and a
        # lock that another thread holds would stay locked in the child.
        if os.fork() == 0:
            os.close(self._requests)
            os.close(self._answers)
            _serve(pattern, source, target)
        os.close(source)
        os.close(target)

    @property
    def is_idle(self) -> bool:
        """Whether all added lines have been matched, or matching has ended."""
        return self._is_over or not self._filled.is_set()

    def add_stream(self) -> Callable[[list[bytes]], None]:
        """Return a function that adds lines of a stream.

        Only the newest `MAX_LINES` lines are kept for the thread.
        """
        buffer: deque[bytes] = deque(maxlen=MAX_LINES)
        self._buffers.append(buffer)

        def add_lines(lines: list[bytes]) -> None:
            if lines:
                buffer.extend(lines)
                self._filled.set()

        return add_lines

    def start(self) -> None:
        """Start the thread; call it after the command has been started."""
        if self._has_thread:
            return
        self._has_thread = True
        try:
            threading.Thread(
                target=self._run, name="trackerapi-matcher", daemon=True
            ).start()
        except RuntimeError:  # the limit of threads is reached
            self._is_over = True

    def finish(self, signals: Signals) -> None:
        """Wait until the last lines have been matched, at most `LAST_SECONDS`."""
        self._is_awaited = True
        signals.wait_until(lambda: self.is_idle, LAST_SECONDS)

    def _run(self) -> None:
        with suppress(OSError, EOFError):  # the helper process was killed
            while self._filled.wait():
                for buffer in self._buffers:
                    self._match([buffer.popleft() for _ in range(len(buffer))])
                self._filled.clear()
                if any(self._buffers):  # filled between the last popleft() and clear()
                    self._filled.set()
                elif self._is_awaited:
                    wake()
        self._is_over = True
        wake()

    def _match(self, lines: list[bytes]) -> None:
        """Match lines, and pass the newest progress to `on_progress`."""
        answer = self._ask(lines) if lines else None
        if answer == _GIVEN_UP:
            # One line exceeds the limit; another line may still have the progress.
            answer = self._first_answer(lines) if len(lines) > 1 else None
        if isinstance(answer, tuple):
            self._on_progress(Measure(*answer))

    def _first_answer(self, lines: list[bytes]) -> object:
        """Match each line alone, last line first; return the first progress found.

        The search ends after `MAX_GIVEN_UP` lines over the time limit.
        """
        given_up = 0
        for line in reversed(lines):
            answer = self._ask([line])
            given_up += answer == _GIVEN_UP
            if answer not in (None, _GIVEN_UP) or given_up == MAX_GIVEN_UP:
                return answer
        return None

    def _ask(self, lines: list[bytes]) -> object:
        _send(self._requests, lines)
        return _receive(self._answers)


def _serve(pattern: ProgressPattern, source: int, target: int) -> NoReturn:
    """Answer requests in a child process; replace each child that the timer kills.

    The timer uses the default action of SIGPROF, which kills the child: no Python
    handler could run during a match.
    """
    try:
        # Close the copies of the streams: a reader sees EOF only after all copies of
        # its pipe are closed.
        null = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
        while True:
            child = os.fork()
            if child == 0:
                _answer_all(pattern, source, target)
            _, status = os.waitpid(child, 0)
            if status == 0:
                break
            _send(target, _GIVEN_UP)
    finally:
        os._exit(0)


def _answer_all(pattern: ProgressPattern, source: int, target: int) -> NoReturn:
    """Answer requests until the pipe is closed; an exception ends only this child."""
    status = 1
    try:
        while True:
            lines: Any = _receive(source)
            signal.setitimer(signal.ITIMER_PROF, LIMIT_SECONDS)
            answer = pattern.newest(lines)
            signal.setitimer(signal.ITIMER_PROF, 0)
            _send(target, None if answer is None else tuple(answer))
    except EOFError:
        status = 0
    finally:
        os._exit(status)


def _send(descriptor: int, value: Any) -> None:
    data = marshal.dumps(value)
    left = memoryview(len(data).to_bytes(_LENGTH_BYTES, "big") + data)
    while left:
        left = left[os.write(descriptor, left) :]


def _receive(descriptor: int) -> object:
    size = int.from_bytes(_read(descriptor, _LENGTH_BYTES), "big")
    return marshal.loads(_read(descriptor, size))  # noqa: S302 - from our own process


def _read(descriptor: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = os.read(descriptor, size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data
