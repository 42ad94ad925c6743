"""Result of a check: a fault, and the command that fixes it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

Level = Literal["ok", "warning", "error"]
"""Severity of a finding: an error loses data or requests, or reveals a secret."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `doctor`.

    Attributes:
        level: `ok` for a check without a fault.
        check: Name of the check.
        what: Description of the fault; for `ok`, of the correct state.
        command: Shell command to fix the fault; empty without a fault.
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

    def to_finding(self, check: str) -> Finding:
        """Return this fault as a finding of the named check."""
        return Finding(self.level, check, self.what, self.command)


def chown_command(path: Path) -> str:
    """Return the command that gives a file to the user who runs `doctor`."""
    return f"sudo chown $(id -u) {quote(path)}"


def quote(path: Path) -> str:
    """Return a path as a word for a shell."""
    return shlex.quote(f"{path}")
