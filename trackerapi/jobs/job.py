"""Public handle of one job.

Long: each public call documents its parameters.
"""

import functools
from collections.abc import (
    AsyncIterable,
    Callable,
    Container,
    Iterable,
    Iterator,
    Mapping,
)
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NoReturn, ParamSpec, Self, TypeVar

from trackerapi.arguments import check_flag
from trackerapi.config.nearest import nearest_tag
from trackerapi.errors import UnknownStepError
from trackerapi.jobs.blocks import JobBlock, StepLoop
from trackerapi.jobs.current import current_blocks, set_current_blocks
from trackerapi.jobs.endings import join_values
from trackerapi.jobs.job_work import JobWork
from trackerapi.jobs.loops import Loop
from trackerapi.jobs.opening import find_job
from trackerapi.jobs.step import TrackerStep, step_block
from trackerapi.models import check_subject
from trackerapi.times import as_rfc3339

if TYPE_CHECKING:
    from trackerapi.config.job_config import JobConfig
    from trackerapi.jobs.reporter import Reporter
    from trackerapi.jobs.state import KnownJob
    from trackerapi.models import Job, JobEvent, ShareLink
    from trackerapi.wire.calls import Calls

_MAX_SHOWN_STEPS: Final = 20

Item = TypeVar("Item")
Given = ParamSpec("Given")
Result = TypeVar("Result")


