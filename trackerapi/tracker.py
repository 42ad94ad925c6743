"""TrackerApi: settings, jobs and read calls of one provider.

Modules are imported where they are first needed: importing this module is fast, and the
first request loads httpx.

Long: each public call documents its parameters.
"""

import os
import weakref
from typing import TYPE_CHECKING, Any, Literal, Self, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from datetime import datetime

    from trackerapi.administration import Administration
    from trackerapi.config.job_config import JobConfig
    from trackerapi.delivery.report import DeliveryReport
    from trackerapi.jobs.decorators import Function
    from trackerapi.jobs.job import TrackerJob
    from trackerapi.jobs.reporter import BeforeSend
    from trackerapi.jobs.state import KnownJob
    from trackerapi.jobs.watching import JobWatch
    from trackerapi.models import ApiKeyOwner, Job, RegisteredJobConfig
    from trackerapi.problems import ProblemCallback
    from trackerapi.wire.calls import Calls
    from trackerapi.wire.client import BackendClient
    from trackerapi.wire.connection import Connection

MAX_FLUSH_SECONDS = 1e9


class TrackerApi:
    """Report jobs to the backend, and read them.

    Making a tracker sends no request. Every call that reports returns once the event
    is in the outbox, whether or not the backend can be reached; a background thread
    delivers it. Records that are undelivered at `close()`, or at the end of the
    process, stay in the outbox; the next process delivers them.

    Read calls, such as `get_job()`, are requests. Each attempt waits for an answer for
    at most `timeout_seconds`. Failed attempts are repeated for at most three times
    `timeout_seconds`.

    Safe to share between threads and across a fork.

    Args:
        api_key: Key of the provider; None reads `TRACKERAPI_API_KEY`, or the file
            that `TRACKERAPI_API_KEY_FILE` names.
        base_url: Address of the backend; None reads `TRACKERAPI_BASE_URL`.
        api_key_file: File that contains the key; None reads `TRACKERAPI_API_KEY_FILE`.
        strict: True raises problems that are otherwise logged, such as an unknown step;
            None reads `TRACKERAPI_STRICT`; the default is False.
        ca_file: File of certificates to trust instead of the default certificates; None
            reads `TRACKERAPI_CA_FILE`.
        verify: False accepts any certificate; for tests only.
        proxy: Address of a proxy; None reads `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`
            and `NO_PROXY`.
        timeout_seconds: Maximum wait for the answer to a read call, in seconds; None
            means 10.
        mode: `"online"` records and delivers events, `"offline"` only records events,
            `"off"` does nothing. None reads `TRACKERAPI_MODE`; the default is online.
        outbox: Folder for undelivered records; None reads `TRACKERAPI_OUTBOX`; the
            default is in the user's state folder.
        shutdown_timeout: Maximum wait for delivery in `close()` and at the end of the
            process, in seconds. None reads `TRACKERAPI_SHUTDOWN_TIMEOUT`; the default
            is 2.
        fsync: True calls `fsync` for each event, so that the event also survives a loss
            of power; each event then waits for the disk. None means False.
        outbox_limit_bytes: Maximum size of all undelivered records, in bytes; None
            means 1 GiB. Above this size, the oldest info, heartbeats and superseded
            progress are dropped and counted.
        on_sigterm: Report on SIGTERM for a job with an open block: `"interrupt"` for a
            job that is expected to continue, or `"cancel"`. None reads
            `TRACKERAPI_ON_SIGTERM`; the default is interrupt.
        progress: View on stderr. `"off"` shows nothing, `"plain"` shows lines. `"live"`
            shows bars if stderr is a terminal, else lines; needs rich. `"auto"` is live
            if rich is installed, else plain. None reads `TRACKERAPI_PROGRESS`; the
            default is off. The percentage is this process's own estimate.
        progress_seconds: Seconds between two lines about a job of which only counts
            have changed, 1 to 3600. None reads `TRACKERAPI_PROGRESS_SECONDS`; the
            default is 10.
        before_send: Function that is called with each `Event` before the event is
            written. It returns the event, a changed copy, or None to drop the event.
        on_problem: Function that is called with each new `DeliveryProblem`, in the
            thread that detects the problem.

    Raises:
        SettingsError: If a setting is missing or invalid; names the variable.
        TypeError: If `before_send` or `on_problem` is not callable.

    Example:
        with TrackerApi() as tracker:
            job = tracker.create_job("import-42", customer_id=142, tag="import")
            job.send_event(kind="step", name="download")
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        api_key_file: str | os.PathLike[str] | None = None,
        strict: bool | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        verify: bool | None = None,
        proxy: str | None = None,
        timeout_seconds: float | None = None,
        mode: Literal["online", "offline", "off"] | None = None,
        outbox: str | os.PathLike[str] | None = None,
        shutdown_timeout: float | None = None,
        fsync: bool | None = None,
        outbox_limit_bytes: int | None = None,
        on_sigterm: Literal["interrupt", "cancel"] | None = None,
        progress: Literal["off", "auto", "live", "plain"] | None = None,
        progress_seconds: float | None = None,
        before_send: "BeforeSend | None" = None,
        on_problem: "ProblemCallback | None" = None,
    ) -> None:
        # Load the modules that reports need before the work begins: during the work,
        # the process may have no free file descriptor to load a module, or the
        # installation may be gone.
        from trackerapi.arguments import check_callable
        from trackerapi.composition import PARTS_FACTORY
        from trackerapi.config import manager
        from trackerapi.jobs import job, opening
        from trackerapi.problems import Problems

        del job, manager, opening
        check_callable("before_send", before_send)
        check_callable("on_problem", on_problem)
        arguments = {
            "api_key": api_key,
            "base_url": base_url,
            "api_key_file": api_key_file,
            "strict": strict,
            "ca_file": ca_file,
            "verify": verify,
            "proxy": proxy,
            "timeout_seconds": timeout_seconds,
            "mode": mode,
            "outbox": outbox,
            "shutdown_timeout": shutdown_timeout,
            "fsync": fsync,
            "outbox_limit_bytes": outbox_limit_bytes,
            "on_sigterm": on_sigterm,
            "progress": progress,
            "progress_seconds": progress_seconds,
        }
        parts = PARTS_FACTORY.make(arguments, Problems(on_problem), before_send)
        self._settings, self._connector = parts.settings, parts.connector
        self._delivery, self._reporter = parts.delivery, parts.reporter
        if self._delivery is not None:
            # Job handles refer to the reporter and may outlive this tracker: delivery
            # ends when the last handle is freed.
            retire = weakref.finalize(self._reporter, self._delivery.retire)
            retire.atexit = False

    def __repr__(self) -> str:
        return f"TrackerApi(base_url={self._settings.base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Deliver undelivered records, then close the connections.

        Waits at most `shutdown_timeout`, and not at all when the backend is known to
        be down; the next process delivers the records that remain. A later read call
        opens new connections. Raises nothing.
        """
        self._reporter.deliver_last()
        if self._connector is not None:
            self._connector.close()

    def flush(self, timeout: float = 10.0) -> "DeliveryReport":
        """Deliver undelivered records, also of ended processes, and wait.

        Args:
            timeout: Maximum wait in seconds, 0 or more.

        Returns:
            The state of delivery after the wait; no record is undelivered if `waiting`
            is 0.

        Raises:
            TypeError: If `timeout` is not a number.
            ValueError: If `timeout` is below 0.

        Example:
            if tracker.flush(timeout=30).waiting:
                print("not delivered yet; run trackerapi sync")
        """
        from trackerapi.arguments import check_number
        from trackerapi.delivery.report import DeliveryReport

        if check_number("timeout", timeout, MAX_FLUSH_SECONDS) is None:
            raise TypeError("timeout must be a number, got NoneType")
        if self._delivery is None:
            return DeliveryReport()
        return self._delivery.flush(timeout)

    def delivery(self) -> "DeliveryReport":
        """Return the state of delivery immediately; sends no request."""
        from trackerapi.delivery.report import DeliveryReport

        return DeliveryReport() if self._delivery is None else self._delivery.report()

    def create_job(
        self,
        provider_job_id: str,
        customer_id: int,
        tag: str,
        *,
        config: "JobConfig | None" = None,
        finish: Literal["auto", "explicit"] = "auto",
        metadata: "Mapping[str, Any] | None" = None,
        title: str | None = None,
        reference: str | None = None,
    ) -> "TrackerJob":
        """Create a job, or attach to the existing job with this id.

        A restarted script that passes the same id, customer and tag continues its job.
        `create_job()` itself then reports that the job is running.

        Waits for one answer of the backend, at most 3 s. Without an answer, the
        creation is delivered later from the outbox. If the backend refuses the job,
        the script continues: the outbox holds the job's reports, and the command
        `trackerapi outbox retry` releases them.

        Args:
            provider_job_id: Your own id of the job, unique for you; 1 to 200
                characters.
            customer_id: Customer of the job; 1 to 2**53 - 1.
            tag: Tag, or unambiguous display name, of the job's configuration.
            config: Configuration of the job; None finds the configuration that a
                `JobConfigManager` of this process loaded under `tag`.
            finish: `"auto"`: the job succeeds once all steps are done or skipped.
                `"explicit"`: the job succeeds only with a `complete` event.
            metadata: Values for the provider, with the limits of an event's metadata.
            title: Name of this job for the customer, such as "Brain MRI, 12 May", and
                the heading of the customer's page; 1 to 200 characters. None shows the
                name of the configuration. A job keeps the title of its first creation.
            reference: Text that the customer quotes in questions, shown on the
                customer's page; 1 to 100 characters. A job keeps the reference of its
                first creation.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If an argument is out of range.
            ConfigError: If `tag` is the display name of several configurations, or,
                with `strict`, if `tag` looks misspelt.
            AuthenticationError: With `strict`, if the key was refused.
            BackendRejected: With `strict`, if the job was refused, because the customer
                is unknown or because the id exists with another customer or tag.
            OutboxError: With `strict`, if the outbox cannot be written.

        Example:
            job = tracker.create_job("import-42", customer_id=142, tag="import")
            job.send_event(kind="step", name="download")
        """
        from trackerapi.arguments import MAX_JOB_ID_LENGTH, check_id, check_name
        from trackerapi.jobs.job import TrackerJob, job_block
        from trackerapi.jobs.opening import (
            NewJob,
            check_finish,
            check_reference,
            check_title,
            create,
            find_config,
            job_metadata,
        )
        from trackerapi.jobs.state import KnownJob

        check_name("provider_job_id", provider_job_id, MAX_JOB_ID_LENGTH)
        check_name("tag", tag)
        found = find_config(tag, config, self._reporter)
        new = NewJob(
            provider_job_id=provider_job_id,
            customer_id=check_id("customer_id", customer_id),
            tag=found.tag if found else tag,
            configuration=found.as_document() if found else None,
            finish=check_finish(finish),
            metadata=job_metadata(metadata, found, provider_job_id, self._reporter),
            title=check_title(title),
            reference=check_reference(reference),
        )
        answer = None
        if self._delivery is not None:
            is_online = self._settings.mode == "online"
            attempt = self._create_at_backend if is_online else None
            answer = create(new, attempt, self._delivery, self._reporter)
        known = KnownJob(
            provider_job_id=provider_job_id,
            config=found,
            answer=answer,
            finish=new.finish,
            on_sigterm=self._settings.on_sigterm,
        )
        job = TrackerJob(known, self._reporter, self._calls)
        if answer is not None and answer.event_count and answer.status != "succeeded":
            job_block(job).work.restart()
        return job

    def run_job(
        self,
        provider_job_id: str,
        customer_id: int,
        tag: str,
        *,
        config: "JobConfig | None" = None,
        metadata: "Mapping[str, Any] | None" = None,
        title: str | None = None,
        reference: str | None = None,
    ) -> "TrackerJob":
        """Create a job, or attach to the existing job, for a `with` block.

        Like `create_job()` with `finish="explicit"`: the job succeeds when the block
        ends, not when its last step is done. An exception, Ctrl-C or SIGTERM ends the
        block as failed, cancelled or interrupted, and propagates unchanged.

        Waits for one answer of the backend, at most 3 s, as `create_job()` does.

        Args:
            provider_job_id: Your own id of the job, unique for you; 1 to 200
                characters.
            customer_id: Customer of the job; 1 to 2**53 - 1.
            tag: Tag, or unambiguous display name, of the job's configuration.
            config: Configuration of the job; None finds the configuration that a
                `JobConfigManager` of this process loaded under `tag`.
            metadata: Values for the provider, with the limits of an event's metadata.
            title: Name of this job for the customer, such as "Brain MRI, 12 May", and
                the heading of the customer's page; 1 to 200 characters. None shows the
                name of the configuration. A job keeps the title of its first creation.
            reference: Text that the customer quotes in questions, shown on the
                customer's page; 1 to 100 characters. A job keeps the reference of its
                first creation.

        Raises:
            TypeError: If an argument is of the wrong type. All other errors of
                `create_job()` are possible too.

        Example:
            with tracker.run_job("import-42", customer_id=142, tag="import") as job:
                for file in job.track(files, step="load"):
                    load(file)
        """
        return self.create_job(
            provider_job_id,
            customer_id,
            tag,
            config=config,
            finish="explicit",
            metadata=metadata,
            title=title,
            reference=reference,
        )

    def as_job(
        self,
        tag: str,
        *,
        provider_job_id: "str | Callable[..., str]",
        customer_id: "int | Callable[..., int]",
        config: "JobConfig | None" = None,
        metadata: "Mapping[str, Any] | None" = None,
        title: "str | Callable[..., str | None] | None" = None,
        reference: "str | Callable[..., str | None] | None" = None,
    ) -> "Callable[[Function], Function]":
        """Return a decorator: each call of the function runs as a job.

        The call runs in a block of `run_job()`, and waits as `run_job()` does. The
        decorator accepts functions, coroutine functions, generators and async
        generators.

        Args:
            tag: Tag, or unambiguous display name, of the job's configuration.
            provider_job_id: Your own id of the job, or a function that returns it from
                the arguments of the call.
            customer_id: Customer of the job, or a function that returns it from the
                arguments of the call.
            config: Configuration of the job; see `run_job()`.
            metadata: Values for the provider; see `run_job()`.
            title: Name of this job for the customer, or a function that returns it from
                the arguments of the call.
            reference: Text that the customer quotes in questions, or a function that
                returns it from the arguments of the call.

        Raises:
            TypeError: If `tag` is not text.
            ValueError: If `tag` is blank, too long or contains control characters.

        Example:
            @tracker.as_job("mri", provider_job_id=lambda study: study, customer_id=7)
            def pipeline(study):
                load(study)
        """
        from trackerapi.jobs.opening import decorator

        return decorator(
            self.run_job,
            tag,
            provider_job_id=provider_job_id,
            customer_id=customer_id,
            config=config,
            metadata=metadata,
            title=title,
            reference=reference,
        )

    @overload
    def job(self, provider_job_id: str, *, tag: str | None = None) -> "TrackerJob": ...

    @overload
    def job(
        self,
        tag: str,
        /,
        *,
        provider_job_id: "str | Callable[..., str]",
        customer_id: "int | Callable[..., int]",
        config: "JobConfig | None" = None,
        metadata: "Mapping[str, Any] | None" = None,
        title: "str | Callable[..., str | None] | None" = None,
        reference: "str | Callable[..., str | None] | None" = None,
    ) -> "Callable[[Function], Function]": ...

    def job(
        self,
        *name: str,
        **given: Any,
    ) -> Any:
        """Return a handle of an existing job; sends no request.

        With `customer_id`, `job()` is the older name of `as_job()` and returns a
        decorator.

        Args:
            *name: Your own id of the job, 1 to 200 characters. The keyword
                `provider_job_id` is accepted too.
            **given: For a handle: `tag`, the tag of a configuration that a
                `JobConfigManager` of this process loaded. The handle then checks the
                names of steps. For a decorator: the arguments of `as_job()`.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If an argument is out of range.

        Example:
            print(tracker.job("import-42").share_link())
        """
        from trackerapi.jobs.opening import job_or_decorator

        found = job_or_decorator(self.as_job, name, given)
        return found if callable(found) else self._handle(found)

    def attach(
        self, token: str | None = None, *, part: str | None = None
    ) -> "TrackerJob":
        """Return a handle of a job that another process created; sends no request.

        The backend adds up the counts of all handles of a step. At the end of the
        handle's block, the job stays running, unless the block fails.

        Args:
            token: Result of `TrackerJob.token()` in the other process, or the
                provider's id of the job; None reads `TRACKERAPI_JOB`. A tracker without
                a key uses the key of the token in `TRACKERAPI_JOB`.
            part: Name under which this handle counts; a restarted process with the same
                name continues its count. None makes a random name.

        Raises:
            SettingsError: If no job is given, or only a part of a token.
            TypeError: If an argument is of the wrong type.
            ValueError: If an argument is out of range.

        Example:
            job = tracker.attach(part="worker-3")
            for organ in job.step("segment").track(organs):
                segment(organ)
        """
        from trackerapi.jobs.opening import attach

        return self._handle(attach(token, part))

    def get_job(self, provider_job_id: str) -> "Job":
        """Ask the backend for a job and its progress.

        Args:
            provider_job_id: Your own id of the job; 1 to 200 characters.

        Raises:
            BackendRejected: If this provider has no such job.
            BackendError: If the backend gives no usable answer.

        Example:
            print(tracker.get_job("import-42").percent)
        """
        from trackerapi.jobs.opening import find_job

        return find_job(self._calls(), provider_job_id)

    def list_jobs(
        self,
        *,
        provider_job_id: str | None = None,
        customer_id: int | None = None,
        tag: str | None = None,
        status: "Sequence[str] | None" = None,
        created_since: "datetime | None" = None,
    ) -> "Iterator[Job]":
        """Iterate over the provider's jobs, newest first; one request per page.

        Args:
            provider_job_id: Only the job with this id of yours; None for all.
            customer_id: Only jobs of this customer; None for all.
            tag: Only jobs of the configuration with this tag; None for all.
            status: Only jobs with one of these statuses; None for all.
            created_since: Only jobs created at this time or later; aware. None for all.

        Raises:
            TypeError: If `status` is not a list of words.
            ValueError: If a status is unknown, `created_since` has no offset, or `tag`
                is not a valid tag.
            BackendError: If the backend gives no usable answer.

        Example:
            for job in tracker.list_jobs(customer_id=142, status=["failed"]):
                print(job.name, job.percent)
        """
        from trackerapi.arguments import check_name
        from trackerapi.times import as_rfc3339

        if tag is not None:
            check_name("tag", tag)
        if created_since is not None:
            as_rfc3339(created_since)
        return self._calls().list_jobs(
            provider_job_id=provider_job_id,
            customer_id=customer_id,
            tag=tag,
            status=status,
            created_since=created_since,
        )

    def watch(
        self, provider_job_id: str, *, until_done: bool = True
    ) -> "Generator[Job]":
        """Iterate over the states of a job: the present state, then each newer state.

        A state arrives within a second of its report, by a stream of the backend; if no
        stream can be read, the backend is asked each 5 s. A slow reader gets the newest
        state and skips older states; `version` grows with each state. After the first
        state, the loop goes on over restarts of the backend and lost connections.

        The end of the loop, or `close()` of the generator, closes the connection.

        Args:
            provider_job_id: Your own id of the job; 1 to 200 characters.
            until_done: True ends the loop after the state in which the job has
                succeeded, failed or was cancelled. False goes on: a job may be
                reopened.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If `provider_job_id` is out of range.
            BackendRejected: If this provider has no such job, or not any more.
            AuthenticationError: If the key is refused, also during the loop.
            BackendError: If the backend gives no usable answer to the first request.

        Example:
            for state in tracker.watch("import-42"):
                print(state.status, state.percent)
        """
        from trackerapi.jobs.watching import states_of

        return states_of(job_watch(self, provider_job_id, until_done=until_done))

    def register_job_config(self, config: "JobConfig") -> "RegisteredJobConfig":
        """Store a job configuration at the backend before the first job needs it.

        This call is optional: `create_job()` also sends the configuration.

        Args:
            config: The configuration.

        Raises:
            TypeError: If `config` is not a `JobConfig`.
            BackendRejected: If the same version is stored with other content; the error
                contains the difference.
            BackendError: If the backend gives no usable answer.
        """
        from trackerapi.config.job_config import check_config

        document = check_config(config).as_document()
        return self._calls().register_job_configuration(document)

    def verify_api_key(self) -> "ApiKeyOwner":
        """Ask the backend for the owner and the scopes of the key.

        Raises:
            AuthenticationError: If the key is refused.
            BackendError: If the backend gives no usable answer.
        """
        return self._calls().verify_api_key()

    @property
    def base_url(self) -> str:
        """Address of the backend, without a trailing slash."""
        return self._settings.base_url

    @property
    def client(self) -> "BackendClient":
        """Generated client with the key, timeouts and retries of this tracker.

        For operations of the backend beyond this class; pass it to any generated
        call, such as `trackerapi_client.api.jobs.list_jobs.sync(client=...)`.
        """
        return self._connection().client

    @property
    def admin(self) -> "Administration":
        """Keys, customers and stored configurations; needs a key with `admin`."""
        from trackerapi.administration import Administration

        return Administration(self._calls)

    def _create_at_backend(self, document: "Mapping[str, Any]") -> "Job":
        return self._connection().reporting_calls.create_job(document)

    def _handle(self, known: "KnownJob") -> "TrackerJob":
        from trackerapi.jobs.job import TrackerJob

        return TrackerJob(known, self._reporter, self._calls)

    def _connection(self) -> "Connection":
        if self._connector is None:
            from trackerapi.errors import BackendUnavailable

            raise BackendUnavailable("tracking is off; see TRACKERAPI_MODE")
        return self._connector.connection()

    def _calls(self) -> "Calls":
        return self._connection().read_calls


def job_watch(
    tracker: TrackerApi, provider_job_id: str, *, until_done: bool
) -> "JobWatch":
    """Return a watch of a job, for other modules of this library."""
    from trackerapi.jobs.watching import JobWatch

    connect = tracker._connection  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return JobWatch(provider_job_id, connect, until_done=until_done)
