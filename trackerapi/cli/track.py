"""`trackerapi track`: a pipe filter that counts what passes as units of a step.

Copies stdin to stdout byte for byte, and ends as `cat` would: with the data, with the
reader, or by a signal. Whoever reads or writes the pipe never waits for the backend.
"""

import argparse
import os
import select
import signal
import stat
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final, NoReturn

from trackerapi.cli.argument_types import number
from trackerapi.cli.exit_statuses import COPY_FAILED, FINE
from trackerapi.cli.options import add_command
from trackerapi.cli.printing import print_message
from trackerapi.cli.reporting import (
    STATUSES,
    add_job,
    add_part,
    add_sending,
    job_of,
    report_tracker,
    warn_of_unknown_step,
)
from trackerapi.jobs.step import TrackerStep

STDIN: Final = 0
STDOUT: Final = 1
CHUNK_BYTES: Final = 128 * 1024

_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_HELP: Final = f"""\
Copy stdin to stdout, and count it as progress of a step.

The step starts at once and is done at the end of the data. A filter cannot see
whether the command before it failed: where that matters, give --no-end, and let the
script say `trackerapi event step` once the whole pipe has succeeded.

Several places that count one step each give a --part of their own, with --no-end.

{STATUSES}
Like `cat`, it ends with status 1 if the data cannot be read or written, and dies of
SIGPIPE when the reader goes away.

examples:
  ls *.png | trackerapi track --step convert --total 120 | xargs -n 1 convert.sh
  trackerapi track --step load --bytes < backup.tar | tar -x
  find . -name '*.dcm' -print0 | trackerapi track --step send --null | xargs -0 send.sh
"""


def add_commands(commands: Any) -> None:
    """Add `track`."""
    parser = add_command(commands, "track", _track, _HELP)
    parser.add_argument(
        "--step", metavar="TAG", required=True, help="the step whose units are counted"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--bytes", action="store_true", help="count bytes, not lines")
    what.add_argument(
        "--null", action="store_true", help="count what NUL ends, not lines"
    )
    parser.add_argument(
        "--total",
        metavar="N",
        type=number,
        help="units in all; with --bytes and a file on stdin it is known",
    )
    parser.add_argument(
        "--no-start", action="store_true", help="the step has been started already"
    )
    parser.add_argument(
        "--no-end", action="store_true", help="let the step go on after the data"
    )
    add_part(parser)
    add_job(parser)
    add_sending(parser)


class Counter:
    """Counts the records of a stream, cut in pieces anywhere.

    Args:
        end: Byte that ends a record; None counts bytes.
    """

    def __init__(self, end: bytes | None) -> None:
        self._end, self._is_within = end, False

    def count(self, chunk: bytes) -> int:
        """Return how many records end in the next piece."""
        if self._end is None:
            return len(chunk)
        self._is_within = not chunk.endswith(self._end)
        return chunk.count(self._end)

    def rest(self) -> int:
        """Return 1 if the stream ended within a record, which nothing ended."""
        return int(self._is_within)


class _Stop:
    """Ends the copy when a signal comes, as if the data were at its end.

    Nothing is raised, so that what has been passed on is counted.

    Attributes:
        number: The signal; 0 as long as none has come.
    """

    def __init__(self) -> None:
        self.number = 0

    def hear(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        self.number = number
        _let_go()


def _track(options: argparse.Namespace) -> int:
    for descriptor in (STDIN, STDOUT):
        os.fstat(descriptor)  # a closed one could become a file of the outbox
    status, stop = FINE, _Stop()
    with report_tracker(options, is_lasting=True) as tracker:
        job = job_of(tracker, options)
        step = job.step(options.step)
        with _signals_heard_by(stop):
            _begin(step, options)
            try:
                _copy(Counter(_end_of_record(options)), step.advance)
            except BrokenPipeError:
                stop.number = signal.SIGPIPE
            except OSError as error:
                print_message(f"copying failed: {error.strerror or error}")
                status = COPY_FAILED
            if status == FINE and not stop.number and not options.no_end:
                step.done()
            _let_go()
        began = time.monotonic()
    warn_of_unknown_step(tracker, job, options.step, began)
    if stop.number:
        _die_of(stop.number)
    return status


def _begin(step: TrackerStep, options: argparse.Namespace) -> None:
    if not options.no_start:
        step.start()
    total: float | None = options.total
    if total is None and options.bytes:
        total = _bytes_ahead()
    if total is not None:
        step.total = total


def _end_of_record(options: argparse.Namespace) -> bytes | None:
    if options.bytes:
        return None
    return b"\0" if options.null else b"\n"


def _bytes_ahead() -> int | None:
    """Return how much a file on stdin has from here on; None for a pipe."""
    about = os.fstat(STDIN)
    if not stat.S_ISREG(about.st_mode):
        return None
    return max(about.st_size - os.lseek(STDIN, 0, os.SEEK_CUR), 0)


def _copy(counter: Counter, advance: Callable[[int], object]) -> None:
    """Copy stdin to stdout, and count what has been passed on.

    Raises:
        BrokenPipeError: If nobody reads it any more.
        OSError: If it cannot be read or written.
    """
    while chunk := _read():
        _write(chunk)
        if count := counter.count(chunk):
            advance(count)
    if rest := counter.rest():
        advance(rest)
    # What a network file system could not write, it tells when the file is closed.
    os.close(os.dup(STDOUT))


def _read() -> bytes:
    while True:
        try:
            return os.read(STDIN, CHUNK_BYTES)
        except BlockingIOError:
            select.select([STDIN], [], [])


def _write(chunk: bytes) -> None:
    left = memoryview(chunk)
    while left:
        try:
            left = left[os.write(STDOUT, left) :]
        except BlockingIOError:
            select.select([], [STDOUT], [])


def _let_go() -> None:
    """Close both ends of the pipe, so that nobody there waits for the delivery."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, STDIN)
        os.dup2(null, STDOUT)
        os.close(null)


@contextmanager
def _signals_heard_by(stop: _Stop) -> Generator[None]:
    """Let what asks the process to end be heard, within the context."""
    before = {each: signal.getsignal(each) for each in _ENDINGS}
    # What is ignored stays so: the process is to outlive its terminal.
    heard = [each for each in _ENDINGS if before[each] != signal.SIG_IGN]
    for each in heard:
        signal.signal(each, stop.hear)
    try:
        yield
    finally:
        for each in heard:
            signal.signal(each, before[each])


def _die_of(number: int) -> NoReturn:
    """End as a process does that has no handler, so that the shell sees why."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    raise SystemExit(128 + number)  # where the signal is blocked
