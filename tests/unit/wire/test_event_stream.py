"""`StreamParser`: lines, chunks cut anywhere, fields and limits."""

import re
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackerapi.wire import event_stream
from trackerapi.wire.answer_check import InvalidAnswer
from trackerapi.wire.event_stream import StreamMessage, StreamParser

STREAM: Final = (
    "retry: 2500\n\n: comment\n\nid: 1\nevent: job\ndata: Grüße 😀\n\n"
    "data: a\ndata:b\ndata\ndata:  c\nunknown: x\n\nid\nevent: empty\n\n"
    "id: x\0y\ndata: last\n\ndata: unfinished"
)
MESSAGES: Final = [
    StreamMessage("job", "Grüße 😀".encode(), "1"),
    StreamMessage("message", b"a\nb\n\n c", "1"),
    StreamMessage("message", b"last", ""),
]
"""Messages of `STREAM`: a block without data is none, and an id with NUL is ignored."""

LINE_ENDS: Final = ["\n", "\r", "\r\n"]


def parse(*chunks: bytes) -> list[StreamMessage]:
    """Return the messages of a stream that arrives in these chunks."""
    parser = StreamParser()
    return [message for chunk in chunks for message in parser.feed(chunk)]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@given(
    ends=st.lists(st.sampled_from(LINE_ENDS), min_size=30, max_size=30),
    cuts=st.lists(st.integers(0, 200)),
)
def test_messages_do_not_depend_on_line_ends_and_cuts(
    mark: str, ends: list[str], cuts: list[int]
) -> None:
    """Any line ends, and chunks cut within characters and CRLF, give one result.

    A byte order mark at the begin of the stream is ignored.
    """
    # CR and LF of two lines would be one line end.
    ends = ["\r\n" if two == "\n" else one for one, two in pairwise([*ends, "\r"])]
    rest = iter(ends)
    raw = (mark + re.sub("\n", lambda _: next(rest), STREAM)).encode()
    places = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    chunks = [raw[a:b] for a, b in pairwise(places)]

    assert parse(*chunks) == MESSAGES


@given(st.lists(st.binary(max_size=30)))
def test_any_bytes_are_parsed(chunks: list[bytes]) -> None:
    """Random bytes raise nothing; the number of lines does not depend on the cuts."""
    parser, whole = StreamParser(), StreamParser()

    messages = [message for chunk in chunks for message in parser.feed(chunk)]

    assert messages == whole.feed(b"".join(chunks))
    assert parser.line_count == whole.line_count


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("retry: 2500", 2.5),
        ("retry: 0", 0.0),
        ("retry:10", 0.01),
        ("retry: " + "9" * 5000, event_stream.MAX_RETRY_SECONDS),
        ("retry: -1", None),
        ("retry: 1.5", None),
        ("retry: \u0663", None),
        ("retry", None),
    ],
)
def test_retry_is_a_number_of_milliseconds_within_a_limit(
    line: str, seconds: float | None
) -> None:
    """`retry` is parsed if it consists of ASCII digits, and has a maximum."""
    parser = StreamParser()
    parser.feed(f"{line}\n".encode())

    assert parser.retry_seconds == seconds


@pytest.mark.parametrize(
    "piece", [b"data: x\n", b"data\n", b"x", b"event: y\n: c\n", b": comment"]
)
def test_message_without_an_end_is_limited(
    monkeypatch: pytest.MonkeyPatch, piece: bytes
) -> None:
    """A message, a line or a comment above the size limit raises InvalidAnswer."""
    monkeypatch.setattr(event_stream, "MAX_REPORT_BYTES", 1000)
    parser = StreamParser()
    parser.feed(b"data: begin\n")

    with pytest.raises(InvalidAnswer, match="longer than 1,000 bytes"):
        list(map(parser.feed, [piece] * 1001))


def test_size_of_a_stream_is_not_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments, and messages below the limit, may add up to any size."""
    monkeypatch.setattr(event_stream, "MAX_REPORT_BYTES", 100)
    parser = StreamParser()

    messages = [
        message
        for _ in range(50)
        for message in parser.feed(b":\nid: 1\n\n: c\ndata: 1234567890\n\n")
    ]

    assert len(messages) == 50
