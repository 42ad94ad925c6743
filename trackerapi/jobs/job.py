"""The handle by which a script reports what one job does."""

import functools
import os
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, ParamSpec, TypeVar, Unpack

from trackerapi.arguments import LONGEST_MESSAGE, check_customer_text, check_text
from trackerapi.events.projection import ALIVE
from trackerapi.jobs.current import Place, entered, left, place_in, places_now
from trackerapi.jobs.endings import (
    JOB_FAILED,
    Ending,
    brief,
    diagnosis,
    ending_of,
    identity_of,
    listed,
)
from trackerapi.jobs.loops import Loop
from trackerapi.jobs.opening import KnownJob, find_job
from trackerapi.jobs.options import LoopOptions
from trackerapi.jobs.sending import JobEvents
from trackerapi.jobs.step import TrackerStep
from trackerapi.jobs.steps import JobSteps, is_ready
from trackerapi.models import check_subject
from trackerapi.problems import INTERNAL, unreported
from trackerapi.process.block import Block
from trackerapi.process.sigterm import SIGTERM_WATCH
from trackerapi.times import as_rfc3339

if TYPE_CHECKING:
    from trackerapi.jobs.reporter import Reporter
    from trackerapi.models import Job, JobEvent, ShareLink
    from trackerapi.wire.calls import Calls

Item = TypeVar("Item")
Given = ParamSpec("Given")
Result = TypeVar("Result")


