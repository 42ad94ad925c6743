"""Command `track`: a filter in a pipe that counts lines or bytes as units of a step.

`track` copies stdin to stdout byte for byte. Like `cat`, `track` ends at the end of the
data, when the reader has ended, or by a signal. Both ends of the pipe are closed before
the delivery, so that writer and reader need not wait for the backend.
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
    REPORT_STATUSES,
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
Copy stdin to stdout, and count the data as progress of a step.

The step starts immediately, and is done at the end of the data, even if the previous
command in the pipe has failed. If a failure matters, pass --no-end, and run
`trackerapi event step` after the whole pipe has succeeded.

If several workers count one step, pass --no-end and a different --part for each worker.

{REPORT_STATUSES}
Like `cat`, the command ends with status 1 if the data cannot be read or written, and
by SIGPIPE if the reader ends first.

examples:
  ls *.png | trackerapi track --step convert --total 120 | xargs -n 1 convert.sh
  trackerapi track --step load --bytes < backup.tar | tar -x
  find . -name '*.dcm' -print0 | trackerapi track --step send --null | xargs -0 send.sh
"""


def add_commands(commands: Any) -> None:
    """Add `track`."""
    parser = add_command(commands, "track", _track, _HELP)
    parser.add_argument("--step", metavar="TAG", required=True, help="tag of the step")
    unit = parser.add_mutually_exclusive_group()
    unit.add_argument("--bytes", action="store_true", help="count bytes, not lines")
    unit.add_argument(
        "--null", action="store_true", help="count records that end with NUL, not lines"
    )
    parser.add_argument(
        "--total",
        metavar="N",
        type=number,
        help="total number of units; with --bytes, by default the size of a file on "
        "stdin",
    )
    parser.add_argument(
        "--no-start",
        action="store_true",
        help="do not report a start, because the step runs already",
    )
    parser.add_argument(
        "--no-end",
        action="store_true",
        help="leave the step open at the end of the data",
    )
    add_part(parser)
    add_job(parser)
    add_sending(parser)


class Counter:
    """Counter of the records of a stream that arrives in chunks.

    Args:
        end: Byte that ends a record; None counts bytes.
    """

    def __init__(self, end: bytes | None) -> None:
        self._end, self._is_within = end, False

    def count(self, chunk: bytes) -> int:
        """Return the number of records that end in the next chunk."""
        if self._end is None:
            return len(chunk)
        self._is_within = not chunk.endswith(self._end)
        return chunk.count(self._end)

    def rest(self) -> int:
        """Return 1 if the stream ends in an unfinished record, else 0."""
        return int(self._is_within)


class _Stop:
    """Signal handler that ends the copy as if the data had ended.

    The handler raises no exception, so that all copied data are counted.

    Attributes:
        number: Number of the received signal; 0 before the first signal.
    """

    def __init__(self) -> None:
        self.number = 0

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Record the signal and close the pipe."""
        self.number = number
        _close_pipe()


def _track(options: argparse.Namespace) -> int:
    for descriptor in (STDIN, STDOUT):
        # `fstat()` raises for a closed stream: otherwise an outbox file could receive
        # the descriptor, and the copied data.
        os.fstat(descriptor)
    status, stop = FINE, _Stop()
    with report_tracker(options, is_lasting=True) as tracker:
        job = job_of(tracker, options)
        step = job.step(options.step)
        with _handle_signals(stop):
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
            _close_pipe()
        began = time.monotonic()
    warn_of_unknown_step(tracker, job, options.step, began)
    if stop.number:
        _end_by_signal(stop.number)
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
    """Return the number of unread bytes if stdin is a file; None for a pipe."""
    status = os.fstat(STDIN)
    if not stat.S_ISREG(status.st_mode):
        return None
    return max(status.st_size - os.lseek(STDIN, 0, os.SEEK_CUR), 0)


def _copy(counter: Counter, advance: Callable[[int], object]) -> None:
    """Copy stdin to stdout; count each chunk after it was written.

    Raises:
        BrokenPipeError: If the reader of stdout has ended.
        OSError: If stdin cannot be read, or stdout cannot be written.
    """
    while chunk := _read():
        _write(chunk)
        if count := counter.count(chunk):
            advance(count)
    if rest := counter.rest():
        advance(rest)
    # A network file system may report a failed write only at close().
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


def _close_pipe() -> None:
    """Close both ends of the pipe, so that writer and reader can end.

    /dev/null replaces both descriptors: Python repeats a read or write that a signal
    interrupted, and the repeated call then ends at once.
    """
    with suppress(OSError):
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, STDIN)
        os.dup2(null, STDOUT)
        os.close(null)


@contextmanager
def _handle_signals(stop: _Stop) -> Generator[None]:
    """Handle SIGINT, SIGTERM and SIGHUP within a block (`with` statement)."""
    before = {each: signal.getsignal(each) for each in _ENDINGS}
    # An ignored signal stays ignored: under nohup, the process outlives its terminal.
    handled = [each for each in _ENDINGS if before[each] != signal.SIG_IGN]
    for each in handled:
        signal.signal(each, stop.handle)
    try:
        yield
    finally:
        for each in handled:
            signal.signal(each, before[each])


def _end_by_signal(number: int) -> NoReturn:
    """End this process by a signal, so that the shell sees the signal."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    raise SystemExit(128 + number)  # reached if the signal is blocked
