"""Progress of a command, read from its output."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackerapi.cli.run.progress_pattern import (
    MAX_LINE_BYTES,
    MAX_LINES,
    Lines,
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
        (r"(\d+)%", "7\x1b(B\x1b[m0\x0f%", Measure(fraction=0.7)),
        (r"(\d+)%", "\x1b]0;99%\x077\x1b)00%", Measure(fraction=0.7)),
        (
            r"(\d+)%",
            "\x1b]8;;http://a/9%\x1b\\70\x1b]8;;\x1b\\%",
            Measure(fraction=0.7),
        ),
        (r"(\d+)%", "\x1b7\x1b[?25l70\x1b[38;5;1m%\x1b8\x1b=", Measure(fraction=0.7)),
        (r"(\d+)%", "\x1bP1$r9%\x1b\\7\x9b1m0\0\0%", Measure(fraction=0.7)),
        (r"(\d+)%", "70% \x1b[3", Measure(fraction=0.7)),
        (r"(\S+)%", "-5%", None),
        (r"(\S+)%", "nan%", None),
        (r"(\S+)%", "inf%", None),
        (r"(\S+)%", "some%", None),
        (r"(\S+)/(\S+)", "?/8", None),
        (r"(\S+)/(\S+)", "2/?", Measure(completed=2)),
        (r"(\d+)%", "nothing here", None),
    ],
)
def test_line_has_the_progress_of_its_groups(
    regex: str, line: str, expected: Measure | None
) -> None:
    """Named groups are read by name; one unnamed group is a percentage, two units."""
    assert ProgressPattern(regex).measure(line) == expected


@pytest.mark.parametrize(
    "regex", ["(", "no group", "(a)(b)(c)", "(?P<total>a)", "(?P<other>a)(b)(c)", "a{9"]
)
def test_pattern_without_usable_groups_is_rejected(regex: str) -> None:
    """An invalid expression or an unusable set of groups raises ValueError."""
    with pytest.raises(ValueError, match=r"regular expression|group"):
        ProgressPattern(regex)


PERCENT = ProgressPattern(r"(\d+)%")


def test_newest_returns_the_last_matching_line() -> None:
    """`newest()` returns the measure of the last matching line, or None."""
    assert PERCENT.newest([b"1%", b"2%", b"30%", b"other"]) == Measure(fraction=0.3)
    assert PERCENT.newest([b"other"]) is None
    assert PERCENT.newest([]) is None


def test_split_returns_complete_lines() -> None:
    """`split()` returns complete lines, `rest()` the unfinished last line."""
    lines = Lines()

    assert lines.split(b"1%\r2%\r\n4") == [b"1%", b"2%"]
    assert lines.split(b"0") == []
    assert lines.split(b"%\r") == [b"40%"]
    assert lines.split(b"50%") == []
    assert lines.rest() == [b"50%"]
    assert lines.rest() == []


@pytest.mark.parametrize(
    "move", [b"\x1b[G", b"\x1b[1G", b"\x1b[1A", b"\x1b[2F", b"\x1b[3;1H", b"\x1b[2J"]
)
def test_cursor_movement_ends_a_line(move: bytes) -> None:
    """A cursor movement ends a line, even if the stream arrives byte by byte."""
    lines, stream = Lines(), move.join([b"10%", b"20%", b"30%"])

    pieces = [lines.split(stream[at : at + 1]) for at in range(len(stream))]

    assert [line for piece in pieces for line in piece] == [b"10%", b"20%"]
    assert lines.rest() == [b"30%"]


@given(st.lists(st.integers(0, 100), min_size=1), st.data())
def test_cuts_of_the_stream_do_not_matter(
    percents: list[int], data: st.DataObject
) -> None:
    """All lines are found wherever the stream is cut."""
    ends = st.sampled_from([b"\n", b"\r", b"\r\n", b"\x1b[1G"])
    stream = b"".join(b"%d%%" % p + data.draw(ends) for p in percents)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    lines = Lines()

    found = [
        lines.split(stream[begin:end])
        for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
    ]

    values = [line for piece in [*found, lines.rest()] for line in piece]
    assert values == [b"%d%%" % percent for percent in percents]


def test_long_line_is_cut() -> None:
    """Only the first MAX_LINE_BYTES of a line are kept."""
    lines = Lines()

    for _ in range(100):
        assert lines.split(b"x" * MAX_LINE_BYTES) == []
    assert lines.split(b"50%\n60%\n") == [b"x" * MAX_LINE_BYTES, b"60%"]


def test_only_the_last_lines_of_a_chunk_are_read() -> None:
    """Only the last MAX_LINES lines of one chunk are read."""
    lines = Lines()

    assert lines.split(b"1%\n" + b"\n" * MAX_LINES) == []
    assert lines.split(b"1%\n" + b"\n" * (MAX_LINES - 1)) == [b"1%"]


@given(st.binary())
def test_arbitrary_bytes_raise_nothing(data: bytes) -> None:
    """No bytes in the output raise an exception."""
    lines, pattern = Lines(), ProgressPattern(r"(\S+)%")

    pattern.newest(lines.split(data))
    pattern.newest(lines.rest())


@pytest.mark.filterwarnings("error")
def test_pattern_that_causes_a_warning_is_accepted() -> None:
    """A pattern that causes a FutureWarning is accepted without the warning."""
    assert ProgressPattern(r"[[](\d+)%").measure("[7%") == Measure(fraction=0.07)
