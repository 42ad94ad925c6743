"""Numbers as text for people: without rounding noise, with few exponents."""

from typing import Final

from trackerapi.errors import one_line

_SMALLEST_IN_DIGITS: Final = 1e-6
_LARGEST_IN_DIGITS: Final = 1e21
_DECIMALS: Final = 6


def number_text(value: float) -> str:
    """Return a number such as `1,500,000`, `-0.25` or `1e+300`.

    Fractions keep at most six decimals. A number from 1e21 on, or smaller than a
    millionth, is written with six digits and an exponent.
    """
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    if size == 0:
        return "0"
    if not _SMALLEST_IN_DIGITS <= size < _LARGEST_IN_DIGITS:
        return f"{value:.6g}"
    text = f"{value:,.{_DECIMALS}f}"
    return text.rstrip("0").rstrip(".")


def units_text(
    completed: float | None,
    total: float | None,
    units: str | None = None,
    *,
    is_over: bool = False,
) -> str:
    """Return the count of finished units; empty without a count.

    Args:
        completed: Units that are done; None without a count.
        total: Total number of units; None if unknown.
        units: Name of the units; None without a name.
        is_over: Whether the step has ended.

    Returns:
        Text such as `3 of 10 images`; without a total `1,200 images so far`, or
        `1,200 images` at the end.
    """
    if completed is None:
        return ""
    named = f" {one_line(units)}" if units else ""
    done = number_text(completed)
    if total is not None:
        return f"{done} of {number_text(total)}{named}"
    return f"{done}{named}" if is_over else f"{done}{named} so far"


def failed_text(failed: float | None) -> str:
    """Return the count of failed units, such as `3 failed`; empty without any."""
    return f"{number_text(failed)} failed" if failed else ""


def attempt_text(attempts: int, max_attempts: int | None) -> str:
    """Return the latest attempt at a step, such as `attempt 2 of 5`.

    Empty for a first attempt, unless its failure was reported with `max_attempts`.
    """
    if attempts < 2 and max_attempts is None:
        return ""
    bound = f" of {max_attempts:,}" if max_attempts else ""
    return f"attempt {attempts:,}{bound}"
