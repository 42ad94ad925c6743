"""Tables in Markdown, and promises beside measurements."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

NOTHING = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A promise and its measurement.

    Attributes:
        what: The promise in words.
        bound: Bound of the promise.
        measured: None if it could not be measured, which breaks the promise.
        unit: Follows the figures.
        is_least: Whether `bound` is the least instead of the most.
    """

    what: str
    bound: float
    measured: float | None
    unit: str = "x"
    is_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the promise holds."""
        if self.measured is None:
            return False
        if self.is_least:
            return self.measured >= self.bound
        return self.measured <= self.bound


def conclude(targets: Sequence[Target]) -> int:
    """Print promises and measurements; return the exit status."""
    rows = [
        (
            target.what,
            f"{'≥' if target.is_least else '≤'} {target.bound:g} {target.unit}",
            figure(target.measured, target.unit),
            "yes" if target.is_met else "**no**",
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
    """Return a figure with three digits that count."""
    if value is None:
        return NOTHING
    whole = value == round(value) or abs(value) >= 100
    text = f"{value:,.0f}" if whole else f"{value:,.{2 if abs(value) >= 1 else 3}f}"
    return f"{text} {unit}".rstrip()


def microseconds(nanoseconds: float | None) -> str:
    """Return a time that was measured in nanoseconds."""
    if nanoseconds is None:
        return NOTHING
    if nanoseconds >= 1e7:
        return f"{nanoseconds / 1e6:,.0f} ms"
    value = nanoseconds / 1e3
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
