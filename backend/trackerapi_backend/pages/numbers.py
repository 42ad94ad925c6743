"""Texts of numbers on pages; the library formats numbers in the same way."""

from __future__ import annotations

_SMALLEST_IN_DIGITS = 1e-6
_LARGEST_IN_DIGITS = 1e21
_DECIMALS = 6


def number_text(value: float) -> str:
    """Return a number such as `1,500,000`, `-0.25` or `1e+300`.

    An int has all its digits. A float has at most six decimals. From 1e21 on, and
    below one millionth, a float has at most six significant digits and an exponent.
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
