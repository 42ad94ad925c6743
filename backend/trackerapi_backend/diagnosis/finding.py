"""Result of a check: a fault, and the command that fixes it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

Level = Literal["ok", "warning", "error"]
"""How bad a finding is: an error loses data or requests, or reveals a secret."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `doctor`.

    Attributes:
        level: `ok` for a check without a fault.
        check: Name of the check.
        what: What was found.
        command: Command for a shell that fixes the fault; empty without a fault.
    """

    level: Level
    check: str
    what: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Fault that a check has found; see `Finding`."""

    what: str
    command: str
    level: Level = "error"

    def of(self, check: str) -> Finding:
        """Return the finding of a check."""
        return Finding(self.level, check, self.what, self.command)


def make_accessible(path: Path) -> str:
    """Return the command that gives a file to the user who runs `doctor`."""
    return f"sudo chown $(id -u) {quote(path)}"


def quote(path: Path) -> str:
    """Return a path for a shell."""
    return shlex.quote(f"{path}")
