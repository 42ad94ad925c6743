"""`Output`: writing to a stderr that may be closed or replaced."""

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trackerapi.view.output import Output


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, Output]]:
    """Return the reading end of a pipe, and an output that writes to the pipe."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "__stderr__", stream)
        yield reading, Output(stream)
    if reading >= 0:
        os.close(reading)


def test_text_is_written_in_the_encoding_of_the_stream(
    pipe: tuple[int, Output],
) -> None:
    """Characters that the encoding of the stream lacks are escaped."""
    reading, output = pipe

    assert output.write("Größe\n")
    assert os.read(reading, 100) == b"Gr\\xf6\\xdfe\n"


def test_closed_pipe_returns_false() -> None:
    """`write()` returns False after the reader of the pipe has closed its end."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        original, sys.__stderr__ = sys.__stderr__, stream  # type: ignore[misc]
        try:
            output = Output(stream)
        finally:
            sys.__stderr__ = original  # type: ignore[misc]
        os.close(reading)

        assert not output.write("text")


def test_file_that_reuses_the_descriptor_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`write()` writes nothing if the descriptor has become another file."""
    before, after = tmp_path / "before", tmp_path / "after"
    with before.open("w") as stream, after.open("w") as other:
        monkeypatch.setattr(sys, "__stderr__", stream)
        output = Output(stream)
        output.write("first")
        os.dup2(other.fileno(), stream.fileno())

        assert not output.write("second")
    assert (before.read_text(), after.read_text()) == ("first", "")


def test_replaced_stderr_is_written_to() -> None:
    """A StringIO in place of stderr is written to until it is closed."""
    stream = io.StringIO()

    assert Output(stream).write("line\n")
    assert stream.getvalue() == "line\n"
    stream.close()
    assert not Output(stream).write("line\n")