class TrackerJob:
    """Report one job.

    Made by `TrackerApi.create_job()`, `run_job()`, `attach()` and `job()`. As a block,
    the handle reports the begin and the end of the job. The job ends as succeeded,
    cancelled by Ctrl-C, interrupted by SIGTERM, or failed by an exception, which
    propagates unchanged. The block of an attached handle reports the end only if the
    job fails: the process that created the job reports all other ends.

    Each report returns once its event is in the outbox, and never waits for a network.
    `fetch()`, `events()`, `token()` and the calls about share links are requests: each
    waits for an answer like the read calls of `TrackerApi`.

    Safe to share between threads; a forked child may use the handle too. A handle
    cannot be pickled.

    Example:
        with tracker.run_job("import-42", customer_id=142, tag="import") as job:
            with job.step("download") as step:
                download(step)
    """

    def __init__(
        self, known: "KnownJob", reporter: "Reporter", calls: "Callable[[], Calls]"
    ) -> None:
        self._work = JobWork(known, reporter)
        self._events = self._work.events
        self._steps: dict[str, TrackerStep] = {}
        self._calls = calls
        self._job_id = known.answer.id if known.answer else None

    def __repr__(self) -> str:
        return f"TrackerJob(provider_job_id={self.provider_job_id!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a job handle belongs to its process; in the other one, make a TrackerApi "
            f"and call tracker.job({self.provider_job_id!r})"
        )

    def __enter__(self) -> Self:
        JobBlock(self, self._work).__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        JobBlock(self, self._work).__exit__(kind, error, traceback)

    @property
    def provider_job_id(self) -> str:
        """The provider's id of the job."""
        return self._events.provider_job_id

    @property
    def config(self) -> "JobConfig | None":
        """Configuration of the job; None if this process has not loaded it."""
        return self._events.config

    @property
    def is_stopped(self) -> bool:
        """Whether SIGTERM has asked the process to end."""
        return self._work.is_stopped

    @property
    def steps(self) -> "JobSteps":
        """Steps by tag or display name, in the order of the configuration."""
        return JobSteps(self, self._steps, self._events.progress.shown_status)

    def step(
        self, name: str, *, total: float | None = None, on_failure: str | None = None
    ) -> TrackerStep:
        """Return the handle of a step, best used as a block; returns immediately.

        All calls for one step return the same handle, so that the counts of several
        threads add up.

        Args:
            name: Tag or unambiguous display name of the step.
            total: Total number of units, 0 to 2**53 - 1; None while unknown.
            on_failure: Text for the customer if the step fails; None for a neutral
                sentence. Cut after 2,000 characters.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If an argument is out of range.
            UnknownStepError: With `strict`, if the configuration has no such step.

        Example:
            with job.step("load", total=len(files)) as step:
                for file in files:
                    load(file)
                    step.advance()
        """
        tag = self._events.step_tag(name)
        step = self._steps.get(tag)
        if step is None:
            # `setdefault()` is atomic: two threads get the same handle.
            made = TrackerStep(self, self._work.step(tag))
            step = self._steps.setdefault(tag, made)
        if total is not None:
            step.total = total
        if on_failure is not None:
            step.on_failure = on_failure
        return step

    def track(
        self,
        items: Iterable[Item] | AsyncIterable[Item],
        *,
        step: str,
        total: float | None = None,
        weight: Callable[[Any], float] | None = None,
        key: Callable[[Any], object] | None = None,
        resume: Container[object] = (),
    ) -> Loop[Item]:
        """Iterate over items as one step: starts the step, counts items, ends the step.

        Args:
            items: Iterable or async iterable of the items.
            step: Tag or unambiguous display name of the step.
            total: Total number of units, 0 to 2**53 - 1. None uses `len(items)`, or the
                sum of the weights of a collection. The total of an iterator is unknown.
            weight: Function that returns the units of an item, such as its size in
                bytes; None counts each item as 1.
            key: Function that returns the key of an item in `resume`; None uses the
                item itself.
            resume: Keys of items that an earlier run has done. The loop counts these
                items as done and does not yield them.

        Raises:
            TypeError: If `items` cannot be iterated over, or another argument is of
                the wrong type.
            UnknownStepError: With `strict`, if the configuration has no such step.

        Example:
            for file in job.track(files, step="load"):
                load(file)
        """
        loop = StepLoop(step_block(self.step(step)), is_whole_step=True)
        return Loop(loop, items, total=total, weight=weight, key=key, resume=resume)

    def send_event(
        self,
        kind: str,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        tag: str | None = None,
        message: str | None = None,
        detail: str | None = None,
        completed: float | None = None,
        total: float | None = None,
        fraction: float | None = None,
        retrying: bool = False,
        occurred_at: datetime | None = None,
        part: str | None = None,
        failed: float | None = None,
        max_attempts: int | None = None,
    ) -> str:
        """Report one event; returns once the event is in the outbox.

        Waits for the disk, never for a network.

        Args:
            kind: start, progress, step (done), skip, error, complete, cancel,
                interrupt, info or heartbeat; any other word is shown like info.
            name: Tag or unambiguous display name of the step; None for the job.
            metadata: Values for the timeline. Values that JSON cannot represent are
                converted. Values beyond 50 keys, 8 KiB or five levels are cut. The
                event names the changed keys.
            tag: Alias of `name`; pass only one of the two.
            message: Text for the customer; cut after 2,000 characters.
            detail: Text only for the provider, such as a traceback; cut after 16,000
                characters.
            completed: Number of finished units of the step, 0 to 2**53 - 1; with
                `kind="progress"`.
            total: Total number of units of the step, 0 to 2**53 - 1.
            fraction: Finished share of the step, 0.0 to 1.0, instead of units.
            retrying: Whether another attempt at the step follows; with `kind="error"`.
            occurred_at: Time of the event; aware. None uses the current time. If the
                job's latest event has a later time, None uses the time of the latest
                event.
            part: Name of the worker or host that counts, if several workers or hosts
                count one step; 1 to 100 characters.
            failed: Number of the completed units that failed, 0 to 2**53 - 1; with
                `kind="progress"`.
            max_attempts: Maximum number of attempts at the step, with the failed ones;
                with `retrying`.

        Returns:
            The id of the event, by which the backend detects duplicates; empty if
            tracking is off.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If an argument is out of range, or, with `strict`, if metadata
                does not fit.
            UnknownStepError: With `strict`, if the configuration has no such step, or
                the kind looks misspelt.
            OutboxError: With `strict`, if the outbox cannot be written.

        Example:
            job.send_event(kind="step", name="download", metadata={"Files": 3})
            job.send_event("progress", "convert", completed=40, total=120)
        """
        if (
            message is None
            and detail is None
            and completed is None
            and total is None
            and fraction is None
            and retrying is False
            and occurred_at is None
            and part is None
            and failed is None
            and max_attempts is None
        ):
            return self._events.send(kind, name, metadata, tag)
        details = {
            "message": message,
            "detail": detail,
            "completed": completed,
            "total": total,
            "fraction": fraction,
            "retrying": check_flag("retrying", retrying),
            "occurred_at": occurred_at,
            "part": part,
            "failed": failed,
            "max_attempts": max_attempts,
        }
        return self._events.send(kind, name, metadata, tag, details)

    def skip(self, step: str, *, reason: str | None = None) -> None:
        """Report that a step is not needed.

        Args:
            step: Tag or unambiguous display name of the step.
            reason: Text for the customer.
        """
        self.step(step).skip(reason)

    def complete(self, remarks: str | None = None) -> None:
        """Report that the job has succeeded; steps that never began read `not_run`.

        Args:
            remarks: Text for the customer, such as the number of omitted files.
        """
        self._work.complete(remarks)

    def fail(
        self, customer: str | None = None, error: BaseException | str | None = None
    ) -> None:
        """Report that the job has failed.

        Args:
            customer: Text for the customer; None for a neutral sentence.
            error: Exception, reported with its traceback, or text. Only the provider
                reads it.
        """
        self._work.fail(customer, error)

    def cancel(self, reason: str | None = None) -> None:
        """Report that the job was cancelled.

        Args:
            reason: Text for the customer.
        """
        self._work.cancel(reason)

    def interrupt(self, reason: str | None = None) -> None:
        """Report that the job was stopped from outside and is expected to continue.

        Running steps must begin again; finished steps stay done. The next report of
        work, or the next `create_job()` with the same id, sets the job to running.

        Args:
            reason: Text for the customer.
        """
        self._work.interrupt(reason)

    def note(self, text: str) -> None:
        """Add a line to the timeline that the customer reads.

        Args:
            text: The line; cut after 2,000 characters.
        """
        self._events.send("info", details={"message": text})

    def detail(self, text: str | None = None, /, **values: object) -> None:
        """Add a line to the timeline that only the provider reads.

        Args:
            text: Text of the line; None if the line has only values. Cut after
                16,000 characters.
            **values: Values to show below the line, such as `host=` or `model=`.
        """
        self._events.send("info", details={"detail": join_values(text, values)})

    def bind(self, function: Callable[Given, Result]) -> Callable[Given, Result]:
        """Return a function that calls `function` in this job and the current step.

        A new thread has no current job. In `pool.map(job.bind(load), items)`, each
        thread of the pool calls `load()` in this job, and in the current step of the
        code that called `bind()`.

        Args:
            function: Function to call in other threads.

        Example:
            with job.step("load"), ThreadPoolExecutor() as pool:
                list(pool.map(job.bind(load), files))
        """
        blocks = current_blocks()
        if not blocks or blocks[-1].job is not self:
            blocks = (*blocks, JobBlock(self, self._work).current)

        @functools.wraps(function)
        def bound(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            before = current_blocks()
            set_current_blocks(blocks)
            try:
                return function(*args, **kwargs)
            finally:
                set_current_blocks(before)

        return bound

    def is_ready(self, tag: str) -> bool:
        """Return whether a step may begin; see `TrackerStep.is_ready`.

        Args:
            tag: Tag or unambiguous display name of the step.

        Raises:
            TypeError: If `tag` is not text.
            UnknownStepError: With `strict`, if the configuration has no such step.
        """
        return self._events.is_ready(self._events.step_tag(tag))

    def recall(self) -> None:
        """Read the undelivered reports of earlier processes about this job.

        The first use of `is_ready()`, or of a step's `status` or `is_ready`, calls
        `recall()` itself. Reading a large outbox may take seconds.
        """
        self._events.recall()

    def fetch(self) -> "Job":
        """Ask the backend for the job and its progress.

        Raises:
            BackendError: If the backend gives no usable answer, or has no such job.
        """
        calls = self._calls()
        if self._job_id is not None:
            return calls.get_job(self._job_id)
        job = find_job(calls, self.provider_job_id)
        self._job_id = job.id
        return job

    def events(self) -> "Iterator[JobEvent]":
        """Iterate over the job's events in order of arrival; one request per page.

        Raises:
            BackendError: If the backend gives no usable answer.
        """
        return map(self._own_event, self._calls().list_events(self._id()))

    def share_link(
        self,
        *,
        expires_at: datetime | None = None,
        label: str | None = None,
        language: str | None = None,
    ) -> str:
        """Make a link to the customer's page of this job; return the address.

        Each call makes a new link. No later call returns the address.

        Args:
            expires_at: Time when the link expires; aware, at most 366 days ahead.
                None for the backend's default of 30 days.
            label: Purpose of the link for `share_links()`, which the page does not
                show; 1 to 100 characters.
            language: Language of the page until its reader chooses another: `en` or
                `de`. None for the language of the browser.

        Raises:
            ValueError: If `expires_at` has no offset, or `language` is unknown.
            BackendError: If the backend gives no usable answer.
        """
        if expires_at is not None:
            as_rfc3339(expires_at)
        _link, address = self._calls().create_share_link(
            self._id(), expires_at, label=label, language=language
        )
        return address

    def share_links(self) -> "Iterator[ShareLink]":
        """Iterate over the links to this job, newest first, without addresses.

        Raises:
            BackendError: If the backend gives no usable answer.
        """
        return self._calls().list_share_links(self._id())

    def revoke_share_link(self, share_link_id: int) -> "ShareLink":
        """Revoke a link: its address stops working immediately.

        Args:
            share_link_id: `ShareLink.id` of the link.

        Raises:
            BackendError: If the backend gives no usable answer, or has no such link.
        """
        return self._calls().revoke_share_link(share_link_id)

    def token(self, *, expires_at: datetime | None = None) -> str:
        """Make a credential for only this job, for `attach()` in another process.

        The token permits reports to this job and read calls about it, and nothing else.
        Treat the token as a secret; `tracker.admin.expire_api_key()` revokes it.

        Args:
            expires_at: Time when the token expires; aware, at most 366 days ahead.
                None for the backend's default of 30 days.

        Raises:
            ValueError: If `expires_at` has no offset.
            BackendError: If the backend gives no usable answer.
        """
        from trackerapi.settings.job_token import JobToken

        if expires_at is not None:
            as_rfc3339(expires_at)
        made = self._calls().create_job_token(self._id(), expires_at)
        check_subject(made.provider_job_id, self.provider_job_id)
        tag = self.config.tag if self.config else None
        return JobToken(made.token, self.provider_job_id, tag).as_text()

    def _own_event(self, event: "JobEvent") -> "JobEvent":
        check_subject(event.provider_job_id, self.provider_job_id)
        return event

    def _id(self) -> int:
        return self.fetch().id if self._job_id is None else self._job_id


class JobSteps(Mapping[str, TrackerStep]):
    """Steps of a job's configuration, by tag or unambiguous display name.

    Without a configuration: the steps with a handle in this process. `repr()` shows the
    known statuses of the first 20 steps, and reads no file.

    Args:
        job: Handle of the job.
        handles: Existing handles of the job's steps, by tag.
        status_of: Function that returns the known status of the step with a tag.
    """

    def __init__(
        self,
        job: TrackerJob,
        handles: Mapping[str, TrackerStep],
        status_of: Callable[[str], str],
    ) -> None:
        self._job, self._handles, self._status_of = job, handles, status_of

    def __repr__(self) -> str:
        tags = list(self)
        shown = [f"{tag!r}: {self._status_of(tag)}" for tag in tags[:_MAX_SHOWN_STEPS]]
        more = len(tags) - len(shown)
        if more:
            shown.append(f"and {more} more")
        return f"<steps of {self._job.provider_job_id!r}: {', '.join(shown) or 'none'}>"

    def __getitem__(self, name: str) -> TrackerStep:
        config = self._job.config
        # `in` passes any object.
        if not isinstance(name, str) or config is None:
            if name not in self._handles:
                raise UnknownStepError(str(name))
            return self._handles[name]
        step = config.find_step(name)
        if step is None:
            near = nearest_tag(config.step_configurations, name)
            raise UnknownStepError(name, near, config.tag)
        return self._job.step(step.tag)

    def __iter__(self) -> Iterator[str]:
        config = self._job.config
        if config is None:
            return iter(list(self._handles))
        return (step.tag for step in config.step_configurations)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def job_block(job: TrackerJob) -> JobBlock:
    """Return the block of a job, for other modules of this library."""
    return JobBlock(job, job._work)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
