"""Output of the command: lines on stdout, one-line errors on stderr."""

from __future__ import annotations

import codecs
import io
import os
import sys

MAX_ERROR_LENGTH = 500
"""Maximum length of an error, in characters.

Errors quote arguments and file names, which may be long.
"""
_STDERR = 2


def open_closed_streams() -> None:
    """Open the null device in place of closed standard streams.

    Otherwise the descriptor of stderr would belong to the next opened file, such as the
    database, and messages of native code would be written into that file.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
    if sys.stderr is None:
        sys.stderr = os.fdopen(_STDERR, "w")


def print_any_file_name() -> None:
    """Configure stdout and stderr to print any file name.

    Bytes that are not UTF-8 are written unchanged. Characters that the encoding of the
    stream cannot represent are written as backslash escapes.
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
    """Print a line on stdout and flush it, because a pipe would delay the line."""
    print(line, flush=True)


def print_error(reason: str) -> None:
    """Print an error on stderr, in one printable line."""
    print(f"trackerapi-backend: {printable_line(reason)}", file=sys.stderr)


def ask(question: str) -> str:
    """Print a question on stderr; return the line that the user types."""
    print(f"{question} ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip()


def printable_line(text: str, max_length: int = MAX_ERROR_LENGTH) -> str:
    """Return a text cut to `max_length`, with control characters replaced."""
    if len(text) > max_length:
        text = f"{text[: max_length - 1]}…"
    return "".join(
        c if c.isprintable() or _is_escaped_byte(c) else "\N{REPLACEMENT CHARACTER}"
        for c in text
    )


def _is_escaped_byte(character: str) -> bool:
    """Return whether a character stands for a byte of a name that is not UTF-8."""
    return "\udc80" <= character <= "\udcff"


def drop_output() -> None:
    """Send the buffered rest of stdout to the null device.

    Call this after a failed write to stdout: otherwise Python writes the buffer again
    at its exit, and fails again.
    """
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
