"""Command `sync`: delivery of the outbox files of processes that have ended.

The command creates no outbox file. Files of running processes, of other addresses and
of other providers stay unchanged.
"""

import argparse
import dataclasses
import logging
import math
import signal
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from trackerapi.cli.options import add_command, add_delivery
from trackerapi.cli.outbox.dispatch import Dispatch
from trackerapi.cli.outbox.retry_loop import QUIET_SECONDS, RetryLoop
from trackerapi.cli.printing import (
    Progress,
    count_text,
    print_json,
    print_line,
    print_message,
    progress_of,
)
from trackerapi.cli.sync_report import SyncReport, group_of
from trackerapi.delivery.failing_records import PassFailures
from trackerapi.errors import AuthenticationError, BackendError, BackendUnavailable
from trackerapi.outbox.header import Header
from trackerapi.outbox.survey import LIVE, FileSummary, survey
from trackerapi.problems import log

if TYPE_CHECKING:
    from types import FrameType

    from trackerapi.outbox.file import OutboxFile

SEARCH_SECONDS: Final = 2.0
"""Time between two passes of `--watch`, in seconds."""

_PURGE_SECONDS: Final = 600.0
"""Minimum time between two deletions of old archived files, in seconds."""

_WARNING_SECONDS: Final = 60.0
"""Minimum time between two warnings of `--watch` about undeliverable files."""


_HELP = """\
Deliver the undelivered records of ended processes.

A job delivers its own records while it runs, and the leftover records of earlier jobs.
This command delivers leftover records without a job, for instance from cron.

exit status:
  0  all records that this key delivers are delivered
  1  records stay undelivered, or a file cannot be read; a line for each file gives
     the reason and the remedy
  2  wrong usage or settings
  3  all records are delivered or held: `trackerapi outbox list` shows held records
  130  interrupted; with --watch, an interrupt ends the command with a status above

examples:
  trackerapi sync
  trackerapi sync --timeout 60 --json
  trackerapi sync --watch --outbox /var/lib/jobs/outbox
"""


def add_commands(commands: Any) -> None:
    """Add `sync`."""
    parser = add_command(commands, "sync", _sync, _HELP)
    parser.add_argument(
        "--watch",
        action="store_true",
        help="also deliver records that appear later, until interrupted or --timeout",
    )
    add_delivery(parser)


def _sync(options: argparse.Namespace) -> int:
    retry_loop = RetryLoop(
        quiet_seconds=math.inf if options.watch else QUIET_SECONDS,
        total_seconds=options.timeout,
    )
    with Dispatch.of(options) as dispatch:
        sync = Sync(dispatch, retry_loop, options.outbox)
        if options.watch:
            with _handle_sigterm() as sigterm:
                sync.watch(sigterm)
                report = sync.report()
        else:
            sync.run()
            report = sync.report()
    if options.json:
        print_json(dataclasses.asdict(report))
    else:
        print_line(report.as_text())
        sync.warn(report.lines())
    return report.exit_status


