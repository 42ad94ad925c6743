"""Relays for the output of the command: they copy bytes unchanged, and read lines."""

import errno
import os
import select
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from trackerapi.cli.run.descriptors import move_above_streams, open_pipe
from trackerapi.cli.run.matcher import Matcher
from trackerapi.cli.run.progress_pattern import Lines
from trackerapi.cli.run.pty import copy_size, open_terminal
from trackerapi.cli.run.signals import Signals, wake

_CHUNK_BYTES: Final = 64 * 1024
_LAST_BYTES: Final = 1024 * 1024
"""Maximum number of bytes read after the command's end; more than a pipe buffers."""

_STDOUT: Final = 1
_STDERR: Final = 2

TakeLines = Callable[[list[bytes]], object]


class Relay:
    """Relay between the command and one file, pipe or terminal.

    Args:
        streams: Streams of the command with this target: 1, 2 or both.
        take_lines: Function that a thread calls with lines of output; must not block.

    Attributes:
        is_over: Whether the relay has ended.
        loss: Text of the error that lost the rest of stdout; None if all output was
            written, or if the reader of stdout has ended.

    Raises:
        OSError: If no pipe or pseudo-terminal can be created.
    """

    def __init__(self, streams: tuple[int, ...], take_lines: TakeLines) -> None:
        self._streams, self._target = streams, streams[0]
        self._lines, self._take_lines = Lines(), take_lines
        self._is_terminal = os.isatty(self._target)
        self._source, self._inner = (
            map(move_above_streams, open_terminal(self._target))
            if self._is_terminal
            else open_pipe()
        )
        # After the command has ended, `end()` closes the write end to wake the thread.
        self._end_reader, self._end_writer = open_pipe()
        self.is_over = False
        self.loss: str | None = None

    @property
    def actions(self) -> list[tuple[Any, ...]]:
        """File actions of `os.posix_spawn()` that lead the streams into the relay."""
        return [(os.POSIX_SPAWN_DUP2, self._inner, to) for to in self._streams]

    def start(self) -> None:
        """Start the thread; call it after the command has been started."""
        os.close(self._inner)
        try:
            threading.Thread(
                target=self._run, name="trackerapi-relay", daemon=True
            ).start()
        except RuntimeError:  # the limit of threads is reached
            self._hand_over()
            self._close()

    def abandon(self) -> None:
        """Close a relay that was never started."""
        os.close(self._inner)
        os.close(self._end_writer)
        self._close()

    def end(self) -> None:
        """Ask the thread to copy the rest of the output and to end; do not wait."""
        os.close(self._end_writer)

    def resize(self) -> bool:
        """Copy the size of the real terminal; return whether the size changed."""
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
            self._take_lines(self._lines.rest())
        finally:
            self._close()
            wake()

    def _close(self) -> None:
        self.is_over = True
        os.close(self._source)
        os.close(self._end_reader)

    def _copy(self) -> bool:
        """Copy the output; return True if children of the command may still write."""
        waiting = select.poll()
        waiting.register(self._source, select.POLLIN)
        waiting.register(self._end_reader, select.POLLIN)
        last_bytes = _LAST_BYTES
        while True:
            events = dict(waiting.poll())
            has_ended = self._end_reader in events
            if self._source not in events or last_bytes <= 0:
                return True
            try:
                data = os.read(self._source, _CHUNK_BYTES)
            except OSError:  # EIO from a pseudo-terminal without a writer
                return False
            if not data or not self._write(data):
                return False
            if has_ended:
                last_bytes -= len(data)
            self._take_lines(self._lines.split(data))

    def _write(self, data: bytes) -> bool:
        """Write all of `data`; return False if the target cannot be written."""
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._target, left) :]
            except BlockingIOError:  # another process has set O_NONBLOCK on the target
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
        """Start a `cat` process that copies the output of the command's children.

        Without a reader, their output would be lost. If this process copied the output,
        `trackerapi run` would end later than the command.
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
    """Relays of one run of the command.

    Args:
        matcher: Matcher of the lines of output.
        watch: Streams with lines to match: both, stdout or stderr.
    """

    def __init__(self, matcher: Matcher, watch: str) -> None:
        self._relays: list[Relay] = []
        for streams in _stream_groups(watch):
            # If a relay cannot be created, the command writes to the stream itself.
            with suppress(OSError):
                self._relays.append(Relay(streams, matcher.add_stream()))

    @property
    def actions(self) -> list[tuple[Any, ...]]:
        """File actions of `os.posix_spawn()` that lead the streams into the relays."""
        return [action for relay in self._relays for action in relay.actions]

    @property
    def loss(self) -> str | None:
        """Text of the error that lost the rest of stdout; None if nothing was lost."""
        return next((relay.loss for relay in self._relays if relay.loss), None)

    def start(self) -> None:
        """Start all relays; call it after the command has been started."""
        for relay in self._relays:
            relay.start()

    def abandon(self) -> None:
        """Close all relays of a command that could not be started."""
        for relay in self._relays:
            relay.abandon()

    def resize(self) -> None:
        """Copy the new size of the real terminal; send SIGWINCH if it changed."""
        # Send SIGWINCH to the whole process group: children of the command draw too.
        # The SIGWINCH of the terminal reached them before the size was copied.
        are_resized = [relay.resize() for relay in self._relays]
        if any(are_resized):
            os.killpg(os.getpgrp(), signal.SIGWINCH)

    def finish(self, signals: Signals) -> None:
        """Wait until the relays have copied the rest of the output."""
        for relay in self._relays:
            relay.end()
        signals.wait_until(lambda: all(r.is_over for r in self._relays), None)


def _stream_groups(watch: str) -> list[tuple[int, ...]]:
    """Return the streams to watch, grouped by relay.

    Both streams share a relay if they lead to the same file: two relays could change
    the order of the output.
    """
    wanted = {"both": (_STDOUT, _STDERR), "stdout": (_STDOUT,), "stderr": (_STDERR,)}
    files = {fd: _file_id(fd) for fd in (_STDOUT, _STDERR)}
    if files[_STDOUT] is not None and files[_STDOUT] == files[_STDERR]:
        return [(_STDOUT, _STDERR)]
    return [(fd,) for fd in wanted[watch] if files[fd] is not None]


def _file_id(descriptor: int) -> tuple[int, int] | None:
    """Return device and inode of the file of a stream; None for a closed stream."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino
