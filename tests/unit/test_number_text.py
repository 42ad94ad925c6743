"""Formatting of numbers, tested with the table that the backend tests use, too."""

import json
import math
from typing import Final

import pytest

from scripts.project import ROOT
from trackerapi.number_text import (
    attempt_text,
    failed_text,
    number_text,
    units_text,
)

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
    ("completed", "total", "units", "is_over", "text"),
    [
        (1500000.0, 2000000.0, None, False, "1,500,000 of 2,000,000"),
        (412.0, 1840.0, "images", False, "412 of 1,840 images"),
        (250340.0, None, None, False, "250,340 so far"),
        (250340.0, None, "rows", False, "250,340 rows so far"),
        (250340.0, None, None, True, "250,340"),
        (250340.0, None, "rows", True, "250,340 rows"),
        (None, 2000000.0, "rows", False, ""),
        (0.0, None, None, False, "0 so far"),
        (1.0, 2.0, "\x1b[2J", False, "1 of 2 \ufffd[2J"),
    ],
)
def test_count_has_a_total_or_so_far(
    completed: float | None,
    total: float | None,
    units: str | None,
    is_over: bool,
    text: str,
) -> None:
    """A count has its total, or `so far` while the total is unknown, and its units."""
    assert units_text(completed, total, units, is_over=is_over) == text


@pytest.mark.parametrize(
    ("attempts", "max_attempts", "text"),
    [
        (0, None, ""),
        (1, None, ""),
        (1, 5, "attempt 1 of 5"),
        (2, None, "attempt 2"),
        (2, 5, "attempt 2 of 5"),
        (1000, 2**53 - 1, "attempt 1,000 of 9,007,199,254,740,991"),
    ],
)
def test_attempt_is_named_once_there_are_several(
    attempts: int, max_attempts: int | None, text: str
) -> None:
    """A first attempt is named only if the maximum shows that it has failed."""
    assert attempt_text(attempts, max_attempts) == text


@pytest.mark.parametrize(
    ("failed", "text"), [(None, ""), (0.0, ""), (1500.0, "1,500 failed")]
)
def test_failed_units_are_named_if_any(failed: float | None, text: str) -> None:
    """Failed units are counted; without any, the text is empty."""
    assert failed_text(failed) == text
