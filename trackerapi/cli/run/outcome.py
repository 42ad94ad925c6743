"""Outcome of one run of the command, and its texts for customer and provider."""

import os
import shlex
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Self

from trackerapi.cli.run.signals import STOPS

STEP_STOPPED: Final = "This step was stopped."
"""Message for the customer about a step that ended by SIGINT or SIGTERM."""

Kind = Literal["done", "stopped", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Outcome of one run of the command.

    Attributes:
        status: Wait status, as from `os.waitpid()`.
        seconds: Duration of the run, in seconds.
        received_signal: SIGINT or SIGTERM that this process received; else None.
        reason: Reason why the command could not start; None if it started.
    """

    status: int
    seconds: float = 0.0
    received_signal: int | None = None
    reason: str | None = None

    @property
    def kind(self) -> Kind:
        """Result of the run; `stopped` if SIGINT or SIGTERM ended the command."""
        if self.status == 0:
            return "done"
        if self.reason is not None:
            return "failed"
        is_killed = os.WIFSIGNALED(self.status)
        if is_killed and os.WTERMSIG(self.status) in STOPS:
            return "stopped"
        return "failed" if self.received_signal is None else "stopped"

    @property
    def stop_signal(self) -> int | None:
        """SIGINT or SIGTERM that stopped the run; None if neither signal did."""
        if self.kind != "stopped":
            return None
        is_killed = os.WIFSIGNALED(self.status)
        return self.received_signal or (os.WTERMSIG(self.status) if is_killed else None)

    @property
    def may_be_repeated(self) -> bool:
        """Whether another attempt can succeed."""
        return self.kind == "failed" and self.reason is None

    def stopped_before_next(self, number: int) -> Self:
        """Return this outcome as stopped by a signal in the pause after the attempt."""
        return replace(self, status=number, received_signal=number)

    def as_text(self, name: str) -> str:
        """Return the outcome in one line, for the provider.

        Args:
            name: Text of the command from `command_text()`.
        """
        if self.reason is not None:
            return f"{self.reason} (exit status {os.WEXITSTATUS(self.status)})"
        if os.WIFSIGNALED(self.status):
            ending = f"was ended by {signal_name(os.WTERMSIG(self.status))}"
        else:
            ending = f"ended with exit status {os.WEXITSTATUS(self.status)}"
            if self.received_signal is not None:
                ending += f" after {signal_name(self.received_signal)}"
        return f"{name} {ending}, {self.seconds:.1f} s after its start"


def signal_name(number: int) -> str:
    """Return the name of a signal, such as `SIGTERM`; its number if it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def command_text(command: Sequence[str], *, shows_arguments: bool) -> str:
    """Return a command for the provider, without arguments by default.

    Arguments can contain personal data.
    """
    return shlex.join(command) if shows_arguments else shlex.quote(command[0])
