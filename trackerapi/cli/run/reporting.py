"""Reports about the command, recorded by a separate thread.

The main thread only watches the child and its signals: a slow disk, a wrong setting or
a slow backend cannot delay the command.
"""

import functools
import logging
import queue
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from trackerapi.cli.run.outcome import STEP_STOPPED, Outcome, command_text
from trackerapi.cli.run.programs import print_message
from trackerapi.cli.run.signals import Signals, wake
from trackerapi.errors import TrackerError
from trackerapi.settings.settings import (
    DEFAULT_SHUTDOWN_TIMEOUT_SECONDS,
    SIGTERM_KINDS,
    Settings,
)

if TYPE_CHECKING:
    from trackerapi.cli.run.arguments import RunArguments
    from trackerapi.cli.run.progress_pattern import Measure
    from trackerapi.jobs.job import TrackerJob
    from trackerapi.jobs.sending import Details
    from trackerapi.jobs.step_work import StepWork
    from trackerapi.tracker import TrackerApi

_FIRST_SECONDS: Final = 10.0
"""Minimum time to load the library and record the reports, in seconds from start."""

_LAST_SECONDS: Final = 0.3
"""Time for the exit of the thread after the time limit of delivery, in seconds."""

_LOG: Final = logging.getLogger("trackerapi")