class Sync:
    """Delivery of the leftover files of one folder, for use in one thread.

    Args:
        dispatch: Delivery from the folder.
        retry_loop: Retry loop with the time limit of the command.
        outbox: Value of `--outbox`; None for the default folder.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        retry_loop: RetryLoop,
        outbox: str | None = None,
    ) -> None:
        self._dispatch, self._retry_loop = dispatch, retry_loop
        self._folder, self._outbox = dispatch.folder, outbox
        self._last_error: str | None = None
        self._next_purge = self._next_warning = 0.0
        self._printed: set[str] = set()
        self._printed_failures: set[type[Exception]] = set()

    def run(self) -> None:
        """Deliver all files of this key; print the last error on stderr."""
        mine = [each for each in survey(self._folder) if self._may_deliver(each.header)]
        total = sum(each.undelivered for each in mine if each.state != LIVE)
        if not total and not any(self._is_ambiguous(each.header) for each in mine):
            return  # no request is needed
        error: Exception | None = None
        with progress_of("delivered", total, "record") as progress:
            while not self._retry_loop.is_over:
                error = self._attempt(progress)
                if error is None or isinstance(error, AuthenticationError):
                    break
                if not self._retry_loop.pause_after(error):
                    break
            # Print the error after the loop: the time limit may end the loop in a
            # pause.
            if error is not None:
                print_message(self._failure(error))

    def watch(self, sigterm: "Sigterm") -> None:
        """Deliver leftover files as they appear, until a signal or the time limit.

        Blocks until then. After SIGTERM, one more pass follows: a sidecar receives
        SIGTERM after the job's process has ended, and the pod's outbox may be deleted
        next.
        """
        try:
            while not self._retry_loop.is_over:
                error = self._attempt_and_print()
                with sigterm.interruptible_pause():
                    if error is None:
                        self._retry_loop.note_success()
                        time.sleep(
                            max(
                                min(SEARCH_SECONDS, self._retry_loop.remaining_seconds),
                                0,
                            )
                        )
                    elif not self._retry_loop.pause_after(error):
                        return
        except _Terminated:
            self._attempt_and_print()
        except KeyboardInterrupt:
            return

    def warn(self, lines: Iterable[str]) -> None:
        """Print each line on stderr, unless this method has printed it before."""
        for line in lines:
            if line not in self._printed:
                self._printed.add(line)
                log(logging.WARNING, line)

    def _attempt_and_print(self) -> Exception | None:
        """Make one pass of `--watch`, print its result, and return its error."""
        before = self._dispatch.counters.delivered
        error = self._attempt(Progress(lambda _: ""))
        # Each type of error is printed once, and again after a success.
        if error is None:
            self._printed_failures.clear()
        elif type(error) not in self._printed_failures:
            self._printed_failures.add(type(error))
            log(logging.WARNING, self._failure(error))
        if isinstance(error, AuthenticationError):
            self._dispatch.forget_provider()
        if count := self._dispatch.counters.delivered - before:
            print_message(f"delivered {count_text(count, 'event')}")
        if time.monotonic() >= self._next_warning:
            self._next_warning = time.monotonic() + _WARNING_SECONDS
            self.warn(self.report().lines_to_act_on())
        return error

    def _attempt(self, progress: Progress) -> Exception | None:
        """Make one pass; return its error, or None after a success."""
        try:
            self._make_pass(progress)
        except (BackendError, OSError) as error:
            self._last_error = str(error)
            return error
        self._last_error = None
        return None

    def report(self) -> SyncReport:
        """Return the present state of the outbox."""
        groups = [(each, self._group_of(each)) for each in survey(self._folder)]
        return SyncReport.new(
            groups,
            self._dispatch.counters,
            held=sum(each.held for each, _ in groups if self._may_deliver(each.header)),
            last_error=self._last_error,
            outbox=self._outbox,
        )

    def _make_pass(self, progress: Progress) -> None:
        """Deliver all leftover files, oldest file first.

        Raises:
            BackendError: If the backend is not reached or refuses the key.
            OSError: If the journal of held records cannot be written.
        """
        if not any(map(self._may_deliver, self._folder.headers())):
            return
        self._dispatch.confirm_provider()
        failing = PassFailures()
        failed: OSError | None = None
        for file in self._folder.claim(self._dispatch.binding, set()):
            try:
                self._dispatch.name_provider(file)
                self._deliver(file, progress)
            except BackendUnavailable as unavailable:
                failing.note(unavailable)
            except OSError as unwritable:
                failed = unwritable  # raised after the delivery of the other files
            finally:
                self._folder.release(file)
        if (error := failing.error or failed) is not None:
            raise error
        if time.monotonic() >= self._next_purge:
            self._next_purge = time.monotonic() + _PURGE_SECONDS
            self._folder.purge()

    def _deliver(self, file: "OutboxFile", progress: Progress) -> None:
        """Deliver one claimed file, batch by batch, and then its deferred records."""
        settled = file.settled
        while not self._retry_loop.is_over and self._dispatch.delivery.deliver_next(
            file
        ):
            progress.add(file.settled - settled)
            settled = file.settled
            self._retry_loop.note_success()
        file.held.refresh()
        if file.held.deferred_jobs():
            self._dispatch.delivery.retry_deferred(file)

    def _may_deliver(self, header: Header | None) -> bool:
        """Return whether this key may deliver a file.

        True also if the backend has to be asked first.
        """
        if header is None or not header.is_readable:
            return False
        return self._dispatch.admits(header.binding) or self._is_ambiguous(header)

    def _is_ambiguous(self, header: Header | None) -> bool:
        """Return whether the backend has to be asked if this key may deliver a file.

        A file of another key is ambiguous until the backend has named the provider of
        this key: both keys may belong to the same provider.
        """
        mine = self._dispatch.binding
        if header is None or mine.provider_id is not None:
            return False
        other = header.binding
        has_owner = other.key_id is not None or self._folder.is_confirmed(other)
        is_there = other.base_url == mine.base_url
        return is_there and has_owner and not self._dispatch.admits(other)

    def _failure(self, error: Exception) -> str:
        if isinstance(error, BackendError):
            return self._dispatch.failure_text(error)
        return f"rejected records cannot be held: {error}"

    def _group_of(self, file: FileSummary) -> str:
        return group_of(file, self._folder, is_ours=self._may_deliver(file.header))


class _Terminated(KeyboardInterrupt):
    """Interrupt of a pause of `sync --watch` by SIGTERM; one more pass follows."""


class Sigterm:
    """Handler of SIGTERM for `sync --watch`.

    The handler records a signal at once, but raises `_Terminated` only in a pause: an
    exception during a pass would leave a file claimed and locked.
    """

    def __init__(self) -> None:
        self._was_received = self._is_pausing = False

    def handle(self, number: int, frame: "FrameType | None") -> None:  # noqa: ARG002
        """Record the signal, and end a pause; installed by `signal.signal()`."""
        self._was_received = True
        if self._is_pausing:
            raise _Terminated

    @contextmanager
    def interruptible_pause(self) -> Generator[None]:
        """Raise `_Terminated` in the block (`with` statement) after SIGTERM.

        The block is a pause of `sync --watch`. A SIGTERM that arrived before the block
        raises at the start of the block.
        """
        # Set the flag before the test: `handle()` raises for a signal between the two.
        self._is_pausing = True
        try:
            if self._was_received:
                raise _Terminated
            yield
        finally:
            self._is_pausing = False


@contextmanager
def _handle_sigterm() -> Generator[Sigterm]:
    sigterm = Sigterm()
    before = signal.signal(signal.SIGTERM, sigterm.handle)
    try:
        yield sigterm
    finally:
        signal.signal(signal.SIGTERM, before)
