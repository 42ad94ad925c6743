"""What `TrackerApi` and `create_job()` take beside their first arguments."""

from collections.abc import Callable, Container, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

MAX_UNITS: Final = float(2**53 - 1)
"""Largest `completed` and `total`."""

if TYPE_CHECKING:
    from os import PathLike

    from trackerapi.config.job_config import JobConfig
    from trackerapi.jobs.reporter import BeforeSend
    from trackerapi.problems import ProblemCallback


class TrackerOptions(TypedDict, total=False):
    """Settings of a TrackerApi beside key and address.

    Attributes:
        api_key_file: File that holds the key; None reads `TRACKERAPI_API_KEY_FILE`.
        strict: Raise what is otherwise logged once the work has begun; None reads
            `TRACKERAPI_STRICT`, and is False without it.
        ca_file: Certificates to trust instead of the usual ones; None reads
            `TRACKERAPI_CA_FILE`.
        verify: False accepts any certificate; never do that outside a test.
        proxy: Address of a proxy; None takes it from `HTTPS_PROXY`, `HTTP_PROXY`,
            `ALL_PROXY` and `NO_PROXY`.
        timeout_seconds: Longest wait for one answer to a question; 10 by default.
        mode: `"online"` records and delivers, `"offline"` records only, `"off"` does
            nothing; None reads `TRACKERAPI_MODE`, and is online without it.
        outbox: Folder for what waits to be delivered; None reads `TRACKERAPI_OUTBOX`,
            and is the user's state folder without it.
        shutdown_timeout: Longest that `close()` and the end of the process wait for
            delivery, in seconds; None reads `TRACKERAPI_SHUTDOWN_TIMEOUT`, and is 2
            without it.
        fsync: Bring each event to the disk itself before its call returns, so that it
            survives a loss of power too; costs a disk access each.
        outbox_limit_bytes: Size of what may wait; 1 GiB by default. Beyond it the
            oldest info, heartbeats and superseded progress are dropped and counted.
        on_sigterm: What SIGTERM reports of a job whose block is open: `"interrupt"`,
            for a job that is expected to go on, or `"cancel"`; None reads
            `TRACKERAPI_ON_SIGTERM`, and is interrupt without it.
        progress: What is shown on stderr: `"off"` nothing, `"live"` a view with bars
            where stderr is a terminal and lines elsewhere, `"auto"` the same where
            rich is installed, `"plain"` lines; None reads `TRACKERAPI_PROGRESS`, and
            is off without it. The percentage is this process's own estimate.
        progress_seconds: Between two lines about a job of which only counts have
            changed, 1 to 3600; None reads `TRACKERAPI_PROGRESS_SECONDS`, and is 10
            without it.
        before_send: Sees each `Event` before it is written to disk; returns it, a
            changed copy, or None to drop it.
        on_problem: Called with a `DeliveryProblem` when one comes up, once per kind,
            in whatever thread finds it.
    """

    api_key_file: "str | PathLike[str] | None"
    strict: bool | None
    ca_file: "str | PathLike[str] | None"
    verify: bool | None
    proxy: str | None
    timeout_seconds: float | None
    mode: 'Literal["online", "offline", "off"] | None'
    outbox: "str | PathLike[str] | None"
    shutdown_timeout: float | None
    fsync: bool | None
    outbox_limit_bytes: int | None
    on_sigterm: 'Literal["interrupt", "cancel"] | None'
    progress: 'Literal["off", "auto", "live", "plain"] | None'
    progress_seconds: float | None
    before_send: "BeforeSend | None"
    on_problem: "ProblemCallback | None"


class RunOptions(TypedDict, total=False):
    """What `TrackerApi.run_job()` takes beside who, for whom and what.

    Attributes:
        config: Configuration of the job; None finds the one that a
            `JobConfigManager` of this process loaded under `tag`.
        metadata: Values for the provider, with the limits of an event's metadata.
    """

    config: "JobConfig | None"
    metadata: Mapping[str, Any] | None


class JobOptions(RunOptions, total=False):
    """What `TrackerApi.create_job()` takes beside who, for whom and what.

    Attributes:
        config: See `RunOptions`; so is `metadata`.
        finish: `"auto"` succeeds once all steps are done or skipped, `"explicit"`
            only with a `complete` event.
    """

    finish: Literal["auto", "explicit"]


class EventDetails(TypedDict, total=False):
    """The fields of an event beside its kind, step and metadata.

    Attributes:
        message: What the customer reads; cut after 2,000 characters.
        detail: What only the provider reads, such as a traceback; cut after 16,000.
        completed: Units of the step done, 0 to 2**53 - 1; with `kind="progress"`.
        total: Units of the step in all, 0 to 2**53 - 1.
        fraction: Share of the step done, 0.0 to 1.0, instead of units.
        retrying: With `kind="error"` of a step: another attempt follows.
        occurred_at: When it happened; aware. When left out it is now, but never
            before the job's previous event.
        part: Who counted, where several places count one step; up to 100 characters.
    """

    message: str | None
    detail: str | None
    completed: float | None
    total: float | None
    fraction: float | None
    retrying: bool
    occurred_at: datetime | None
    part: str | None


class LoopOptions(TypedDict, total=False):
    """What a tracked loop takes beside its items.

    Attributes:
        total: Units in all; None takes `len(items)` or the sum of the weights, where
            items can be looked at twice, and is unknown otherwise.
        weight: Returns the units of an item, such as its bytes; 1 by default.
        key: Returns by what an item is known in `resume`; itself by default.
        resume: Keys of items that were done before: they count as done, and are left
            out.
    """

    total: float | None
    weight: Callable[[Any], float] | None
    key: Callable[[Any], object] | None
    resume: Container[object]
