"""Rate of steps, and remaining time."""

import pytest

from trackerapi.view.rate import WINDOW_SECONDS, RateMeter, seconds_left


def rate_of(*seen: tuple[float, float]) -> float | None:
    """Return the rate after samples of (seconds, units done since the begin)."""
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
def test_rate_is_work_divided_by_time(
    seen: list[tuple[float, float]], rate: float | None
) -> None:
    """The rate is None before MIN_SECONDS have passed, and without any work."""
    assert rate_of(*seen) == rate


def test_rate_follows_the_last_minute() -> None:
    """Work older than WINDOW_SECONDS does not change the rate."""
    fast = [(float(at), at * 100.0) for at in range(100)]
    slow = [(100.0 + at, 10_000.0 + at) for at in range(int(WINDOW_SECONDS) + 2)]

    assert rate_of(*fast, *slow) == pytest.approx(1, rel=0.01)


def test_frequent_snapshots_do_not_change_the_rate() -> None:
    """1001 snapshots within 10 seconds return the same rate as a few snapshots."""
    assert rate_of(*((at / 100, at) for at in range(1001))) == pytest.approx(100)


@pytest.mark.parametrize(
    ("rate", "completed", "total", "seconds"),
    [
        (2.0, 10, 30, 10),
        (None, 10, 30, None),
        (2.0, 10, None, None),
        (2.0, 40, 30, 0),
    ],
)
def test_remaining_time_needs_a_rate_and_a_total(
    rate: float | None, completed: float, total: float | None, seconds: float | None
) -> None:
    """Without a rate or a total, the remaining time is None; beyond the total, 0."""
    assert seconds_left(rate, completed, total) == seconds
