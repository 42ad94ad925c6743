"""What a check has found, and where."""

import ast
from dataclasses import dataclass
from typing import Final

UNKNOWN_STEP: Final = "unknown-step"
UNKNOWN_JOB: Final = "unknown-job"
UNKNOWN_KIND: Final = "unknown-kind"
NEVER_SENT: Final = "never-sent"
WRONG_ORDER: Final = "wrong-order"
MISSING_FINISH: Final = "missing-finish"


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One mistake in a script; sorts by its place.

    Attributes:
        path: The script, as it was named.
        line: From 1 on.
        column: In characters, from 1 on.
        code: Kind of the mistake, such as `unknown-step`.
        message: One sentence; names the nearest known name where there is one.
    """

    path: str
    line: int
    column: int
    code: str
    message: str

    def as_text(self) -> str:
        """Return it as editors and terminals make a link of it."""
        place = f"{self.path}:{self.line}:{self.column}"
        return f"{place}: {self.code} {self.message}"


class Findings:
    """Collects findings of one script, each once.

    Args:
        path: The script, as it was named.
        lines: Its lines, to count characters where the parser counts bytes.
    """

    def __init__(self, path: str, lines: list[str]) -> None:
        self._path, self._lines = path, lines
        self._found: set[Finding] = set()

    def add(self, code: str, at: ast.expr | ast.stmt, message: str) -> None:
        """Add a finding at the beginning of a node."""
        line = self._lines[at.lineno - 1] if at.lineno <= len(self._lines) else ""
        before = line.encode("utf-8", "replace")[: at.col_offset]
        column = len(before.decode("utf-8", "replace")) + 1
        self._found.add(Finding(self._path, at.lineno, column, code, message))

    def in_order(self) -> list[Finding]:
        """Return the findings from the top of the script to its end."""
        return sorted(self._found)