class Reporting:
    """Reports about one command; methods never raise, and only `finish()` blocks.

    Args:
        arguments: Arguments of `trackerapi run`.
        job: Token or id of the job.
    """

    def __init__(self, arguments: "RunArguments", job: str) -> None:
        self._arguments, self._job_text = arguments, job
        self._name = command_text(
            arguments.command, shows_arguments=arguments.shows_arguments
        )
        self._reports: queue.SimpleQueue[Callable[[TrackerJob], object] | None]
        self._reports = queue.SimpleQueue()
        self._newest: Measure | None = None
        self._is_offered = self._is_over = False
        self._warnings = _Warnings()
        self._began = time.monotonic()
        self._delivery_seconds = DEFAULT_SHUTDOWN_TIMEOUT_SECONDS
        self._on_sigterm = SIGTERM_KINDS[0]
        try:
            threading.Thread(
                target=self._run, name="trackerapi-run", daemon=True
            ).start()
        except RuntimeError:  # the limit of threads is reached
            self._is_over = True

    def begin(self, at: float) -> None:
        """Report that the command begins.

        Args:
            at: Start time of the command, in seconds since 1970.
        """
        moment = datetime.fromtimestamp(at, UTC)
        self._reports.put(
            lambda job: job.send_event(
                kind="start", name=self._arguments.step, occurred_at=moment
            )
        )

    def count(self, measure: "Measure") -> None:
        """Report progress within a second; only the newest progress is sent."""
        self._newest = measure
        if not self._is_offered:
            self._is_offered = True
            self._reports.put(self._offer)

    def retry(self, outcome: Outcome) -> None:
        """Report that an attempt failed and another one follows."""
        text = outcome.as_text(self._name)
        step, count = self._arguments.step, self._arguments.attempts
        if step is None:
            self._reports.put(lambda job: job.detail(text))
        else:
            self._reports.put(
                lambda job: _work_of(job, step).attempt_failed(count, None, text)
            )

    def end(self, outcome: Outcome) -> None:
        """Report the end of the command, by the last outcome."""
        text = outcome.as_text(self._name)
        step, kind = self._arguments.step, outcome.kind
        if step is None and kind == "stopped":
            self._reports.put(lambda job: self._report_stop(job, outcome, text))
        elif step is None:
            self._reports.put(lambda job: job.detail(text))
        elif kind == "done":
            self._reports.put(lambda job: job.step(step).done())
        elif kind == "failed":
            self._reports.put(lambda job: job.step(step).fail(error=text))
        else:
            self._reports.put(
                lambda job: job.send_event(
                    kind="info", name=step, message=STEP_STOPPED, detail=text
                )
            )

    def finish(self, signals: Signals) -> bool:
        """Wait for the delivery of the reports, in bounded time; print kept warnings.

        Returns:
            Whether the thread has ended; a running thread would delay the exit.
        """
        self._reports.put(None)
        seconds = max(
            self._delivery_seconds + _LAST_SECONDS,
            self._began + _FIRST_SECONDS - time.monotonic(),
        )
        signals.wait_until(lambda: self._is_over, seconds)
        self._warnings.print_first()
        return self._is_over

    def _run(self) -> None:
        try:
            with self._warnings:
                self._report_all()
        except Exception as error:  # noqa: BLE001 - no error may reach the command
            self._warnings.add(logging.ERROR, f"nothing more is reported: {error!r}")
        finally:
            self._is_over = True
            wake()

    def _report_all(self) -> None:
        """Record each queued report, then deliver all reports.

        A job that cannot be opened causes a warning, and no report is recorded.
        """
        tracker: TrackerApi | None = None
        job: TrackerJob | None = None
        try:
            tracker, job = self._open_job()
        except (TrackerError, ValueError) as error:
            self._warnings.add(logging.WARNING, f"nothing is reported: {error}")
        while (report := self._reports.get()) is not None:
            if job is not None:
                self._do(report, job)
        if tracker is not None:
            deadline = time.monotonic() + self._delivery_seconds
            tracker.close()
            self._check_step(tracker, job, deadline)

    def _check_step(
        self, tracker: "TrackerApi", job: "TrackerJob | None", deadline: float
    ) -> None:
        from trackerapi.cli.step_check import unknown_step

        if job is not None:
            step, job_id = self._arguments.step, job.provider_job_id
            warning = unknown_step(tracker, job_id, step, deadline)
            if warning is not None:
                self._warnings.add(logging.WARNING, warning)

    def _open_job(self) -> "tuple[TrackerApi, TrackerJob]":
        from trackerapi.cli.options import IS_STRICT
        from trackerapi.settings.job_token import JobToken
        from trackerapi.tracker import TrackerApi

        # A token of --job contains the key. Without a key, the library itself looks for
        # a token in the environment.
        token = JobToken.parse(self._arguments.job or "")
        api_key = token.api_key if token else None
        settings = Settings.resolve({"api_key": api_key, "strict": IS_STRICT})
        self._delivery_seconds = settings.shutdown_timeout_seconds
        self._on_sigterm = settings.on_sigterm
        tracker = TrackerApi(api_key, strict=IS_STRICT)
        return tracker, tracker.attach(self._job_text)

    def _do(self, report: "Callable[[TrackerJob], object]", job: "TrackerJob") -> None:
        try:
            report(job)
        except (TrackerError, ValueError) as error:
            self._warnings.add(logging.WARNING, f"not reported: {error}")

    def _report_stop(self, job: "TrackerJob", outcome: Outcome, text: str) -> None:
        """Report that a signal stopped the command, which is the work of the job."""
        is_terminated = outcome.stop_signal == signal.SIGTERM
        kind = self._on_sigterm if is_terminated else "cancel"
        job.send_event(kind=kind, detail=text)

    def _offer(self, job: "TrackerJob") -> None:
        assert self._arguments.step is not None  # noqa: S101 - for the type checker
        step = _work_of(job, self._arguments.step)
        # Pass a new object each time: conflation recognises a newer offer by identity.
        newest = functools.partial(self._newest_details)
        step.job.events.offer_progress(step.tag, newest)

    def _newest_details(self) -> "Details":
        # Reset the flag before the read: progress that arrives after the read must be
        # offered again.
        self._is_offered = False
        measure = self._newest
        details: dict[str, object] = {}
        if measure is None:
            return details
        if measure.fraction is not None:
            details["fraction"] = measure.fraction
        if measure.completed is not None:
            details["completed"] = measure.completed
        if measure.total is not None:
            details["total"] = measure.total
        return details


def _work_of(job: "TrackerJob", step: str) -> "StepWork":
    # Imported in the reporting thread: the import must not delay the command.
    from trackerapi.jobs.step import step_block

    return step_block(job.step(step)).work


class _Warnings(logging.Handler):
    """Log handler that keeps the warnings of the library until the command has ended.

    `print_first()` prints the first warning, and later warnings of a higher level.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._kept: list[tuple[int, str]] = []

    def __enter__(self) -> None:
        # `__exit__()` keeps this change: the process ends with the command.
        _LOG.handlers, _LOG.propagate = [self], False

    def __exit__(self, *exception: object) -> None:
        """Keep the handler: threads of the delivery can still log warnings."""

    def emit(self, record: logging.LogRecord) -> None:
        self.add(record.levelno, record.getMessage())

    def add(self, level: int, text: str) -> None:
        """Keep a warning with its level, a level of `logging`."""
        self._kept.append((level, text))

    def print_first(self) -> None:
        """Print the first warning, and each later one of a higher level."""
        highest = 0
        for level, text in list(self._kept):
            if level > highest:
                highest = level
                print_message(text)
