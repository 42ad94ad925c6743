"""Passing on what a command writes, unchanged and as it comes, and looking at it."""

import errno
import os
import select
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from trackerapi.cli.run.descriptors import clear_of_streams, open_pipe
from trackerapi.cli.run.matcher import Matcher
from trackerapi.cli.run.progress_pattern import Lines
from trackerapi.cli.run.pty import copy_size, open_terminal
from trackerapi.cli.run.signals import Signals, wake

_CHUNK_BYTES: Final = 64 * 1024
_LAST_BYTES: Final = 1024 * 1024
"""More than a pipe or a terminal can hold when the command has ended."""

_STDOUT: Final = 1
_STDERR: Final = 2

Told = Callable[[list[bytes]], object]


class Relay:
    """Stands between a command and one place that it writes to.

    Args:
        streams: Descriptors of that place: 1, 2 or both.
        told: Called in a thread with the lines that are written; returns at once.

    Attributes:
        is_over: Whether nothing is passed on any more.
        loss: Why the rest of standard output was lost; None if it was not, or if
            nobody reads it.

    Raises:
        OSError: If no pipe or terminal can be made.
    """

    def __init__(self, streams: tuple[int, ...], told: Told) -> None:
        self._streams, self._target = streams, streams[0]
        self._lines, self._told = Lines(), told
        self._is_terminal = os.isatty(self._target)
        self._source, self._inner = (
            map(clear_of_streams, open_terminal(self._target))
            if self._is_terminal
            else open_pipe()
        )
        self._end_seen, self._end_told = open_pipe()
        self.is_over = False
        self.loss: str | None = None

    @property
    def actions(self) -> list[tuple[Any, ...]]:
        """What `os.posix_spawn()` has to do so that the command writes here."""
        return [(os.POSIX_SPAWN_DUP2, self._inner, to) for to in self._streams]

    def start(self) -> None:
        """Begin once the command has been started."""
        os.close(self._inner)
        try:
            threading.Thread(
                target=self._run, name="trackerapi-relay", daemon=True
            ).start()
        except RuntimeError:  # this user may have no more threads
            self._hand_over()
            self._close()

    def abandon(self) -> None:
        """Close all of a relay that was never started."""
        os.close(self._inner)
        os.close(self._end_told)
        self._close()

    def end(self) -> None:
        """Say that the command has ended; the rest of its output is to pass."""
        os.close(self._end_told)

    def resize(self) -> bool:
        """Take the size of our terminal; return whether it is another one."""
        return (
            self._is_terminal
            and not self.is_over
            and copy_size(self._source, self._target)
        )

    def _run(self) -> None:
        try:
            is_left_open = self._copy()
            if is_left_open:
                self._hand_over()
            self._told(self._lines.rest())
        finally:
            self._close()
            wake()

    def _close(self) -> None:
        self.is_over = True
        os.close(self._source)
        os.close(self._end_seen)

    def _copy(self) -> bool:
        """Copy to the end; return whether others than the command go on writing."""
        waiting = select.poll()
        waiting.register(self._source, select.POLLIN)
        waiting.register(self._end_seen, select.POLLIN)
        last_bytes = _LAST_BYTES
        while True:
            events = dict(waiting.poll())
            has_ended = self._end_seen in events
            if self._source not in events or last_bytes <= 0:
                return True
            try:
                data = os.read(self._source, _CHUNK_BYTES)
            except OSError:  # so a terminal says that nobody writes to it any more
                return False
            if not data or not self._write(data):
                return False
            if has_ended:
                last_bytes -= len(data)
            self._told(self._lines.ended_by(data))

    def _write(self, data: bytes) -> bool:
        """Write all of `data`; return False if it cannot be written any more."""
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._target, left) :]
            except BlockingIOError:  # somebody else has made it so
                waiting = select.poll()
                waiting.register(self._target, select.POLLOUT)
                waiting.poll()
            except OSError as error:
                is_unread = self._is_terminal or error.errno == errno.EPIPE
                if _STDOUT in self._streams and not is_unread:
                    self.loss = error.strerror or str(error)
                return False
        return True

    def _hand_over(self) -> None:
        """Let a process of its own pass on what the command has left to others.

        Without us their output would be lost; waiting for them, we would end later
        than the command.
        """
        actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_DUP2, self._source, 0)]
        if self._target != _STDOUT:
            actions.append((os.POSIX_SPAWN_DUP2, self._target, _STDOUT))
        silent = (os.POSIX_SPAWN_OPEN, _STDERR, os.devnull, os.O_WRONLY, 0)
        with suppress(OSError):
            os.posix_spawnp(
                "cat",
                ["cat"],
                os.environ,
                file_actions=[*actions, silent],
                setsigmask=(),
                setsigdef=(signal.SIGPIPE,),
            )


class Relays:
    """All that stands between one run of a command and where it writes.

    Args:
        matcher: Looks at what is written.
        watch: Which streams are looked at: both, stdout or stderr.
    """

    def __init__(self, matcher: Matcher, watch: str) -> None:
        self._relays: list[Relay] = []
        for streams in _places(watch):
            # What cannot be looked at is left alone.
            with suppress(OSError):
                self._relays.append(Relay(streams, matcher.box()))

    @property
    def actions(self) -> list[tuple[Any, ...]]:
        """What `os.posix_spawn()` has to do so that the command writes here."""
        return [action for relay in self._relays for action in relay.actions]

    @property
    def loss(self) -> str | None:
        """Why standard output was lost; None if it was not."""
        return next((relay.loss for relay in self._relays if relay.loss), None)

    def start(self) -> None:
        """Begin once the command has been started."""
        for relay in self._relays:
            relay.start()

    def abandon(self) -> None:
        """Let go of all where the command could not be started."""
        for relay in self._relays:
            relay.abandon()

    def resize(self) -> None:
        """Pass on that our terminal has another size."""
        # Not only to the command: its own children draw too. All of them have heard
        # of it, but may have looked before the size was copied.
        are_resized = [relay.resize() for relay in self._relays]
        if any(are_resized):
            os.killpg(os.getpgrp(), signal.SIGWINCH)

    def finish(self, signals: Signals) -> None:
        """Pass on the rest after the end of the command."""
        for relay in self._relays:
            relay.end()
        signals.wait_until(lambda: all(r.is_over for r in self._relays), None)


def _places(watch: str) -> list[tuple[int, ...]]:
    """Return the streams to look at, those that lead to one place together.

    Two ways to one place would let the order of what is written there change.
    """
    wanted = {"both": (_STDOUT, _STDERR), "stdout": (_STDOUT,), "stderr": (_STDERR,)}
    places = {fd: _place(fd) for fd in (_STDOUT, _STDERR)}
    if places[_STDOUT] is not None and places[_STDOUT] == places[_STDERR]:
        return [(_STDOUT, _STDERR)]
    return [(fd,) for fd in wanted[watch] if places[fd] is not None]


def _place(descriptor: int) -> tuple[int, int] | None:
    """Return what is the same for all ways to one place; None for a closed stream."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino
