"""Output of the commands: results on stdout, messages and progress on stderr.

Control characters in texts of records are escaped: otherwise a text could control the
terminal.
"""

import json
import logging
import os
import sys
import textwrap
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, BinaryIO, Final, TextIO

from trackerapi.cli.exit_statuses import NotPrinted
from trackerapi.errors import printable
from trackerapi.times import parse_rfc3339

_CLEAR: Final = "\r\x1b[K"
_BETWEEN_SECONDS: Final = 0.1
_TABLE_ROWS: Final = 200
"""Number of rows that a table prints at a time, equal to a page of the backend."""

_UNITS: Final = ("B", "KiB", "MiB", "GiB")
_LIBRARY: Final = logging.getLogger("trackerapi")


def print_line(text: str, end: str = "\n") -> None:
    """Print a line of the result; print nothing if stdout is closed.

    A character that the encoding of stdout lacks is printed as an escape sequence.

    Raises:
        BrokenPipeError: If the reader of stdout has ended.
        NotPrinted: If stdout cannot be written.
    """
    with _writing():
        _write(text + end)


def flush_stdout() -> None:
    """Write the buffered lines to stdout; raise like `print_line()`."""
    stream: TextIO | None = sys.stdout
    if stream is not None:
        with _writing():
            stream.flush()


