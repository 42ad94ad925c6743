"""TrackerApi: what a job script makes first and asks for everything else.

Modules are imported where they are first needed: importing this one costs next to
nothing, and httpx is loaded with the first request.
"""

import sys
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, Unpack

from trackerapi import __version__

if TYPE_CHECKING:
    from os import PathLike

    from trackerapi.administration import Administration
    from trackerapi.answers import ApiKeyOwner, Job, RegisteredJobConfig
    from trackerapi.delivery.sender import Sender
    from trackerapi.job import TrackerJob
    from trackerapi.job_config import JobConfig
    from trackerapi.wire.calls import Calls, JobFilter
    from trackerapi.wire.client import BackendClient
    from trackerapi.wire.connection import Connection

LARGEST_ID = 2**53 - 1


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
    """

    api_key_file: "str | PathLike[str] | None"
    strict: bool | None
    ca_file: "str | PathLike[str] | None"
    verify: bool | None
    proxy: str | None
    timeout_seconds: float | None


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


class TrackerApi:
    """Report what jobs do, and ask the backend about them.

    Making one does no network I/O. Safe to share between threads and across a fork.
    Use it as a context manager, or call `close()`, to close its connections.

    Args:
        api_key: Key of the provider; None reads `TRACKERAPI_API_KEY`, or the file
            that `TRACKERAPI_API_KEY_FILE` names.
        base_url: Address of the backend; None reads `TRACKERAPI_BASE_URL`.
        **options: See `TrackerOptions`.

    Raises:
        SettingsError: If a setting is missing or invalid; names the variable.

    Example:
        with TrackerApi() as tracker:
            job = tracker.create_job("import-42", customer_id=142, tag="import")
            job.send_event(kind="step", name="download")
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        **options: Unpack[TrackerOptions],
    ) -> None:
        from trackerapi.arguments import refuse_unknown
        from trackerapi.reporter import Reporter
        from trackerapi.settings import Settings

        refuse_unknown("TrackerApi", options.keys(), TrackerOptions.__optional_keys__)
        self._settings = Settings.resolve(
            {"api_key": api_key, "base_url": base_url, **options}
        )
        self._reporter = Reporter(self._sender, strict=self._settings.strict)
        self._connected: Connection | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"TrackerApi(base_url={self._settings.base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        if self._connected is not None:
            self._connected.close()

    def create_job(
        self,
        provider_job_id: str,
        customer_id: int,
        tag: str,
        **options: Unpack[JobOptions],
    ) -> "TrackerJob":
        """Create a job, or attach to the one that has this id already.

        A restart that passes the same id, customer and tag goes on with its job. One
        attempt is made, of at most 3 s.

        Args:
            provider_job_id: Your own id of the job, unique for you; 1 to 200
                characters.
            customer_id: The customer for whom the job is run; 1 to 2**53 - 1.
            tag: Tag, or unambiguous display name, of the job's configuration.
            **options: See `JobOptions`.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If an argument is out of range.
            ConfigError: If `tag` is a display name that several configurations have,
                or, with `strict`, if no configuration has it but one is near.
            BackendUnavailable: If no usable answer came; the job may exist now.
            AuthenticationError: If the key was refused.
            BackendRejected: If the job was refused: unknown customer, or known with
                another customer or tag.
        """
        from trackerapi.arguments import refuse_unknown
        from trackerapi.events import new_stamp
        from trackerapi.job import TrackerJob
        from trackerapi.texts import LONGEST_PROVIDER_JOB_ID, check_name
        from trackerapi.wire.calls import NewJob

        refuse_unknown("create_job", options.keys(), JobOptions.__optional_keys__)
        check_name("provider_job_id", provider_job_id, LONGEST_PROVIDER_JOB_ID)
        config = self._config_for(check_name("tag", tag), options.get("config"))
        job = self._connection().reports.create_job(
            NewJob(
                provider_job_id=provider_job_id,
                customer_id=_checked_id("customer_id", customer_id),
                tag=config.tag if config else tag,
                configuration=config.as_document() if config else None,
                finish=_checked_finish(options.get("finish", "auto")),
                created_at=new_stamp()[1],
                metadata=self._reporter.fitting(
                    options.get("metadata"), provider_job_id
                ),
            )
        )
        if job.status == "succeeded":
            self._reporter.warn_once(
                "succeeded",
                provider_job_id,
                message=f"job {provider_job_id!r} has succeeded already; "
                "what is reported now cannot change that",
            )
        return TrackerJob(provider_job_id, self._reporter, self._calls, config, job)

    def job(self, provider_job_id: str, *, tag: str | None = None) -> "TrackerJob":
        """Return a handle for a job that exists already, without a request.

        Args:
            provider_job_id: Your own id of the job; 1 to 200 characters.
            tag: Tag or display name of its configuration; steps are checked by it
                if a `JobConfigManager` of this process loaded it.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If an argument is out of range.
        """
        from trackerapi.job import TrackerJob
        from trackerapi.job_config import find_loaded
        from trackerapi.texts import LONGEST_PROVIDER_JOB_ID, check_name

        check_name("provider_job_id", provider_job_id, LONGEST_PROVIDER_JOB_ID)
        config = find_loaded(check_name("tag", tag)) if tag is not None else None
        return TrackerJob(provider_job_id, self._reporter, self._calls, config)

    def get_job(self, provider_job_id: str) -> "Job":
        """Ask how far a job is.

        Raises:
            BackendRejected: If this provider has no such job.
            BackendError: If the backend does not answer usably.
        """
        from trackerapi.job import find_job

        return find_job(self._calls(), provider_job_id)

    def list_jobs(self, **wanted: "Unpack[JobFilter]") -> "Iterator[Job]":
        """Iterate over the provider's jobs, newest first, page by page.

        Args:
            **wanted: See `JobFilter`; all jobs without one.

        Raises:
            ValueError: If a status is unknown or a time has no offset.
            BackendError: If the backend does not answer usably.
        """
        from trackerapi.events import as_rfc3339

        since = wanted.get("created_since")
        if since is not None:
            as_rfc3339(since)
        return self._calls().list_jobs(**wanted)

    def register_job_config(self, config: "JobConfig") -> "RegisteredJobConfig":
        """Store a job configuration at the backend before the first job needs it.

        Never needed: `create_job()` sends the configuration along.

        Raises:
            TypeError: If `config` is no `JobConfig`.
            BackendRejected: If the same version is stored with other content; the
                difference is spelled out.
            BackendError: If the backend does not answer usably.
        """
        from trackerapi.job_config import check_config

        document = check_config(config).as_document()
        return self._calls().register_job_configuration(document)

    def verify_api_key(self) -> "ApiKeyOwner":
        """Ask whose key this is and what it may do.

        Raises:
            AuthenticationError: If the key is refused.
            BackendError: If the backend does not answer usably.
        """
        return self._calls().verify_api_key()

    @property
    def base_url(self) -> str:
        """Address of the backend, without a trailing slash."""
        return self._settings.base_url

    @property
    def client(self) -> "BackendClient":
        """The generated client, ready with key, timeouts, retries and guard.

        For operations of the backend beyond this class; pass it to any generated
        call, such as `trackerapi_client.api.jobs.list_jobs.sync(client=...)`.
        """
        return self._connection().client

    @property
    def admin(self) -> "Administration":
        """Keys, customers and stored configurations; needs a key with `admin`."""
        from trackerapi.administration import Administration

        return Administration(self._calls)

    def _config_for(self, tag: str, given: "JobConfig | None") -> "JobConfig | None":
        from trackerapi.errors import ConfigError
        from trackerapi.job_config import check_config, find_loaded, nearest_loaded

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
            if self._reporter.strict:
                raise error
            message = f"{error}; without a configuration a job has no percentage"
            self._reporter.warn_once("job tag", tag, message=message)
        return None

    def _connection(self) -> "Connection":
        with self._lock:
            if self._connected is None:
                from trackerapi.wire.connection import Connection

                python = "{}.{}.{}".format(*sys.version_info)
                agent = f"trackerapi/{__version__} python/{python}"
                self._connected = Connection(self._settings, agent)
        return self._connected

    def _calls(self) -> "Calls":
        return self._connection().questions

    def _sender(self) -> "Sender":
        return self._connection().sender


def _checked_id(argument: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(
            f"{argument} must be a whole number, got {type(value).__name__}"
        )
    if not 1 <= value <= LARGEST_ID:
        raise ValueError(f"{argument} must be 1 to {LARGEST_ID}, got {value}")
    return value


def _checked_finish(value: str) -> str:
    if value not in {"auto", "explicit"}:
        raise ValueError(f"finish must be 'auto' or 'explicit', got {value!r}")
    return value
