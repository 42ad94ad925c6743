"""A running command: its end, and the signals that are passed on to it."""

import os
import signal

from trackerapi.cli.run.programs import start

TYPE_CHECKING = False  # see `order`
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from trackerapi.cli.run.signals import Arrival, Signals

_FLAGS = os.WNOHANG | os.WUNTRACED | os.WCONTINUED


class Child:
    """A command that runs in the process group of this process.

    So the terminal, and whoever ends the whole group, treat both alike.

    Args:
        command: Its name or path, and its arguments.
        signals: Takes the signals of this process.
        streams: What `os.posix_spawn()` is to do with its streams.

    Attributes:
        status: What `os.waitpid()` said at its end; None while it runs.
        stopped_by: The signal by which somebody asked it to stop; None without one.

    Raises:
        NotStarted: If there is no such program, or it cannot be run.
    """

    def __init__(
        self,
        command: "Sequence[str]",
        signals: "Signals",
        streams: "Sequence[tuple[Any, ...]]" = (),
    ) -> None:
        def launch(path: str, arguments: list[str]) -> int:
            return os.posix_spawn(
                path,
                arguments,
                os.environ,
                file_actions=streams,
                setsigmask=signals.mask,
                setsigdef=signals.reset,
            )

        self.status: int | None = None
        self.stopped_by: int | None = None
        self._signals = signals
        self._is_stopped = self._has_gone_on = self._is_to_pause = False
        self._process_id = start(command, launch)
        # The first process of a container also inherits what others leave behind.
        self._waited_for = -1 if os.getpid() == 1 else self._process_id

    def wait(self, on_resize: "Callable[[], object]") -> int:
        """Wait for its end; return what `os.waitpid()` says.

        Args:
            on_resize: Called when the terminal has another size.
        """
        while True:
            self._look()
            if self.status is not None:
                return self.status
            if self._is_stopped and self._is_to_pause:
                # The terminal, or whoever asked, is waiting for us, not for the child.
                self._is_to_pause = False
                self._signals.pause()
            arrival = self._signals.next()
            if arrival is not None and arrival.number == signal.SIGWINCH:
                on_resize()
            elif arrival is not None and arrival.number in self._signals:
                self._pass_on(arrival)

    def _pass_on(self, arrival: "Arrival") -> None:
        number = arrival.number
        # What the child itself sends to its group or to us, it has or does not want.
        has_it = arrival.is_from_terminal or arrival.sender == self._process_id
        if number in (signal.SIGINT, signal.SIGTERM):
            self.stopped_by = number
        elif number == signal.SIGTSTP:
            self._is_to_pause = True
        elif number == signal.SIGCONT:
            self._is_to_pause = False
            has_it = self._has_heard_to_go_on()
        if not has_it and self.status is None:
            os.kill(self._process_id, number)

    def _has_heard_to_go_on(self) -> bool:
        """Tell whether the whole group was let go on, and not this process alone."""
        self._look()
        has_gone_on, self._has_gone_on = self._has_gone_on, False
        # It may have gone on and been stopped again since.
        is_old_news = self._is_stopped and signal.SIGTSTP in signal.sigpending()
        return has_gone_on or is_old_news

    def _look(self) -> None:
        """See what has become of the child."""
        while self.status is None:
            process_id, status = os.waitpid(self._waited_for, _FLAGS)
            if process_id == 0:
                return
            if process_id != self._process_id:
                continue
            if os.WIFSTOPPED(status):
                self._is_stopped, self._has_gone_on = True, False
            elif os.WIFCONTINUED(status):
                self._is_stopped, self._has_gone_on = False, True
            else:
                self.status = status
