"""How far a command is, by what it prints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackerapi.running.matching import (
    LONGEST_LINE_BYTES,
    MOST_LINES,
    LineWatch,
    Measure,
    ProgressPattern,
)


@pytest.mark.parametrize(
    ("regex", "line", "expected"),
    [
        (r"(\d+)%", "at 40% of it", Measure(fraction=0.4)),
        (r"(\d+%)", "at 40% of it", Measure(fraction=0.4)),
        (r"([\d.,]+) ?%", "12.5 %", Measure(fraction=0.125)),
        (r"([\d.,]+) ?%", "12,5 %", Measure(fraction=0.125)),
        (r"(\d+)%", "140%", Measure(fraction=1.0)),
        (r"(\d+)/(\d+)", "3/8", Measure(completed=3, total=8)),
        (r"(\S+) of (\S+)", "1,234 of 5'678", Measure(completed=1234, total=5678)),
        (r"(\d+)(?: of (\d+))?", "7", Measure(completed=7)),
        (r"(?P<percent>\d+)% (\w+)", "50% fine", Measure(fraction=0.5)),
        (r"done=(?P<fraction>\S+)", "done=0.25", Measure(fraction=0.25)),
        (r"(?P<completed>\d+) rows", "12 rows", Measure(completed=12)),
        (
            r"(?P<total>\d+) rows, (?P<completed>\d+)",
            "9 rows, 4",
            Measure(completed=4, total=9),
        ),
        (r"(\d+)%", "\x1b[32m\x1b[1m70\x1b[0m%", Measure(fraction=0.7)),
        (r"(\S+)%", "-5%", None),
        (r"(\S+)%", "nan%", None),
        (r"(\S+)%", "inf%", None),
        (r"(\S+)%", "some%", None),
        (r"(\S+)/(\S+)", "?/8", None),
        (r"(\S+)/(\S+)", "2/?", Measure(completed=2)),
        (r"(\d+)%", "nothing here", None),
    ],
)
def test_line_says_how_far_it_is(
    regex: str, line: str, expected: Measure | None
) -> None:
    """Groups are a percentage, units, or what their names say."""
    assert ProgressPattern(regex).measure(line) == expected


@pytest.mark.parametrize(
    "regex", ["(", "no group", "(a)(b)(c)", "(?P<total>a)", "(?P<other>a)(b)(c)", "a{9"]
)
def test_pattern_that_can_say_nothing_is_refused(regex: str) -> None:
    """A pattern has the groups that mean something, or it is none."""
    with pytest.raises(ValueError, match=r"regular expression|group"):
        ProgressPattern(regex)


def test_newest_line_counts() -> None:
    """Of many lines that come together the last that says something counts."""
    watch = LineWatch(ProgressPattern(r"(\d+)%"))

    assert watch.newest(b"1%\r2%\r30%\nother\n4") == Measure(fraction=0.3)
    assert watch.newest(b"0") is None
    assert watch.newest(b"%\r") == Measure(fraction=0.4)
    assert watch.newest(b"50%") is None
    assert watch.last() == Measure(fraction=0.5)
    assert watch.last() is None


@given(st.lists(st.integers(0, 100), min_size=1), st.data())
def test_pieces_of_the_output_do_not_matter(
    percents: list[int], data: st.DataObject
) -> None:
    """Wherever the stream is cut, the last line is found."""
    ends = st.sampled_from([b"\n", b"\r", b"\r\n"])
    stream = b"".join(b"%d%%" % p + data.draw(ends) for p in percents)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    watch = LineWatch(ProgressPattern(r"(\d+)%"))

    found = [
        watch.newest(stream[begin:end])
        for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
    ]

    told = [measure for measure in [*found, watch.last()] if measure is not None]
    assert told[-1] == Measure(fraction=percents[-1] / 100)


def test_endless_line_is_not_kept() -> None:
    """Only the begin of a line is looked at, however long it goes on."""
    watch = LineWatch(ProgressPattern(r"(\d+)%"))

    for _ in range(100):
        assert watch.newest(b"x" * LONGEST_LINE_BYTES) is None
    assert watch.newest(b"50%\n") is None
    assert watch.newest(b"60%\n") == Measure(fraction=0.6)


def test_flood_is_looked_at_in_part() -> None:
    """Of very many lines at once only the last ones are tried."""
    watch = LineWatch(ProgressPattern(r"(\d+)%"))

    assert watch.newest(b"1%\n" + b"\n" * MOST_LINES) is None
    assert watch.newest(b"1%\n" + b"\n" * (MOST_LINES - 1)) == Measure(fraction=0.01)


@given(st.binary())
def test_no_bytes_do_harm(data: bytes) -> None:
    """What is no text says nothing."""
    watch = LineWatch(ProgressPattern(r"(\S+)%"))

    watch.newest(data)
    watch.last()
