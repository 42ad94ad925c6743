"""What a TrackerApi asks the backend, and the ways to all else that it can do."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Unpack

from trackerapi.texts import check_name

if TYPE_CHECKING:
    from trackerapi.administration import Administration
    from trackerapi.answers import ApiKeyOwner, Job, RegisteredJobConfig
    from trackerapi.composition import Connector
    from trackerapi.job_config import JobConfig
    from trackerapi.settings import Settings
    from trackerapi.wire.calls import Calls, JobFilter
    from trackerapi.wire.client import BackendClient
    from trackerapi.wire.connection import Connection


class TrackerQuestions:
    """Asks the backend; each question raises what went wrong.

    Args:
        settings: Where the backend is, and who asks.
        connector: Opens the connections; None where tracking is off.
    """

    def __init__(self, settings: "Settings", connector: "Connector | None") -> None:
        self._settings, self._connector = settings, connector

    def get_job(self, provider_job_id: str) -> "Job":
        """Ask how far a job is.

        Raises:
            BackendRejected: If this provider has no such job.
            BackendError: If the backend does not answer usably.
        """
        from trackerapi.job_questions import find_job

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
        from trackerapi.events import as_rfc3339

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

    def _connection(self) -> "Connection":
        if self._connector is None:
            from trackerapi.errors import BackendUnavailable

            raise BackendUnavailable("tracking is off; see TRACKERAPI_MODE")
        return self._connector.connection()

    def _calls(self) -> "Calls":
        return self._connection().questions