class TrackerJob(JobEvents, Block):
    """Report what one job does.

    Made by `TrackerApi.create_job()`, `run_job()`, `attach()` and `job()`; safe to
    share between threads. As a block it begins the job and ends it: succeeded,
    cancelled by Ctrl-C, interrupted by SIGTERM, or failed with an exception, which
    goes on untouched. The block of an attached handle leaves the end to the place
    that created the job, unless it fails.

    Attributes:
        is_stopped: Whether SIGTERM has asked the process to end.

    Example:
        with tracker.run_job("import-42", customer_id=142, tag="import") as job:
            with job.step("download") as step:
                download(step)
    """

    def __init__(
        self, known: KnownJob, reporter: "Reporter", calls: "Callable[[], Calls]"
    ) -> None:
        super().__init__(known, reporter)
        self._calls = calls
        self._job_id = known.answer.id if known.answer else None
        self.is_stopped = self._has_heard_sigterm = False
        self._has_restarted = False
        self._made_in = os.getpid()
        self._steps: dict[str, TrackerStep] = {}
        self._ended_as: str | None = None
        self._failure: tuple[object, str] | None = None

    @property
    def steps(self) -> JobSteps:
        """The steps by tag, in the order of the configuration."""
        return JobSteps(self, self._steps)

    def step(
        self, name: str, *, total: float | None = None, on_failure: str | None = None
    ) -> TrackerStep:
        """Return the handle of a step, best used as a block.

        The same handle for the same step, so that what several threads count adds up.

        Args:
            name: Tag or unambiguous display name of the step.
            total: Units in all; None while nobody knows.
            on_failure: What the customer reads if the step fails; None for a neutral
                sentence.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If one is out of range.
            UnknownStepError: With `strict`, if the configuration has no such step.
        """
        tag = self.step_tag(name)
        step = self._steps.get(tag)
        if step is None:
            # One atomic step of `dict`, so that two threads get the same handle.
            step = self._steps.setdefault(tag, TrackerStep(self, tag))
        if total is not None:
            step.total = total
        if on_failure is not None:
            step.on_failure = check_text("on_failure", on_failure, LONGEST_MESSAGE)
        return step

    def track(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        step: str,
        **options: Unpack[LoopOptions],
    ) -> Loop[Item]:
        """Iterate over items as one step: it starts, counts them, and is done.

        Args:
            items: What to iterate over, also an async iterable.
            step: Tag or unambiguous display name of the step.
            **options: See `LoopOptions`.

        Raises:
            TypeError: If `items` cannot be iterated over, or an option is unknown.
        """
        return Loop(self.step(step), items, options, is_whole_step=True)

    def skip(self, step: str, *, reason: str | None = None) -> None:
        """Report that a step is not needed.

        Args:
            step: Tag or unambiguous display name of the step.
            reason: What the customer reads.
        """
        self.step(step).skip(reason)

    def complete(self, remarks: str | None = None) -> None:
        """Report that the job has succeeded; steps never reached are not run.

        Args:
            remarks: What the customer reads, such as what could not be done.
        """
        self._ended_as = "succeeded"
        self.send_event(kind="complete", message=remarks)

    def fail(
        self, customer: str | None = None, error: BaseException | str | None = None
    ) -> None:
        """Report that the job has failed.

        Args:
            customer: What the customer reads; None for a neutral sentence.
            error: What only the provider reads: an exception, with its traceback, or
                a text.
        """
        message = check_customer_text(customer, LONGEST_MESSAGE) or JOB_FAILED
        self._ended_as = "failed"
        self.send_event(kind="error", message=message, detail=diagnosis(error))

    def cancel(self, reason: str | None = None) -> None:
        """Report that the job was cancelled.

        Args:
            reason: What the customer reads.
        """
        self._ended_as = "cancelled"
        self.send_event(kind="cancel", message=reason)

    def interrupt(self, reason: str | None = None) -> None:
        """Report that the job was stopped from outside and is expected to go on.

        Its steps under way are to do again; what was done stays done. The next report
        of work, or the next `create_job()` with the same id, shows the job running.

        Args:
            reason: What the customer reads.
        """
        self._ended_as = "interrupted"
        self.send_event(kind="interrupt", message=reason)

    def note(self, text: str) -> None:
        """Add a line to the timeline that the customer reads."""
        self.send_event(kind="info", message=text)

    def detail(self, text: str | None = None, /, **values: object) -> None:
        """Add a line to the timeline that only the provider reads.

        Args:
            text: What to say; None for values alone.
            **values: Values to show below it, such as `host=` or `model=`.
        """
        self.send_event(kind="info", detail=listed(text, values))

    def bind(self, function: Callable[Given, Result]) -> Callable[Given, Result]:
        """Return a function that runs in this job and step, in whatever thread.

        A new thread belongs to no job. `pool.map(job.bind(load), items)` gives its
        threads the job, and the step whose block calls `bind()`.
        """
        places = places_now()
        if not places or places[-1][0] is not self:
            places = (*places, Place(self, None, os.getpid()))

        @functools.wraps(function)
        def bound(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            before = places_now()
            place_in(places)
            try:
                return function(*args, **kwargs)
            finally:
                place_in(before)

        return bound

    def fetch(self) -> "Job":
        """Ask the backend how far the job is.

        Raises:
            BackendError: If it does not answer usably, or does not know the job.
        """
        calls = self._calls()
        if self._job_id is not None:
            return calls.get_job(self._job_id)
        job = find_job(calls, self._provider_job_id)
        self._job_id = job.id
        return job

    def events(self) -> "Iterator[JobEvent]":
        """Iterate over the job's events in order of arrival, page by page.

        Raises:
            BackendError: If the backend does not answer usably.
        """
        return map(self._own, self._calls().list_events(self._id()))

    def share_link(self, *, expires_at: datetime | None = None) -> str:
        """Make a link to the customer's page of this job.

        Each call makes a new link; its address is shown this once.

        Args:
            expires_at: When the link ends; aware. None for the backend's default of
                30 days.

        Raises:
            ValueError: If `expires_at` has no offset.
            BackendError: If the backend does not answer usably.
        """
        if expires_at is not None:
            as_rfc3339(expires_at)
        return self._calls().create_share_link(self._id(), expires_at)[1]

    def share_links(self) -> "Iterator[ShareLink]":
        """Iterate over the links to this job, newest first, without addresses.

        Raises:
            BackendError: If the backend does not answer usably.
        """
        return self._calls().list_share_links(self._id())

    def revoke_share_link(self, share_link_id: int) -> "ShareLink":
        """End a link at once.

        Args:
            share_link_id: Its `ShareLink.id`.

        Raises:
            BackendError: If the backend does not answer usably or knows no such link.
        """
        return self._calls().revoke_share_link(share_link_id)

    def token(self, *, expires_at: datetime | None = None) -> str:
        """Make a credential for this job alone, for `TrackerApi.attach()` elsewhere.

        It reports to this job and asks about it, and can do nothing else. Treat it
        as a secret; `tracker.admin.expire_api_key()` ends it.

        Args:
            expires_at: When it ends; aware. None for the backend's default.

        Raises:
            ValueError: If `expires_at` has no offset.
            BackendError: If the backend does not answer usably.
        """
        from trackerapi.settings.job_token import JobToken

        if expires_at is not None:
            as_rfc3339(expires_at)
        made = self._calls().create_job_token(self._id(), expires_at)
        check_subject(made.provider_job_id, self._provider_job_id)
        tag = self._config.tag if self._config else None
        return JobToken(made.token, self.provider_job_id, tag).as_text()

    def begin_block(self) -> None:
        """Report that the block begins."""
        self._ended_as = None
        if self.part is None and not self._has_restarted:
            self.send_event(kind="start")
        self._has_restarted = False

    def restart(self) -> None:
        """Report that a job which had begun before runs again, ahead of its block."""
        self.send_event(kind="start")
        self._has_restarted = True

    def enter_block(self) -> None:
        """Put the running code into the block."""
        if not self._reporter.is_off:
            SIGTERM_WATCH.begin(self)
        entered(self)

    def leave_block(self) -> bool:
        """Put the running code back where it was; return whether to report the end."""
        SIGTERM_WATCH.end(self)
        return left(self)

    def end_block(self, error: BaseException | None) -> None:
        """Report that the block has ended, by what leaves it or None."""
        for step in list(self._steps.values()):
            # A loop that was left early: only here is it known how.
            self.quietly(error, functools.partial(step.end_with_job, error))
        self.quietly(error, lambda: self._end(error))

    def is_ready(self, tag: str) -> bool:
        """Tell whether a step may begin; see `TrackerStep.is_ready`."""
        return is_ready(self.recall(), self._config, tag, self.begun)

    def note_failure(self, error: BaseException | None, tag: str) -> None:
        """Remember that a step has told an exception that may end the job too."""
        self._failure = (identity_of(error), tag)

    def stop(self) -> None:
        """Note that SIGTERM has asked the process to end."""
        self.is_stopped = self._has_heard_sigterm = True

    def report_stop(self) -> None:
        """Report that SIGTERM ends the process, if this handle has begun the job.

        Reports nothing if the job has ended, or its stop is its last report.
        """
        kind = self._known.on_sigterm
        if kind is None or os.getpid() != self._made_in:
            return  # the place that has begun the job says how it ends
        # Progress that waits is older, and shows the job running.
        self._reporter.release(self._provider_job_id, None)
        if kind == "cancel" and self.progress.status not in ("succeeded", "cancelled"):
            self.cancel()
        elif kind == "interrupt" and self.progress.status in ALIVE:
            self.interrupt()

    def ending_of(self, error: BaseException | None) -> Ending:
        """Return how a block of this job, or of a step of it, has ended.

        Args:
            error: What left it; None for nothing.
        """
        return ending_of(
            error,
            is_stopped=self.is_stopped,
            has_heard_sigterm=self._has_heard_sigterm,
        )

    def deliver_last(self, spent_seconds: float = 0.0) -> None:
        """Deliver what waits before the process is gone, within `shutdown_timeout`.

        Args:
            spent_seconds: How much of that time is over.
        """
        self._reporter.deliver_last(spent_seconds)

    def quietly(
        self, error: BaseException | None, report: Callable[[], object]
    ) -> None:
        """Report the end of a block so that its exception goes on untouched.

        Args:
            error: What leaves the block; None for nothing.
            report: Reports; what it raises counts only if nothing leaves the block.
        """
        try:
            report()
        except Exception as problem:
            # With `strict`, also what does not fit in metadata.
            if error is None:
                raise
            self._reporter.problems.report(INTERNAL, unreported(problem))

    def _end(self, error: BaseException | None) -> None:
        ending = self.ending_of(error)
        said = self._ended_as if self._ended_as == self.progress.status else None
        if said is not None and (ending != "failed" or said == "failed"):
            return  # the author has said how it ended
        if ending == "failed":
            self._fail_by(error)
        elif ending == "interrupted":
            self.report_stop()
        elif self.part is not None:
            return  # the place that created the job says how it ended
        elif ending == "cancelled":
            self.cancel()
        elif self.progress.status != "succeeded":
            self.complete()

    def _fail_by(self, error: BaseException | None) -> None:
        """Report that an exception ended the job; its traceback only once."""
        failure, self._failure = self._failure, None
        if failure is not None and failure[0] == identity_of(error):
            self.fail(error=f"step {failure[1]!r} failed: {brief(error)}")
        else:
            self.fail(error=error)

    def _own(self, event: "JobEvent") -> "JobEvent":
        check_subject(event.provider_job_id, self._provider_job_id)
        return event

    def _id(self) -> int:
        return self.fetch().id if self._job_id is None else self._job_id
