"""How a run of a command ended, and what is said of it."""

import os
import shlex
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Self

from trackerapi.cli.run.signals import STOPS

STEP_STOPPED: Final = "This step was stopped."
"""What the customer reads of a step whose command was asked to stop."""

Kind = Literal["done", "stopped", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run of a command ended.

    Attributes:
        status: What `os.waitpid()` says.
        seconds: How long it ran.
        stopped_by: The signal by which somebody asked it to stop; None without one.
        reason: Why it could not be started; None if it was.
    """

    status: int
    seconds: float = 0.0
    stopped_by: int | None = None
    reason: str | None = None

    @property
    def kind(self) -> Kind:
        """Whether the work is done, was stopped by somebody, or failed."""
        if self.status == 0:
            return "done"
        if self.reason is not None:
            return "failed"
        is_killed = os.WIFSIGNALED(self.status)
        if is_killed and os.WTERMSIG(self.status) in STOPS:
            return "stopped"
        return "failed" if self.stopped_by is None else "stopped"

    @property
    def stop_signal(self) -> int | None:
        """The signal that stopped the command, whoever got it; None without one."""
        if self.kind != "stopped":
            return None
        is_killed = os.WIFSIGNALED(self.status)
        return self.stopped_by or (os.WTERMSIG(self.status) if is_killed else None)

    @property
    def may_be_repeated(self) -> bool:
        """Whether another attempt could go better."""
        return self.kind == "failed" and self.reason is None

    def stopped_before_next(self, number: int) -> Self:
        """Return it as the end of all attempts, after a signal between two of them."""
        return replace(self, status=number, stopped_by=number)

    def as_text(self, name: str) -> str:
        """Return it in one line, for the provider.

        Args:
            name: The command as the provider may read it.
        """
        if self.reason is not None:
            return f"{self.reason} (exit status {os.WEXITSTATUS(self.status)})"
        if os.WIFSIGNALED(self.status):
            ending = f"was ended by {signal_name(os.WTERMSIG(self.status))}"
        else:
            ending = f"ended with exit status {os.WEXITSTATUS(self.status)}"
            if self.stopped_by is not None:
                ending += f" after {signal_name(self.stopped_by)}"
        return f"{name} {ending}, {self.seconds:.1f} s after its start"


def signal_name(number: int) -> str:
    """Return the name of a signal."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def shown(command: Sequence[str], *, shows_arguments: bool) -> str:
    """Return a command as the provider may read it; arguments may be personal."""
    return shlex.join(command) if shows_arguments else shlex.quote(command[0])