def discard_stdout() -> None:
    """Redirect stdout to /dev/null after a failed write.

    At exit, Python flushes stdout again, which would raise a second error.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_argument(text: str) -> None:
    """Print an argument of the command line, as input for another command.

    The bytes are written unchanged, even if the encoding of stdout differs from the
    encoding of the command line.
    """
    binary: BinaryIO | None = getattr(sys.stdout, "buffer", None)
    if binary is None:
        print_line(text)
        return
    flush_stdout()
    with _writing():
        binary.write(os.fsencode(text) + b"\n")


def print_secret(
    noun: str, make: Callable[[], str], undo: Callable[[str], str]
) -> None:
    """Make a secret and print it; the secret cannot be shown again.

    Args:
        noun: Name of the secret in errors, such as `the token`.
        make: Function that makes the secret and returns it.
        undo: Function that is called with a secret that could not be printed. It
            expires the secret if possible, and returns a clause for the error text.

    Raises:
        NotPrinted: If stdout is closed, or cannot be written.
    """
    stream: TextIO | None = sys.stdout
    if stream is None:
        raise NotPrinted(f"stdout is closed, and {noun} is shown only there")
    secret = make()
    try:
        _write(f"{secret}\n")
        stream.flush()
    except OSError as error:
        discard_stdout()
        reason = error.strerror or error
        raise NotPrinted(
            f"{noun} could not be printed ({reason}); {undo(secret)}"
        ) from None


def print_message(text: str) -> None:
    """Print a message on stderr; do nothing if stderr is closed or cannot be written.

    The exit status then shows the outcome of the command.
    """
    stream: TextIO | None = sys.stderr
    if stream is None:
        return
    start = _CLEAR if stream.isatty() else ""
    with suppress(OSError):
        stream.write(f"{start}trackerapi: {printable(text)}\n")
        stream.flush()


def print_json(value: Any, *, in_one_line: bool = False) -> None:
    """Print a value as JSON."""
    print_line(_as_json(value, indent=None if in_one_line else 2))


def print_json_list(values: Iterable[Any]) -> None:
    """Print values as one JSON array; print each value as soon as it is available."""
    is_first = True
    for value in values:
        print_line("[" if is_first else ",", end="\n")
        print_line(textwrap.indent(_as_json(value, indent=2), "  "), end="")
        is_first = False
    print_line("[]" if is_first else "\n]")


def print_paragraph(text: str, *, indent: str) -> None:
    """Print a text of several lines, indented, with control characters escaped."""
    for line in text.splitlines():
        print_line(f"{indent}{printable(line.expandtabs())}".rstrip())


def print_table(rows: Sequence[Sequence[str]], *, numbers: frozenset[int]) -> None:
    """Print rows in columns; the first row is the heading.

    Args:
        rows: Rows of the same length.
        numbers: Indexes of the columns that are aligned to the right.
    """
    table = Table(rows[0], numbers=numbers, max_rows=len(rows))
    for row in rows[1:]:
        table.add(row)
    table.flush()


class Table:
    """Table that is printed in portions, for an unknown number of rows.

    A column is as wide as its widest cell so far: later portions can be wider.

    Args:
        heading: First row.
        numbers: Indexes of the columns that are aligned to the right.
        max_rows: Maximum number of rows in one portion.
    """

    def __init__(
        self,
        heading: Sequence[str],
        *,
        numbers: frozenset[int],
        max_rows: int = _TABLE_ROWS,
    ) -> None:
        self._rows = [heading]
        self._widths = [0] * len(heading)
        self._count = 0
        self._numbers, self._max_rows = numbers, max_rows

    @property
    def is_empty(self) -> bool:
        """Whether the table has only its heading."""
        return self._count == 0

    def add(self, row: Sequence[str]) -> None:
        """Add a row; print the portion if it is complete."""
        self._rows.append(row)
        self._count += 1
        if len(self._rows) > self._max_rows:
            self.flush()

    def flush(self) -> None:
        """Print the rows that were added since the last portion."""
        columns = zip(
            self._widths, *([len(c) for c in r] for r in self._rows), strict=True
        )
        self._widths = [max(lengths) for lengths in columns]
        for row in self._rows:
            cells = [
                cell.rjust(width) if column in self._numbers else cell.ljust(width)
                for column, (cell, width) in enumerate(
                    zip(row, self._widths, strict=True)
                )
            ]
            print_line("  ".join(cells).rstrip())
        self._rows = []


def moment_text(moment: datetime) -> str:
    """Return a time in the local time zone; in UTC if the local year is above 9999."""
    try:
        local = moment.astimezone()
    except (OverflowError, ValueError, OSError):  # the end of the year 9999
        local = moment
    return f"{local.isoformat(' ', 'seconds')[:19]} {local:%z}"


def time_text(rfc3339: str) -> str:
    """Return an RFC 3339 time in the local time zone; escape any other text."""
    try:
        return moment_text(parse_rfc3339(rfc3339))
    except ValueError:
        return printable(rfc3339)


def size_text(size_bytes: int) -> str:
    """Return a size with its unit, such as `1.5 KiB`."""
    size, unit = float(size_bytes), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"


def count_text(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun, such as `1 file` or `2,000 files`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


class Progress:
    """Progress line of a long command; printed only if the stream is a terminal.

    Args:
        text: Function that returns the line for a count.
        stream: Stream for the line; None for stderr.
        clock: Monotonic clock in seconds; None for `time.monotonic()`.
    """

    def __init__(
        self,
        text: Callable[[int], str],
        stream: TextIO | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._text, self._clock = text, clock
        self._stream = stream or sys.stderr
        self._is_shown = self._stream.isatty()
        self._next_at = 0.0
        self.count = 0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._is_shown:
            self._stream.write(_CLEAR)
            self._stream.flush()

    def add(self, count: int) -> None:
        """Add to the count; print the line at most ten times a second."""
        self.count += count
        now = (self._clock or time.monotonic)()
        if self._is_shown and now >= self._next_at:
            self._next_at = now + _BETWEEN_SECONDS
            self._stream.write(_CLEAR + self._text(self.count))
            self._stream.flush()


def progress_of(verb: str, total: int, noun: str) -> Progress:
    """Return a progress line such as `sent 1,200 of 5,000 records`."""
    return Progress(lambda count: f"{verb} {count:,} of {count_text(total, noun)}")


class _PrintedMessages(logging.Handler):
    """Log handler that prints messages of the library like messages of the command."""

    def emit(self, record: logging.LogRecord) -> None:
        print_message(record.getMessage())


@contextmanager
def library_messages_on_stderr() -> Generator[None]:
    """Print messages of the library on stderr within a block (`with` statement)."""
    handler, before = (
        _PrintedMessages(logging.INFO),
        (_LIBRARY.level, _LIBRARY.propagate),
    )
    _LIBRARY.addHandler(handler)
    _LIBRARY.setLevel(logging.INFO)
    _LIBRARY.propagate = False
    try:
        yield
    finally:
        _LIBRARY.removeHandler(handler)
        _LIBRARY.setLevel(before[0])
        _LIBRARY.propagate = before[1]


def _write(text: str) -> None:
    stream: TextIO | None = sys.stdout
    if stream is None:
        return
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding
        known = text.encode(encoding, "backslashreplace").decode(encoding)
        stream.write(known)


@contextmanager
def _writing() -> Generator[None]:
    """Raise NotPrinted if the block cannot write to stdout."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_stdout()
        raise NotPrinted(
            f"stdout cannot be written ({error.strerror or error}); make room on its "
            "disk, or redirect it"
        ) from None


def without_none(members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members with a value other than None."""
    return {name: value for name, value in members.items() if value is not None}


def _as_json(value: Any, indent: int | None) -> str:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    is_unicode = encoding.lower().startswith("utf")
    text = json.dumps(
        value, indent=indent, default=_json_text, ensure_ascii=not is_unicode
    )
    # Escape the control characters that JSON permits: a terminal would obey them.
    return "".join(
        c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text
    )


def _json_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
