"""Internal half of a job handle: begin and end of its block, its steps, and SIGTERM.

`TrackerJob` is the public half. Blocks, loops, integrations and commands use `JobWork`,
so that `TrackerJob` has only the members for scripts.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from trackerapi.arguments import MAX_MESSAGE_LENGTH, check_customer_text
from trackerapi.events.projection import ALIVE
from trackerapi.jobs.current import leave
from trackerapi.jobs.endings import (
    JOB_FAILED,
    Ending,
    brief,
    diagnosis,
    ending_of,
    identity_of,
)
from trackerapi.jobs.sending import EventSender
from trackerapi.jobs.step_work import StepWork
from trackerapi.problems import INTERNAL, unreported

if TYPE_CHECKING:
    from trackerapi.jobs.reporter import Reporter
    from trackerapi.jobs.state import KnownJob


class JobWork:
    """Reports the begin and the end of a job; safe to share between threads.

    Args:
        known: Facts about the job at the time when the handle is made.
        reporter: Writes the events to the outbox.

    Attributes:
        events: Sends the events of the job.
        steps: Internal halves of the step handles of this process, by tag.
        is_stopped: Whether SIGTERM has asked the process to end.
    """

    def __init__(self, known: "KnownJob", reporter: "Reporter") -> None:
        self.events = EventSender(known, reporter)
        self.steps: dict[str, StepWork] = {}
        self.is_stopped = self._has_received_sigterm = False
        self._has_restarted = False
        # A forked child inherits the handle, but the parent reports the stop.
        self._created_in = os.getpid()
        self._failure: tuple[object, str] | None = None

    def step(self, tag: str) -> StepWork:
        """Return the internal half of a step; one object for each tag."""
        step = self.steps.get(tag)
        if step is None:
            # `setdefault()` is atomic: two threads get the same object.
            step = self.steps.setdefault(tag, StepWork(self, tag))
        return step

    def complete(self, remarks: str | None = None) -> None:
        """Report that the job has succeeded; see `TrackerJob.complete()`."""
        self.events.send("complete", details={"message": remarks})

    def fail(
        self, customer: str | None = None, error: BaseException | str | None = None
    ) -> None:
        """Report that the job has failed; see `TrackerJob.fail()`."""
        message = check_customer_text(customer, MAX_MESSAGE_LENGTH) or JOB_FAILED
        details = {"message": message, "detail": diagnosis(error)}
        self.events.send("error", details=details)

    def cancel(self, reason: str | None = None) -> None:
        """Report that the job was cancelled; see `TrackerJob.cancel()`."""
        self.events.send("cancel", details={"message": reason})

    def interrupt(self, reason: str | None = None) -> None:
        """Report that the job was interrupted; see `TrackerJob.interrupt()`."""
        self.events.send("interrupt", details={"message": reason})

    def post(self, work: Callable[[], object]) -> None:
        """Queue `work` for the worker thread, which keeps the order of the calls."""
        self.events.reporter.post(work)

    def begin(self) -> None:
        """Report that the job begins.

        Reports nothing for an attached handle, or for the first block after
        `restart()`.
        """
        self.events.state.ended_as = None
        if self.events.part is None and not self._has_restarted:
            self.events.send("start")
        self._has_restarted = False

    def restart(self) -> None:
        """Report that a job which began in an earlier process runs again.

        `begin()` of the next block then sends no second `start` event.
        """
        self.events.send("start")
        self._has_restarted = True

    def end(self, error: BaseException | None) -> None:
        """Report that the block of the job has ended.

        Args:
            error: Exception that left the block; None without an exception.
        """
        for step in list(self.steps.values()):
            leave(step)
            # End the loops that were left early: only the exception of the job's block
            # shows whether such a loop failed.
            self.report_quietly(error, partial(step.end_with_job, error))
        self.report_quietly(error, partial(self._end, error))

    def ending_of(self, error: BaseException | None) -> Ending:
        """Return the ending of a block of the job or of one of its steps.

        Args:
            error: Exception that left the block; None without an exception.
        """
        return ending_of(
            error,
            is_stopped=self.is_stopped,
            has_received_sigterm=self._has_received_sigterm,
        )

    def remember_failure(self, error: BaseException | None, tag: str) -> None:
        """Remember the exception that failed a step.

        If the same exception then ends the job, the report of the job omits the
        traceback.
        """
        self._failure = (identity_of(error), tag)

    def report_quietly(
        self, error: BaseException | None, report: Callable[[], object]
    ) -> None:
        """Report the end of a block without replacing the exception of the block.

        Args:
            error: Exception that left the block; None without an exception.
            report: Function that reports the end. If `error` is None, an exception of
                this function is raised, and otherwise logged.
        """
        try:
            report()
        except Exception as problem:
            # With `strict`, `report()` may raise OutboxError, or ValueError about
            # metadata.
            if error is None:
                raise
            self.events.reporter.problems.report(INTERNAL, unreported(problem))

    def stop(self) -> None:
        """Record that SIGTERM has asked the process to end."""
        self.is_stopped = self._has_received_sigterm = True

    def report_stop(self) -> None:
        """Report that SIGTERM ends the process, if this process created the job.

        Reports nothing for a job that has succeeded, or whose stop was reported before.
        An interrupt is not reported for a failed or cancelled job either.
        """
        kind = self.events.known.on_sigterm
        if kind is None or os.getpid() != self._created_in:
            return  # The process that created the job reports its end.
        # Write pending progress before the stop: a later progress event would show the
        # job running again.
        self.events.reporter.write_pending(self.events.provider_job_id, None)
        status = self.events.progress.status
        if kind == "cancel" and status not in ("succeeded", "cancelled"):
            self.cancel()
        elif kind == "interrupt" and status in ALIVE:
            self.interrupt()

    def deliver_last(self, spent_seconds: float = 0.0) -> None:
        """Deliver undelivered records at the end of the process.

        Blocks for at most `shutdown_timeout`.

        Args:
            spent_seconds: Part of `shutdown_timeout` that has passed, in seconds.
        """
        self.events.reporter.deliver_last(spent_seconds)

    def _end(self, error: BaseException | None) -> None:
        ending, status = self.ending_of(error), self.events.progress.status
        ended_as = self.events.state.ended_as
        reported = ended_as if ended_as == status else None
        if reported is not None and (ending != "failed" or reported == "failed"):
            return  # The script has reported the end.
        if ending == "failed":
            self._fail_by(error)
        elif ending == "interrupted":
            self.report_stop()
        elif self.events.part is not None:
            return  # The process that created the job reports its end.
        elif ending == "cancelled":
            self.cancel()
        elif status != "succeeded":
            self.complete()

    def _fail_by(self, error: BaseException | None) -> None:
        """Report that an exception failed the job.

        If a step has reported the same exception, the report names the step and omits
        the traceback.
        """
        failure, self._failure = self._failure, None
        if failure is not None and failure[0] == identity_of(error):
            self.fail(error=f"step {failure[1]!r} failed: {brief(error)}")
        else:
            self.fail(error=error)
