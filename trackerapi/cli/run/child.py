"""Child process that runs the command: start, wait, and forwarding of signals."""

import os
import signal

from trackerapi.cli.run.programs import start

TYPE_CHECKING = False  # see `arguments`
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from trackerapi.cli.run.signals import Arrival, Signals

_FLAGS = os.WNOHANG | os.WUNTRACED | os.WCONTINUED


class Child:
    """Child process that runs the command, in the process group of this process.

    Signals of the terminal, and signals to the group, then reach both processes.

    Args:
        command: Name or path of the program, and its arguments.
        signals: Signals of this process.
        streams: File actions of `os.posix_spawn()` for the streams of the command.

    Attributes:
        status: Wait status from `os.waitpid()`; None while the command runs.
        received_signal: SIGINT or SIGTERM that this process received; else None.

    Raises:
        NotStarted: If the program is missing or cannot be executed.
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
        self.received_signal: int | None = None
        self._signals = signals
        self._is_stopped = self._has_continued = self._must_pause = False
        self._process_id = start(command, launch)
        # Process 1 of a container inherits orphans, and has to reap them too.
        self._waited_for = -1 if os.getpid() == 1 else self._process_id

    def wait(self, on_resize: "Callable[[], object]") -> int:
        """Wait until the command ends; return its wait status.

        Args:
            on_resize: Function that is called when the size of the terminal changes.
        """
        while True:
            self._poll()
            if self.status is not None:
                return self.status
            if self._is_stopped and self._must_pause:
                # The shell waits for this process to stop, not for the child.
                self._must_pause = False
                self._signals.pause()
            arrival = self._signals.next()
            if arrival is not None and arrival.number == signal.SIGWINCH:
                on_resize()
            elif arrival is not None and arrival.number in self._signals:
                self._pass_on(arrival)

    def _pass_on(self, arrival: "Arrival") -> None:
        """Send a signal to the child, unless the child has already received it."""
        number = arrival.number
        # A signal of the terminal has already reached the child. A signal from the
        # child must not return to the child.
        has_received = arrival.is_from_terminal or arrival.sender == self._process_id
        if number in (signal.SIGINT, signal.SIGTERM):
            self.received_signal = number
        elif number == signal.SIGTSTP:
            self._must_pause = True
        elif number == signal.SIGCONT:
            self._must_pause = False
            has_received = self._has_child_continued()
        if not has_received and self.status is None:
            os.kill(self._process_id, number)

    def _has_child_continued(self) -> bool:
        """Return whether SIGCONT reached the child too, as a signal to the group."""
        self._poll()
        has_continued, self._has_continued = self._has_continued, False
        # If the process group got SIGCONT and then SIGTSTP before this poll,
        # `waitpid()` shows only the stop. SIGTSTP is then pending: this process
        # blocks its signals.
        is_stopped_again = self._is_stopped and signal.SIGTSTP in signal.sigpending()
        return has_continued or is_stopped_again

    def _poll(self) -> None:
        """Read all changes of the child's state from `os.waitpid()`; never block."""
        while self.status is None:
            process_id, status = os.waitpid(self._waited_for, _FLAGS)
            if process_id == 0:
                return
            if process_id != self._process_id:
                continue
            if os.WIFSTOPPED(status):
                self._is_stopped, self._has_continued = True, False
            elif os.WIFCONTINUED(status):
                self._is_stopped, self._has_continued = False, True
            else:
                self.status = status
