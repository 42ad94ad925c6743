"""TrackerApi: settings, jobs and read calls of one provider.

Modules are imported where they are first needed: importing this one costs next to
nothing, and httpx is loaded with the first request.
"""

import weakref
from typing import TYPE_CHECKING, Any, Self, Unpack, overload

from trackerapi.arguments import check_name
from trackerapi.jobs.options import JobOptions, RunOptions, TrackerOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from trackerapi.administration import Administration
    from trackerapi.config.job_config import JobConfig
    from trackerapi.delivery.report import DeliveryReport
    from trackerapi.jobs.decorators import Function
    from trackerapi.jobs.job import TrackerJob
    from trackerapi.jobs.opening import KnownJob
    from trackerapi.models import ApiKeyOwner, Job, RegisteredJobConfig
    from trackerapi.wire.calls import Calls, JobFilter
    from trackerapi.wire.client import BackendClient
    from trackerapi.wire.connection import Connection

LONGEST_FLUSH_SECONDS = 1e9


class TrackerApi:
    """Report what jobs do, and ask the backend about them.

    Making one does no network I/O. Every call that reports returns once the event is
    in the outbox, whether or not the backend can be reached; a background thread
    delivers it. What is undelivered at `close()`, or at the end of the process, stays
    in the outbox for the next process.

    Safe to share between threads and across a fork.

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
        # What reports need is loaded before the work: later no descriptor may be left
        # to load a module with, or the installation may be gone.
        from trackerapi.arguments import check_callable, refuse_unknown
        from trackerapi.composition import SEAM
        from trackerapi.config import manager
        from trackerapi.jobs import job, opening
        from trackerapi.problems import Problems

        del job, manager, opening
        refuse_unknown("TrackerApi", options.keys(), TrackerOptions.__optional_keys__)
        before_send = options.pop("before_send", None)
        on_problem = options.pop("on_problem", None)
        check_callable("before_send", before_send)
        check_callable("on_problem", on_problem)
        arguments = {"api_key": api_key, "base_url": base_url, **options}
        parts = SEAM.make(arguments, Problems(on_problem), before_send)
        self._settings, self._connector = parts.settings, parts.connector
        self._delivery, self._reporter = parts.delivery, parts.reporter
        if self._delivery is not None:
            # Job handles may outlive this object; with the last of them, delivery ends.
            retire = weakref.finalize(self._reporter, self._delivery.retire)
            retire.atexit = False

    def __repr__(self) -> str:
        return f"TrackerApi(base_url={self._settings.base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Deliver what waits, then close the connections; a later call opens new ones.

        Waits at most `shutdown_timeout`, and not at all when the backend is known to
        be down; what stays is delivered by the next process. Raises nothing.
        """
        self._reporter.deliver_last()
        if self._connector is not None:
            self._connector.close()

    def flush(self, timeout: float = 10.0) -> "DeliveryReport":
        """Deliver what waits, also what earlier processes have left; wait for it.

        Args:
            timeout: Longest wait in seconds, 0 or more.

        Returns:
            What was delivered and what was not; nothing waits if `waiting` is 0.

        Raises:
            TypeError: If `timeout` is no number.
            ValueError: If it is below 0.
        """
        from trackerapi.arguments import check_number
        from trackerapi.delivery.report import DeliveryReport

        check_number("timeout", timeout, LONGEST_FLUSH_SECONDS)
        if self._delivery is None:
            return DeliveryReport()
        return self._delivery.flush(timeout)

    def delivery(self) -> "DeliveryReport":
        """Tell how far delivery is, without waiting and without any request."""
        from trackerapi.delivery.report import DeliveryReport

        return DeliveryReport() if self._delivery is None else self._delivery.report()

    def create_job(
        self,
        provider_job_id: str,
        customer_id: int,
        tag: str,
        **options: Unpack[JobOptions],
    ) -> "TrackerJob":
        """Create a job, or attach to the one that has this id already.

        A restart that passes the same id, customer and tag goes on with its job, which
        reads running at once. One attempt is made, of at most 3 s. Where it brings no
        answer, the creation waits in the outbox; where the backend refuses the job, it
        runs on, and what it reports is held until `trackerapi outbox retry`.

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
            AuthenticationError: With `strict`, if the key was refused.
            BackendRejected: With `strict`, if the job was refused: unknown customer,
                or known with another customer or tag.
            OutboxError: With `strict`, if the outbox cannot be written.
        """
        from trackerapi.arguments import LONGEST_PROVIDER_JOB_ID, refuse_unknown
        from trackerapi.jobs.job import TrackerJob
        from trackerapi.jobs.opening import (
            KnownJob,
            NewJob,
            checked_finish,
            checked_id,
            create,
            find_config,
            job_metadata,
        )

        refuse_unknown("create_job", options.keys(), JobOptions.__optional_keys__)
        check_name("provider_job_id", provider_job_id, LONGEST_PROVIDER_JOB_ID)
        check_name("tag", tag)
        config = find_config(tag, options.get("config"), self._reporter)
        new = NewJob(
            provider_job_id=provider_job_id,
            customer_id=checked_id("customer_id", customer_id),
            tag=config.tag if config else tag,
            configuration=config.as_document() if config else None,
            finish=checked_finish(options.get("finish", "auto")),
            metadata=job_metadata(
                options.get("metadata"), config, provider_job_id, self._reporter
            ),
        )
        answer = None
        if self._delivery is not None:
            is_online = self._settings.mode == "online"
            attempt = self._create_at_backend if is_online else None
            answer = create(new, attempt, self._delivery, self._reporter)
        known = KnownJob(
            provider_job_id=provider_job_id,
            config=config,
            answer=answer,
            finish=new.finish,
            on_sigterm=self._settings.on_sigterm,
        )
        job = TrackerJob(known, self._reporter, self._calls)
        if answer is not None and answer.event_count and answer.status != "succeeded":
            job.restart()
        return job

    def run_job(
        self,
        provider_job_id: str,
        customer_id: int,
        tag: str,
        **options: Unpack[RunOptions],
    ) -> "TrackerJob":
        """Create a job, or attach to it, to be run as a block.

        Like `create_job()` with `finish="explicit"`: the job succeeds when the block
        ends, not when its last step is done. An exception, Ctrl-C or SIGTERM ends the
        block as failed, cancelled or interrupted, and goes on untouched.

        Args:
            provider_job_id: Your own id of the job, unique for you; 1 to 200
                characters.
            customer_id: The customer for whom the job is run; 1 to 2**53 - 1.
            tag: Tag, or unambiguous display name, of the job's configuration.
            **options: See `RunOptions`.

        Raises:
            TypeError: As `create_job()`, and so are the others.

        Example:
            with tracker.run_job("import-42", customer_id=142, tag="import") as job:
                for file in job.track(files, step="load"):
                    load(file)
        """
        from trackerapi.arguments import refuse_unknown

        refuse_unknown("run_job", options.keys(), RunOptions.__optional_keys__)
        return self.create_job(
            provider_job_id, customer_id, tag, finish="explicit", **options
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
        **options: Unpack[RunOptions],
    ) -> "Callable[[Function], Function]": ...

    def job(self, *name: str, **given: Any) -> Any:
        """Return a handle for a job that exists already, or a decorator for new ones.

        With `customer_id`, a decorator: each call of the function runs as a job, as
        in a block of `run_job()`. Without it, a handle, made without a request.

        Args:
            *name: For a handle, your own id of the job, 1 to 200 characters; for a
                decorator, the tag or display name of the configuration.
            **given: For a handle, `tag`, by which steps are checked if a
                `JobConfigManager` of this process loaded it. For a decorator,
                `provider_job_id` and `customer_id`, or functions that return them
                from the arguments of the call, and `RunOptions`.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If an argument is out of range.

        Example:
            @tracker.job("my_job", provider_job_id=lambda study: study, customer_id=142)
            def pipeline(study):
                load(study)
        """
        from trackerapi.jobs.opening import decorator, look_up

        if "customer_id" in given or (name and "provider_job_id" in given):
            return decorator(self.run_job, *name, **given)
        return self._handle(look_up(*name, **given))

    def attach(
        self, token: str | None = None, *, part: str | None = None
    ) -> "TrackerJob":
        """Return a handle for a job that another place has begun, without a request.

        What the places count of a step adds up. The end of the handle's block leaves
        the job running, unless it fails.

        Args:
            token: What `TrackerJob.token()` returned there, or the provider's id of
                the job; None reads `TRACKERAPI_JOB`. A tracker made without a key
                takes that of the token in `TRACKERAPI_JOB`.
            part: Name under which this place counts; the same one after a restart
                goes on where it was. None makes one that no other handle has.

        Raises:
            SettingsError: If there is none.
            TypeError: If an argument is of the wrong type.
            ValueError: If an argument is out of range.
        """
        from trackerapi.jobs.opening import attach

        return self._handle(attach(token, part))

    def get_job(self, provider_job_id: str) -> "Job":
        """Ask how far a job is.

        Raises:
            BackendRejected: If this provider has no such job.
            BackendError: If the backend does not answer usably.
        """
        from trackerapi.jobs.opening import find_job

        return find_job(self._calls(), provider_job_id)

    def list_jobs(self, **wanted: "Unpack[JobFilter]") -> "Iterator[Job]":
        """Iterate over the provider's jobs, newest first, page by page.

        Args:
            **wanted: See `JobFilter`; all jobs without one.

        Raises:
            ValueError: If a status is unknown, a time has no offset, or a tag can be
                none.
            BackendError: If the backend does not answer usably.
        """
        from trackerapi.times import as_rfc3339

        tag = wanted.get("tag")
        if tag is not None:
            check_name("tag", tag)
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
        from trackerapi.config.job_config import check_config

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
