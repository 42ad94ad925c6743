"""What `TrackerApi` and `create_job()` take beside their first arguments."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from os import PathLike

    from trackerapi.delivery.report import ProblemCallback
    from trackerapi.job_config import JobConfig
    from trackerapi.reporter import BeforeSend


class TrackerOptions(TypedDict, total=False):
    """Settings of a TrackerApi beside key and address.

    Attributes:
        api_key_file: File that holds the key; None reads `TRACKERAPI_API_KEY_FILE`.
        strict: Raise what is otherwise logged once the work has begun; None reads
            `TRACKERAPI_STRICT`, and is False without it.
        ca_file: Certificates to trust instead of the usual ones; None reads
            `TRACKERAPI_CA_FILE`.
        verify: False accepts any certificate; never do that outside a test.
        proxy: Address of a proxy; None takes it from the usual variables.
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
    before_send: "BeforeSend | None"
    on_problem: "ProblemCallback | None"


class JobOptions(TypedDict, total=False):
    """What `TrackerApi.create_job()` takes beside who, for whom and what.

    Attributes:
        config: Configuration of the job; None finds the one that a
            `JobConfigManager` of this process loaded under `tag`.
        finish: `"auto"` succeeds once all steps are done or skipped, `"explicit"`
            only with a `complete` event.
        metadata: Values for the provider, with the limits of an event's metadata.
    """

    config: "JobConfig | None"
    finish: Literal["auto", "explicit"]
    metadata: Mapping[str, Any] | None
