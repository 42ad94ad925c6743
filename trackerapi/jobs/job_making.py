"""Ways to a job beside creating it: a handle, a decorator, a token of another place."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from trackerapi.config.job_config import find_loaded
from trackerapi.errors import SettingsError
from trackerapi.events.job_facts import JobFacts
from trackerapi.jobs.decorators import Function, wrapped
from trackerapi.jobs.options import RunOptions
from trackerapi.jobs.parts import attached_part
from trackerapi.process import event_loops as off_loop
from trackerapi.settings.api_key import key_id_of
from trackerapi.settings.job_token import JOB, JobToken
from trackerapi.texts import LONGEST_PROVIDER_JOB_ID, check_name

if TYPE_CHECKING:
    from trackerapi.jobs.job import TrackerJob


LOADED = (off_loop,)
"""Modules that are loaded before the work, too."""


@dataclass(frozen=True, slots=True)
class Place:
    """A job, and what a place of it knows.

    Attributes:
        provider_job_id: The provider's id of the job.
        facts: What a handle begins with.
    """

    provider_job_id: str
    facts: JobFacts


def handle(provider_job_id: str, *, tag: str | None = None) -> Place:
    """Return what a handle of a job that exists already knows.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range.
    """
    if callable(provider_job_id):
        raise TypeError("@job needs a tag, provider_job_id= and customer_id=")
    check_name("provider_job_id", provider_job_id, LONGEST_PROVIDER_JOB_ID)
    config = find_loaded(check_name("tag", tag)) if tag is not None else None
    return Place(provider_job_id, JobFacts(config=config))


def decorator(
    run_job: "Callable[..., TrackerJob]",
    tag: str,
    *,
    provider_job_id: str | Callable[..., str],
    customer_id: int | Callable[..., int],
    **options: Unpack[RunOptions],
) -> Callable[[Function], Function]:
    """Return what makes a function run as a job; see `TrackerApi.job()`."""
    check_name("tag", tag)

    def opened(args: tuple[Any, ...], given: dict[str, Any]) -> "TrackerJob":
        def value(source: Any) -> Any:
            return source(*args, **given) if callable(source) else source

        return run_job(value(provider_job_id), value(customer_id), tag, **options)

    return lambda function: wrapped(function, opened, is_slow=True)


def attached(token: str | None, part: str | None) -> Place:
    """Return what a place knows of a job that another has begun.

    Args:
        token: A token, or the provider's id of the job; None reads `TRACKERAPI_JOB`.
        part: Name under which the place counts; None makes one.

    Raises:
        SettingsError: If there is none, or a part of a token.
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
        return Place(text, JobFacts(part=name))
    config = find_loaded(read.tag) if read.tag is not None else None
    return Place(read.provider_job_id, JobFacts(config=config, part=name))
