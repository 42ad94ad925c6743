"""Opening of job handles: creation, attachment by token, look-up by id.

A failed request never stops the script: the creation of the job is then delivered later
from the outbox.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from trackerapi.arguments import LONGEST_PROVIDER_JOB_ID, check_name
from trackerapi.config.job_config import check_config
from trackerapi.config.manager import find_loaded, nearest_loaded
from trackerapi.delivery.rejections import is_final_for_job, problem_of
from trackerapi.errors import (
    AuthenticationError,
    BackendError,
    BackendRejected,
    BackendUnavailable,
    ConfigError,
    SettingsError,
)
from trackerapi.events.projection import JobProgress, meaning, settles_step
from trackerapi.jobs.counting import attached_part
from trackerapi.jobs.decorators import Function, run_in_block
from trackerapi.models import check_subject
from trackerapi.problems import (
    INTERNAL,
    JOB_REFUSED,
    JOB_TAG,
    KEY_REFUSED,
    METADATA,
    SUCCEEDED,
    UNREACHABLE,
    already_succeeded,
    creation_failed,
    job_metadata_undeclared,
    job_refused,
    key_refused,
    unknown_job_tag,
    unreachable,
)
from trackerapi.process import event_loops
from trackerapi.process.clock import utc_now
from trackerapi.settings.api_key import key_id_of
from trackerapi.settings.job_token import JOB, JobToken
from trackerapi.times import LAST_MOMENT, as_microseconds, as_rfc3339

if TYPE_CHECKING:
    from trackerapi.config.job_config import JobConfig
    from trackerapi.delivery.delivery import Delivery
    from trackerapi.jobs.blocks import JobBlock
    from trackerapi.jobs.job import TrackerJob
    from trackerapi.jobs.reporter import Reporter
    from trackerapi.models import Job
    from trackerapi.wire.calls import Calls

MAX_AHEAD: Final = timedelta(days=366)
"""Largest lead of an event's time over its arrival; a larger one is a wrong clock."""

