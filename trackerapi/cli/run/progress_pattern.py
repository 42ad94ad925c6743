"""Search for progress in the lines that a command prints; without I/O and clock."""

import math
import re
import warnings
from collections.abc import Sequence
from typing import Final, NamedTuple

MAX_LINE_BYTES: Final = 4096
"""Maximum length of a matched line, in bytes; the rest of a longer line is skipped."""

MAX_LINES: Final = 200
"""Maximum number of lines to match in a chunk of output; earlier lines are skipped."""

_NAMES: Final = frozenset({"percent", "fraction", "completed", "total"})
_MAX_COUNT: Final = float(2**53 - 1)
_ESCAPES: Final = re.compile(
    r"""
    (?: \x1b\[ | \x9b ) [0-?]* [ -/]* [@-~]               # CSI: colours, cursor
    | \x1b [\]PX^_] [^\x07\x1b]* (?: \x07 | \x1b\\ )?   # OSC and other strings
    | \x1b [ -/]* [0-~]                                  # such as ESC ( B
    | [\0\x07\x0e\x0f]                                   # padding, bell, charsets
    """,
    re.VERBOSE,
)
_CURSOR_MOVES: Final = re.compile(rb"\x1b\[[0-9;]*[ABEFGHJf]")
"""Escape sequences that move the cursor; some commands print them as line ends."""

_GROUPED: Final = str.maketrans(
    "", "", ",_'\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE} "
)


class Measure(NamedTuple):
    """Progress that one line reports, as a fraction or as units.

    Attributes:
        fraction: Completed share, 0.0 to 1.0; None if the line counts units.
        completed: Completed units, 0 to 2**53 - 1; None if the line has a share.
        total: Total number of units; None if the line has no total.
    """

    fraction: float | None = None
    completed: float | None = None
    total: float | None = None


class ProgressPattern:
    """Pattern that finds the progress in a line.

    Args:
        regex: Regular expression with one group (a percentage), two groups (completed
            units of a total), or groups named percent, fraction, completed, total.

    Raises:
        ValueError: If the regular expression or its groups are not valid.
    """

    def __init__(self, regex: str) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the regex is not our code
                self._regex = re.compile(regex)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"not a regular expression: {error}") from None
        self._names = _names_of(self._regex)

    def newest(self, lines: Sequence[bytes]) -> Measure | None:
        """Return the progress of the last line with progress; None without progress."""
        for line in reversed(lines):
            measure = self.measure(line.decode("utf-8", "replace"))
            if measure is not None:
                return measure
        return None

    def measure(self, line: str) -> Measure | None:
        """Return the progress in a line; None if no valid progress is found."""
        found = self._regex.search(_ESCAPES.sub("", line))
        if found is None:
            return None
        texts = {name: found.group(group) for name, group in self._names.items()}
        fraction = _share(texts.get("percent"), 100.0)
        if fraction is None:
            fraction = _share(texts.get("fraction"), 1.0)
        completed = _count(texts.get("completed"))
        if fraction is not None:
            return Measure(fraction=fraction)
        if completed is not None:
            return Measure(completed=completed, total=_count(texts.get("total")))
        return None


class Lines:
    """Splitter of a stream of bytes into lines; keeps one unfinished line.

    A line ends with a line feed or, in progress bars, with a carriage return or a move
    of the cursor.
    """

    def __init__(self) -> None:
        self._unfinished = b""

    def split(self, data: bytes) -> list[bytes]:
        """Add a chunk of the stream; return the lines that end in the chunk.

        Returns:
            Last `MAX_LINES` lines at most, oldest first. Empty lines are left out, and
            each line is cut to `MAX_LINE_BYTES`.
        """
        text = (self._unfinished + data).replace(b"\r", b"\n")
        if b"\x1b" in text:
            text = _CURSOR_MOVES.sub(b"\n", text)
        *lines, unfinished = text.split(b"\n")
        self._unfinished = unfinished[:MAX_LINE_BYTES]
        return [line[:MAX_LINE_BYTES] for line in lines[-MAX_LINES:] if line]

    def rest(self) -> list[bytes]:
        """Return the unfinished line at the end of the stream, if any, in a list."""
        line, self._unfinished = self._unfinished, b""
        return [line] if line else []


def _names_of(regex: re.Pattern[str]) -> dict[str, int]:
    """Return the group number of each value that the pattern finds.

    Raises:
        ValueError: If the groups differ from those that `ProgressPattern` allows.
    """
    named = {name: regex.groupindex[name] for name in _NAMES & regex.groupindex.keys()}
    if named:
        if named.keys() == {"total"}:
            raise ValueError("a group `total` needs one named `completed`")
        return named
    if regex.groups == 1:
        return {"percent": 1}
    if regex.groups == 2:
        return {"completed": 1, "total": 2}
    raise ValueError(
        "it needs one group (a percentage), two (completed of total), or groups named "
        "percent, fraction, completed, total"
    )


def _share(text: str | None, whole: float) -> float | None:
    # A comma is a decimal comma: percentages have no thousands separator.
    number = _number((text or "").replace("%", "").replace(",", "."))
    return None if number is None else min(number / whole, 1.0)


def _count(text: str | None) -> float | None:
    number = _number((text or "").translate(_GROUPED))
    return None if number is None else min(number, _MAX_COUNT)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None
