"""Output of the command: lines on stdout, one-line errors on stderr."""

from __future__ import annotations

import codecs
import io
import os
import sys

MAX_ERROR_LENGTH = 500
"""Maximum length of an error, in characters: errors quote arguments and file names."""


def allow_any_name() -> None:
    """Let stdout and stderr take every file name.

    Names that are not UTF-8 are written as their bytes, and characters that the
    encoding of the terminal lacks are written as escapes.
    """
    codecs.register_error("trackerapi-backend", _bytes_or_escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="trackerapi-backend")


def _bytes_or_escape(error: UnicodeError) -> tuple[str | bytes, int]:
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


def print_line(line: str) -> None:
    """Print a line on stdout at once, so that a reader of a pipe gets the line."""
    print(line, flush=True)


def print_error(reason: str) -> None:
    """Print an error on stderr, in one printable line."""
    print(f"trackerapi-backend: {printable_line(reason)}", file=sys.stderr)


def printable_line(text: str) -> str:
    """Return a text without control characters, cut to `MAX_ERROR_LENGTH`."""
    if len(text) > MAX_ERROR_LENGTH:
        text = f"{text[: MAX_ERROR_LENGTH - 1]}…"
    return "".join(
        c if c.isprintable() or _is_escaped_byte(c) else "\N{REPLACEMENT CHARACTER}"
        for c in text
    )


def _is_escaped_byte(character: str) -> bool:
    """Return whether a character stands for a byte of a name that is not UTF-8."""
    return "\udc80" <= character <= "\udcff"


def drop_output() -> None:
    """Send unwritten output to the null device.

    For use after a failed write to stdout: Python would write the rest of the output
    at its exit, and fail again.
    """
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
