"""Result of a check: a fault, and the command that fixes it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from trackerapi_backend.settings import default_pepper_file

if TYPE_CHECKING:
    from pathlib import Path

    from trackerapi_backend.settings import Storage

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


def options_of(storage: Storage) -> str:
    """Return the arguments that name the files of an installation in a command.

    `doctor` may have got the files as arguments, so that no variable names them.
    """
    database, pepper_file = storage.database, storage.pepper_file
    options = "" if database is None else f" --database {quote(database)}"
    if database is None or pepper_file != default_pepper_file(database):
        options += f" --pepper-file {quote(pepper_file)}"
    return options


def quote(path: Path) -> str:
    """Return a path as a word for a shell."""
    return shlex.quote(f"{path}")
