"""Opening of job handles: creation, attachment by token, look-up by id.

If the backend gives no usable answer, the script continues: the outbox keeps the
creation of the job, and the delivery thread sends it later.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trackerapi.arguments import (
    MAX_JOB_ID_LENGTH,
    MAX_REFERENCE_LENGTH,
    MAX_TITLE_LENGTH,
    check_name,
)
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
from trackerapi.jobs.counting import attached_part
from trackerapi.jobs.decorators import Function, run_in_block
from trackerapi.jobs.state import KnownJob
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
from trackerapi.settings.job_token import JOB, KEY_PREFIX, JobToken
from trackerapi.times import as_rfc3339

if TYPE_CHECKING:
    from trackerapi.config.job_config import JobConfig
    from trackerapi.delivery.delivery import Delivery
    from trackerapi.jobs.blocks import JobBlock
    from trackerapi.jobs.job import TrackerJob
    from trackerapi.jobs.reporter import Reporter
    from trackerapi.models import Job
    from trackerapi.wire.calls import Calls

LOADED: Final = (event_loops,)
"""Modules that a report may need. They are loaded with this module: at the time of the
report, the process may have no free file descriptor to load a module."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to create; the attributes are the members of the contract's `JobInput`.

    Attributes:
        provider_job_id: The provider's id of the job, unique for the provider.
        customer_id: Customer of the job.
        tag: Tag or display name of the configuration.
        configuration: Configuration document that the backend registers with the job;
            None without a configuration.
        finish: `auto` or `explicit`, as in `KnownJob`.
        metadata: Values for the provider.
        title: Name of this job for the customer; None without a title.
        reference: Text that the customer quotes in questions; None without a
            reference.
    """

    provider_job_id: str
    customer_id: int
    tag: str
    configuration: Mapping[str, Any] | None = None
    finish: str = "auto"
    metadata: Mapping[str, Any] | None = None
    title: str | None = None
    reference: str | None = None

    def as_document(self) -> dict[str, Any]:
        """Return the members for the request and the outbox; `created_at` is now."""
        members = {
            "provider_job_id": self.provider_job_id,
            "customer_id": self.customer_id,
            "tag": self.tag,
            "configuration": self.configuration,
            "finish": self.finish,
            "created_at": as_rfc3339(utc_now()),
            "metadata": self.metadata,
            "title": self.title,
            "reference": self.reference,
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
        attempt: Function that sends the request; None leaves the request to the
            delivery thread.
        delivery: Delivery that writes the creation to the outbox.
        reporter: Reporter with the setting `strict` and the log of problems.

    Returns:
        The job in the backend's answer; None without an answer.

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
    """Return the error if the backend refuses the job for its content; else None.

    Logs a warning about the error in both cases.

    Raises:
        BackendRejected: With `strict`, if the backend refuses the job for its content.
    """
    if not is_final_for_job(error, len(json.dumps(new.as_document()))):
        if isinstance(error, BackendUnavailable):
            delivery.note_failure(error)
        reporter.problems.report(UNREACHABLE, unreachable(error))
        return None
    refusal = error
    if not isinstance(refusal, BackendRejected):
        # A 413 may come from a proxy instead of the backend, but the same request fails
        # again.
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
    """Return the configuration of a new job; None if this process has not loaded it.

    Args:
        tag: Tag or display name of the configuration.
        given: Configuration from the caller; None searches the loaded configurations.
        reporter: Reporter with the setting `strict` and the log of problems.

    Raises:
        ConfigError: If several configurations have the display name, or, with
            `strict`, if the tag looks misspelt.
        TypeError: If `given` is not a `JobConfig`.
        ValueError: If `tag` is neither the tag nor the display name of `given`.
    """
    config = find_loaded(tag) if given is None else check_config(given)
    if config is not None:
        if tag not in {config.tag, config.name}:
            raise ValueError(
                f"tag={tag!r} is neither tag nor name of config {config.tag!r}"
            )
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

    Return None without metadata, or if the configuration has `metadata: declared`: only
    steps can declare keys.

    Raises:
        TypeError: If `metadata` is not a mapping.
        ValueError: With `strict`, if the metadata is not valid JSON or exceeds the
            limits.
    """
    fitting = reporter.fit_metadata(metadata, provider_job_id)
    if not fitting or config is None or config.metadata != "declared":
        return fitting
    message = job_metadata_undeclared(provider_job_id, config.tag)
    reporter.problems.report(METADATA, message, "job")
    return None


def check_finish(value: str) -> str:
    """Return `value` if it is `auto` or `explicit`.

    Raises:
        ValueError: If `value` is another word.
    """
    if value not in ("auto", "explicit"):
        raise ValueError(f"finish must be 'auto' or 'explicit', got {value!r}")
    return value


