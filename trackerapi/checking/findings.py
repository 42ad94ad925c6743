"""Findings of a check: kinds of mistakes, and their positions in a script."""

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
    """A mistake in a script; findings sort by position.

    Attributes:
        path: Path of the script, as the user gave it.
        line: Line number; the first line is 1.
        column: Column in characters; the first column is 1.
        code: Kind of the mistake, such as `unknown-step`.
        message: One sentence, with the most similar known name if there is one.
    """

    path: str
    line: int
    column: int
    code: str
    message: str

    def as_text(self) -> str:
        """Return the finding as one line; editors make a link of its position."""
        return f"{self.path}:{self.line}:{self.column}: {self.code} {self.message}"


class Findings:
    """Collector of the findings of one script; equal findings are kept once.

    Args:
        path: Path of the script, as the user gave it.
        lines: Source lines: the parser counts columns in bytes, findings in characters.
    """

    def __init__(self, path: str, lines: list[str]) -> None:
        self._path, self._lines = path, lines
        self._found: set[Finding] = set()

    def add(self, code: str, at: ast.expr, message: str) -> None:
        """Add a finding at the first character of a node."""
        line = self._lines[at.lineno - 1] if at.lineno <= len(self._lines) else ""
        before = line.encode("utf-8", "replace")[: at.col_offset]
        column = len(before.decode("utf-8", "replace")) + 1
        self._found.add(Finding(self._path, at.lineno, column, code, message))

    def in_order(self) -> list[Finding]:
        """Return the findings from the first line of the script to the last."""
        return sorted(self._found)
