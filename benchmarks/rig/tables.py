"""Tables in Markdown, and comparison of measurements with targets."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NOTHING = "-"
MISSED = "**no**"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A target and its measurement.

    Attributes:
        what: The target in words.
        bound: Maximum of the measured value; its minimum if `is_minimum` is True.
        measured: Measured value; None after a failed measurement, which misses the
            target.
        unit: Unit of `bound` and `measured`.
        is_minimum: Whether `bound` is a minimum instead of a maximum.
        limit: What kept the value from the bound, if the target allows for it; else "".
    """

    what: str
    bound: float
    measured: float | None
    unit: str = "x"
    is_minimum: bool = False
    limit: str = ""

    @property
    def verdict(self) -> str:
        """Whether the value is within the bound: `yes`, the limit, or `**no**`."""
        if self.measured is None:
            return MISSED
        is_within = (
            self.measured >= self.bound
            if self.is_minimum
            else self.measured <= self.bound
        )
        return "yes" if is_within else self.limit or MISSED

    @property
    def is_met(self) -> bool:
        """Whether the value is within the bound, or a limit explains why not."""
        return self.verdict != MISSED


def conclude(targets: Sequence[Target]) -> int:
    """Print targets and measurements; return the exit status."""
    rows = [
        (
            target.what,
            f"{'≥' if target.is_minimum else '≤'} {target.bound:g} {target.unit}",
            figure(target.measured, target.unit),
            target.verdict,
        )
        for target in targets
    ]
    print_table(("target", "bound", "measured", "met"), rows)
    return 0 if all(target.is_met for target in targets) else 1


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table and an empty line."""
    print(f"| {' | '.join(head)} |")
    print("|---" * len(head) + "|")
    for row in rows:
        print(f"| {' | '.join(str(cell) for cell in row)} |")
    print()


def figure(value: float | None, unit: str = "") -> str:
    """Return a value as text, with about three significant digits."""
    if value is None:
        return NOTHING
    whole = value == round(value) or abs(value) >= 100
    text = f"{value:,.0f}" if whole else f"{value:,.{2 if abs(value) >= 1 else 3}f}"
    return f"{text} {unit}".rstrip()


def microseconds(nanoseconds: float | None) -> str:
    """Return a time in nanoseconds as text: in µs without a unit, from 10 ms in ms."""
    if nanoseconds is None:
        return NOTHING
    if nanoseconds >= 1e7:
        return f"{nanoseconds / 1e6:,.0f} ms"
    value = nanoseconds / 1e3
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
