"""The speed of steps, and how long they still take."""

import pytest

from trackerapi.view.rate import WINDOW_SECONDS, RateMeter, seconds_left


def pace_of(*seen: tuple[float, float]) -> float | None:
    """Return the rate of a step that was seen at some times."""
    meter = RateMeter()
    for at, worked in seen:
        meter.add(at, worked)
    return meter.rate


@pytest.mark.parametrize(
    ("seen", "rate"),
    [
        ([], None),
        ([(0, 0)], None),
        ([(0, 0), (0.5, 100)], None),
        ([(0, 0), (2, 100)], 50),
        ([(5, 40), (7, 100)], 30),
        ([(0, 0), (10, 0)], None),
        ([(0, 0), (10, 50), (11, 1), (13, 5)], 2),
    ],
    ids=["nothing", "one look", "too soon", "from nothing", "late", "still", "anew"],
)
def test_rate_is_what_was_worked_in_the_time(
    seen: list[tuple[float, float]], rate: float | None
) -> None:
    """Nobody claims a speed before there was time to see one."""
    assert pace_of(*seen) == rate


def test_rate_follows_the_last_minute() -> None:
    """A step that has become slow does not promise what it did an hour ago."""
    fast = [(float(at), at * 100.0) for at in range(100)]
    slow = [(100.0 + at, 10_000.0 + at) for at in range(int(WINDOW_SECONDS) + 2)]

    assert pace_of(*fast, *slow) == pytest.approx(1, rel=0.01)


def test_many_looks_keep_little() -> None:
    """A fast display does not make the rate one of the last moment."""
    assert pace_of(*((at / 100, at) for at in range(1001))) == pytest.approx(100)


@pytest.mark.parametrize(
    ("rate", "completed", "total", "seconds"),
    [
        (2.0, 10, 30, 10),
        (None, 10, 30, None),
        (2.0, 10, None, None),
        (2.0, 40, 30, 0),
    ],
)
def test_time_left_needs_a_rate_and_a_total(
    rate: float | None, completed: float, total: float | None, seconds: float | None
) -> None:
    """What cannot be told is not guessed."""
    assert seconds_left(rate, completed, total) == seconds
