"""Formatting of numbers, tested with the table that the backend tests use, too."""

import json
import math
from typing import Final

import pytest

from scripts.project import ROOT
from trackerapi.number_text import number_text, units_text

TABLE: Final = ROOT / "tests/conformance/numbers.json"


@pytest.mark.parametrize(("value", "text"), json.loads(TABLE.read_text()))
def test_number_is_written_as_in_the_table(value: float, text: str) -> None:
    """Digits are grouped, and rounding noise and needless exponents are left out."""
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(math.inf, "inf"), (-math.inf, "-inf"), (math.nan, "nan")]
)
def test_infinity_and_nan_are_named(value: float, text: str) -> None:
    """Infinity and NaN are written as `inf`, `-inf` and `nan`."""
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("completed", "total", "is_over", "text"),
    [
        (1500000.0, 2000000.0, False, "1,500,000 of 2,000,000"),
        (250340.0, None, False, "250,340 so far"),
        (250340.0, None, True, "250,340"),
        (None, 2000000.0, False, ""),
        (0.0, None, False, "0 so far"),
    ],
)
def test_count_has_a_total_or_so_far(
    completed: float | None, total: float | None, is_over: bool, text: str
) -> None:
    """A count is followed by its total, or by `so far` while its total is unknown."""
    assert units_text(completed, total, is_over=is_over) == text
