"""How far a command is, by what it prints. Pure: no I/O, no clock."""

import math
import re
import warnings
from collections.abc import Sequence
from typing import Final, NamedTuple

LONGEST_LINE_BYTES: Final = 4096
"""What is looked at of a line; the rest of a longer one is passed over."""

MOST_LINES: Final = 200
"""How many lines are tried of what comes at once, so that a flood is not held up."""

_NAMES: Final = frozenset({"percent", "fraction", "completed", "total"})
_LARGEST: Final = float(2**53 - 1)
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
"""A command that draws by them alone ends no line, and yet begins a new text."""

_GROUPED: Final = str.maketrans(
    "", "", ",_'\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE} "
)


class Measure(NamedTuple):
    """How far a command says it is.

    Attributes:
        fraction: Share that is done, 0.0 to 1.0; None when it is counted.
        completed: Units that are done, 0 to 2**53 - 1; None when it is a share.
        total: Units in all; None if it does not say.
    """

    fraction: float | None = None
    completed: float | None = None
    total: float | None = None


class ProgressPattern:
    """Finds in a line how far a command is.

    Args:
        regex: With one group for a percentage, two for completed units of a total, or
            groups named percent, fraction, completed and total.

    Raises:
        ValueError: If it is no regular expression, or its groups say none of that.
    """

    def __init__(self, regex: str) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it is no code of ours
                self._regex = re.compile(regex)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"not a regular expression: {error}") from None
        self._names = _names_of(self._regex)

    def newest(self, lines: Sequence[bytes]) -> Measure | None:
        """Return what the last of the lines says that says something."""
        for line in reversed(lines):
            measure = self.measure(line.decode("utf-8", "replace"))
            if measure is not None:
                return measure
        return None

    def measure(self, line: str) -> Measure | None:
        """Return what a line says; None if it says nothing that can be."""
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
    """Cuts a stream of bytes into lines, and remembers no more of it than one line.

    Lines end with a line feed or, as those of progress bars do, a carriage return or a
    move of the cursor.
    """

    def __init__(self) -> None:
        self._begun = b""

    def ended_by(self, data: bytes) -> list[bytes]:
        """Return the last lines that the next piece of the stream ends, oldest first.

        Returns:
            At most `MOST_LINES`, none of them empty, each cut to
            `LONGEST_LINE_BYTES`.
        """
        text = (self._begun + data).replace(b"\r", b"\n")
        if b"\x1b" in text:
            text = _CURSOR_MOVES.sub(b"\n", text)
        *lines, begun = text.split(b"\n")
        self._begun = begun[:LONGEST_LINE_BYTES]
        return [line[:LONGEST_LINE_BYTES] for line in lines[-MOST_LINES:] if line]

    def rest(self) -> list[bytes]:
        """Return the unfinished line at the end of the stream, if there is any."""
        line, self._begun = self._begun, b""
        return [line] if line else []


def _names_of(regex: re.Pattern[str]) -> dict[str, int]:
    """Return the group of each thing that a match says."""
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
    # A comma is a decimal one here: no share needs one between its thousands.
    number = _number((text or "").replace("%", "").replace(",", "."))
    return None if number is None else min(number / whole, 1.0)


def _count(text: str | None) -> float | None:
    number = _number((text or "").translate(_GROUPED))
    return None if number is None else min(number, _LARGEST)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None