def check_title(value: str | None) -> str | None:
    """Return `value` if it can be the title of a job; None without a title.

    Raises:
        TypeError: If `value` is not text.
        ValueError: If `value` is blank, too long or contains control characters.
    """
    return None if value is None else check_name("title", value, MAX_TITLE_LENGTH)


def check_reference(value: str | None) -> str | None:
    """Return `value` if it can be the reference of a job; None without a reference.

    Raises:
        TypeError: If `value` is not text.
        ValueError: If `value` is blank, too long or contains control characters.
    """
    if value is None:
        return None
    return check_name("reference", value, MAX_REFERENCE_LENGTH)


def known_by_id(provider_job_id: str, *, tag: str | None = None) -> KnownJob:
    """Return the facts about a job that is assumed to exist, without a request.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range.
    """
    if callable(provider_job_id):
        raise TypeError(
            "@tracker.as_job needs a tag, provider_job_id= and customer_id="
        )
    check_name("provider_job_id", provider_job_id, MAX_JOB_ID_LENGTH)
    config = find_loaded(check_name("tag", tag)) if tag is not None else None
    return KnownJob(provider_job_id=provider_job_id, config=config)


def attach(token: str | None, part: str | None) -> KnownJob:
    """Return the facts about a job that another process has created.

    Args:
        token: A token, or the provider's id of the job; None reads `TRACKERAPI_JOB`.
        part: Name under which the handle counts its share of a step; None makes a
            random name.

    Raises:
        SettingsError: If no job is given, or only a part of a token.
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range.
    """
    setting = "token" if token is not None else JOB
    text = os.environ.get(JOB, "").strip() if token is None else token
    if not text:
        raise SettingsError(
            "no job is given; pass a token, or set TRACKERAPI_JOB", setting
        )
    name = attached_part() if part is None else check_name("part", part)
    read = JobToken.parse(text) if isinstance(text, str) else None
    if read is None:
        if isinstance(text, str) and text.startswith(KEY_PREFIX):
            # `text` is a key, or the beginning of a token. As an id of a job, it would
            # appear in the outbox and the timeline.
            raise SettingsError(
                "the token of the job is incomplete; copy the whole token", setting
            )
        check_name(setting, text, MAX_JOB_ID_LENGTH)
        return KnownJob(provider_job_id=text, part=name)
    config = find_loaded(read.tag) if read.tag is not None else None
    return KnownJob(provider_job_id=read.provider_job_id, config=config, part=name)


def find_job(calls: "Calls", provider_job_id: str) -> "Job":
    """Ask the backend for the job with the provider's id.

    Raises:
        BackendRejected: If this provider has no such job.
        BackendError: If the backend gives no usable answer.
    """
    check_name("provider_job_id", provider_job_id, MAX_JOB_ID_LENGTH)
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
    title: str | Callable[..., str | None] | None,
    reference: str | Callable[..., str | None] | None,
    **options: Any,
) -> Callable[[Function], Function]:
    """Return the decorator of `TrackerApi.as_job()`.

    Args:
        run_job: `TrackerApi.run_job()`.
        tag: Tag or display name of the configuration.
        provider_job_id: Id of the job, or a function that returns it from the arguments
            of the call.
        customer_id: Customer, or a function that returns it from the arguments of the
            call.
        title: Title of the job, or a function that returns it from the arguments of
            the call.
        reference: Reference of the job, or a function that returns it from the
            arguments of the call.
        **options: Other arguments of `run_job`.
    """
    from trackerapi.jobs.job import job_block

    check_name("tag", tag)

    def open_block(args: tuple[Any, ...], given: dict[str, Any]) -> "JobBlock":
        def value(source: Any) -> Any:
            return source(*args, **given) if callable(source) else source

        job = run_job(
            value(provider_job_id),
            value(customer_id),
            tag,
            title=value(title),
            reference=value(reference),
            **options,
        )
        return job_block(job)

    return lambda function: run_in_block(function, open_block, is_slow=True)


def job_or_decorator(
    as_job: Callable[..., Callable[[Function], Function]],
    name: tuple[str, ...],
    given: Mapping[str, Any],
) -> KnownJob | Callable[[Function], Function]:
    """Return the facts for the handle of `TrackerApi.job()`, or a decorator.

    With `customer_id`, `job()` is the older name of `as_job()`, which returns a
    decorator.

    Args:
        as_job: `TrackerApi.as_job()`.
        name: Positional arguments: the id of the job, or the tag for a decorator.
        given: Keyword arguments of the call.

    Raises:
        TypeError: If the arguments suit neither a handle nor a decorator.
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
        raise TypeError("job() accepts one id and tag=; for a decorator, call as_job()")
    return known_by_id(ids[0], tag=tag)