LOADED: Final = (event_loops,)
"""Modules that a report may need: loaded here, because later no descriptor may be left
to load a module with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownJob:
    """Facts about a job with which a handle of it begins.

    Attributes:
        provider_job_id: The provider's id of the job.
        config: The job's configuration; None if this process has not loaded it.
        answer: The job as the backend answered its creation; None without an answer.
        finish: How the job finishes: auto or explicit.
        part: Name under which this handle counts; None for the handle that counts
            alone.
        on_sigterm: Kind to report when SIGTERM ends the process: interrupt or cancel;
            None for a handle of a job that another process has created.
    """

    provider_job_id: str
    config: "JobConfig | None" = None
    answer: "Job | None" = None
    finish: str = "auto"
    part: str | None = None
    on_sigterm: str | None = None

    @property
    def last_moment(self) -> datetime | None:
        """Time of the job's latest event at the backend; None for none.

        A time more than a year ahead of its arrival is ignored, as in the backend:
        new events, which come after the latest one, would be as far ahead.
        """
        last = self.answer.last_occurred_at if self.answer else None
        if self.answer is None or last is None:
            return None
        arrived = self.answer.last_event_at or utc_now()
        return arrived if last - arrived > MAX_AHEAD else last

    @property
    def first_moment(self) -> int:
        """Earliest time of new events, in microseconds since 1970; 0 for any."""
        last = self.last_moment
        # One microsecond later: a clock that is behind also makes smaller event ids.
        return min(as_microseconds(last) + 1, LAST_MOMENT) if last else 0

    def progress(self) -> JobProgress:
        """Return the progress of the job when the backend answered."""
        points, answer = None, self.answer
        if self.config is not None:
            points = {step.tag: step.points for step in self.config.step_configurations}
        is_explicit = (answer.finish if answer else self.finish) == "explicit"
        progress = JobProgress(points, is_explicit=is_explicit)
        for step in answer.steps if answer else ():
            progress.recall(step.tag, step.status, step.fraction, step.attempts)
            if answer and answer.status == "interrupted":
                progress.step(step.tag).interrupt()
        return progress

    def progress_after(self, events: Iterable[Mapping[str, Any]]) -> JobProgress:
        """Return the progress of the job after events that were not delivered yet.

        Args:
            events: Members of the job's events, in their order.
        """
        progress = self.progress()
        last = self.last_moment
        for event in events:
            tag = event.get("tag")
            kind = meaning(event["kind"], tag)
            is_news = last is None or last < datetime.fromisoformat(
                event["occurred_at"]
            )
            # An event of another process may make ours look old: still apply `step`
            # and `skip` unless the step is settled.
            is_unsettled = not progress.are_settled([tag or ""])
            if is_news or (settles_step(kind) and is_unsettled):
                progress.take(kind, tag, event)
        return progress


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """Members of the contract's `JobInput`.

    Attributes:
        provider_job_id: The provider's id of the job, unique for the provider.
        customer_id: Customer of the job.
        tag: Tag or display name of the configuration.
        configuration: The document to register with the job; None sends none.
        finish: `auto` or `explicit`.
        metadata: Values for the provider.
    """

    provider_job_id: str
    customer_id: int
    tag: str
    configuration: Mapping[str, Any] | None = None
    finish: str = "auto"
    metadata: Mapping[str, Any] | None = None

    def as_document(self) -> dict[str, Any]:
        """Return the members as the wire and the outbox have them, created now."""
        members = {
            "provider_job_id": self.provider_job_id,
            "customer_id": self.customer_id,
            "tag": self.tag,
            "configuration": self.configuration,
            "finish": self.finish,
            "created_at": as_rfc3339(utc_now()),
            "metadata": self.metadata,
        }
        return {name: value for name, value in members.items() if value is not None}


def create(
    new: NewJob,
    attempt: "Callable[[Mapping[str, Any]], Job] | None",
    delivery: "Delivery",
    reporter: "Reporter",
) -> "Job | None":
    """Create a job by one request, and record the outcome in the outbox.

    Args:
        new: The job.
        attempt: Sends the request; None sends none and leaves the job to delivery.
        delivery: Records the creation.
        reporter: Has `strict`, and warns of problems.

    Returns:
        The job as the backend answered; None without an answer.

    Raises:
        AuthenticationError: With `strict`, if the key was refused.
        BackendRejected: With `strict`, if the job was refused.
        OutboxError: With `strict`, if the outbox cannot be written.
    """
    document = new.as_document()
    answer: Job | None = None
    refusal: BackendRejected | None = None
    try:
        if attempt is not None:
            answer = attempt(document)
    except AuthenticationError as error:
        if reporter.strict:
            raise
        reporter.problems.report(KEY_REFUSED, key_refused(error))
    except BackendError as error:
        refusal = _refusal(error, new, delivery, reporter)
    except Exception as error:  # noqa: BLE001 - a test may replace parts of the client
        reporter.problems.report(INTERNAL, creation_failed(error))
    state = "done" if answer else "held" if refusal else "waiting"
    problem = problem_of(refusal) if refusal else None
    delivery.record_creation(document, state, problem)
    if answer is not None and answer.status == "succeeded":
        message = already_succeeded(new.provider_job_id)
        reporter.problems.report(SUCCEEDED, message, new.provider_job_id)
    return answer


def _refusal(
    error: BackendError, new: NewJob, delivery: "Delivery", reporter: "Reporter"
) -> BackendRejected | None:
    """Return the error if the content of the job is its cause, and warn of it.

    Raises:
        BackendRejected: With `strict`, in that case.
    """
    if not is_final_for_job(error, len(json.dumps(new.as_document()))):
        if isinstance(error, BackendUnavailable):
            delivery.note_failure(error)
        reporter.problems.report(UNREACHABLE, unreachable(error))
        return None
    refusal = error
    if not isinstance(refusal, BackendRejected):
        # The 413 of a proxy is no answer of a backend, but it is as final.
        refusal = BackendRejected(error.reason, error.exchange)
    if reporter.strict:
        raise refusal
    problem = problem_of(error)
    message = job_refused(new.provider_job_id, error.reason, problem)
    reporter.problems.report(JOB_REFUSED, message, new.provider_job_id)
    return refusal


def find_config(
    tag: str, given: "JobConfig | None", reporter: "Reporter"
) -> "JobConfig | None":
    """Return the configuration of a new job; None if this process has loaded none.

    Args:
        tag: Tag or display name of the configuration.
        given: Configuration that the caller gave; None looks among the loaded ones.
        reporter: Has `strict`, and warns of a tag that looks misspelt.

    Raises:
        ConfigError: If several configurations have the display name, or, with
            `strict`, if the tag looks misspelt.
        TypeError: If `given` is no configuration.
        ValueError: If `given` has another tag.
    """
    config = find_loaded(tag) if given is None else check_config(given)
    if config is not None:
        if tag not in {config.tag, config.name}:
            raise ValueError(f"tag={tag!r} is not that of config {config.tag!r}")
        return config
    near = nearest_loaded(tag)
    if near is not None:
        error = ConfigError(
            f"no loaded job configuration has the tag {tag!r}", suggestion=near
        )
        if reporter.strict:
            raise error
        reporter.problems.report(JOB_TAG, unknown_job_tag(error), tag)
    return None


def job_metadata(
    metadata: Mapping[str, Any] | None,
    config: "JobConfig | None",
    provider_job_id: str,
    reporter: "Reporter",
) -> dict[str, Any] | None:
    """Return the metadata of a job, converted and cut to fit.

    Raises:
        TypeError: If `metadata` is no mapping.
        ValueError: With `strict`, if JSON or the limits cannot hold the metadata.
    """
    fitting = reporter.fitting(metadata, provider_job_id)
    if not fitting or config is None or config.metadata != "declared":
        return fitting
    # Declarations belong to steps, so that no key of a job is declared.
    message = job_metadata_undeclared(provider_job_id, config.tag)
    reporter.problems.report(METADATA, message, "job")
    return None


def checked_finish(value: str) -> str:
    """Return `value` if it is a way for a job to finish.

    Raises:
        ValueError: If it is not.
    """
    if value not in {"auto", "explicit"}:
        raise ValueError(f"finish must be 'auto' or 'explicit', got {value!r}")
    return value


def look_up(provider_job_id: str, *, tag: str | None = None) -> KnownJob:
    """Return the facts about a job that exists already, without a request.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range.
    """
    if callable(provider_job_id):
        raise TypeError(
            "@tracker.as_job needs a tag, provider_job_id= and customer_id="
        )
    check_name("provider_job_id", provider_job_id, LONGEST_PROVIDER_JOB_ID)
    config = find_loaded(check_name("tag", tag)) if tag is not None else None
    return KnownJob(provider_job_id=provider_job_id, config=config)


def attach(token: str | None, part: str | None) -> KnownJob:
    """Return the facts about a job that another process has created.

    Args:
        token: A token, or the provider's id of the job; None reads `TRACKERAPI_JOB`.
        part: Name under which the handle counts; None makes a random name.

    Raises:
        SettingsError: If no job is given, or only a piece of a token.
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range.
    """
    setting = "token" if token is not None else JOB
    text = os.environ.get(JOB, "").strip() if token is None else token
    if not text:
        raise SettingsError("no job; pass a token, or set this variable", setting)
    name = attached_part() if part is None else check_name("part", part)
    read = JobToken.parse(text) if isinstance(text, str) else None
    if read is None:
        if isinstance(text, str) and key_id_of(text.partition(".")[0]):
            # As an id, the key would go into the outbox and to the timeline.
            raise SettingsError("not the whole token of a job; copy it again", setting)
        check_name(setting, text, LONGEST_PROVIDER_JOB_ID)
        return KnownJob(provider_job_id=text, part=name)
    config = find_loaded(read.tag) if read.tag is not None else None
    return KnownJob(provider_job_id=read.provider_job_id, config=config, part=name)


def find_job(calls: "Calls", provider_job_id: str) -> "Job":
    """Ask the backend for the job with the provider's id.

    Raises:
        BackendRejected: If this provider has no such job.
        BackendError: If the backend does not answer usably.
    """
    check_name("provider_job_id", provider_job_id, LONGEST_PROVIDER_JOB_ID)
    for job in calls.list_jobs(provider_job_id=provider_job_id):
        check_subject(job.provider_job_id, provider_job_id)
        return job
    raise BackendRejected(f"this provider has no job {provider_job_id!r}")


def decorator(
    run_job: "Callable[..., TrackerJob]",
    tag: str,
    *,
    provider_job_id: str | Callable[..., str],
    customer_id: int | Callable[..., int],
    **options: Any,
) -> Callable[[Function], Function]:
    """Return the decorator of `TrackerApi.as_job()`.

    Args:
        run_job: `TrackerApi.run_job()`.
        tag: Tag or display name of the configuration.
        provider_job_id: Id of the job, or a function of the arguments of the call.
        customer_id: Customer, or a function of the arguments of the call.
        **options: Other arguments of `run_job`.
    """
    from trackerapi.jobs.job import job_block

    check_name("tag", tag)

    def open_block(args: tuple[Any, ...], given: dict[str, Any]) -> "JobBlock":
        def value(source: Any) -> Any:
            return source(*args, **given) if callable(source) else source

        job = run_job(value(provider_job_id), value(customer_id), tag, **options)
        return job_block(job)

    return lambda function: run_in_block(function, open_block, is_slow=True)


def job_or_decorator(
    as_job: Callable[..., Callable[[Function], Function]],
    name: tuple[str, ...],
    given: Mapping[str, Any],
) -> KnownJob | Callable[[Function], Function]:
    """Return the facts for a handle, or the decorator that `job()` is with a customer.

    Args:
        as_job: `TrackerApi.as_job()`.
        name: Positional arguments: the id of the job, or the tag for a decorator.
        given: Keyword arguments of the call.

    Raises:
        TypeError: If the arguments are neither those of a handle nor of a decorator.
        ValueError: If an argument is out of range.
    """
    keywords = dict(given)
    if "customer_id" in keywords or (name and "provider_job_id" in keywords):
        return as_job(*name, **keywords)
    ids = [*name]
    if "provider_job_id" in keywords:
        ids.append(keywords.pop("provider_job_id"))
    tag = keywords.pop("tag", None)
    if len(ids) != 1 or keywords:
        raise TypeError("job() takes one id and tag=; a decorator is made by as_job()")
    return look_up(ids[0], tag=tag)
