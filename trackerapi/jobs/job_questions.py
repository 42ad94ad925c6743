"""What a job handle asks the backend about its job."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from trackerapi.errors import BackendRejected
from trackerapi.events.job_facts import NO_FACTS, JobFacts
from trackerapi.jobs.sending import JobEvents
from trackerapi.models import check_subject
from trackerapi.texts import LONGEST_PROVIDER_JOB_ID, check_name
from trackerapi.times import as_rfc3339

if TYPE_CHECKING:
    from trackerapi.jobs.reporter import Reporter
    from trackerapi.models import Job, JobEvent, ShareLink
    from trackerapi.wire.calls import Calls


class JobQuestions(JobEvents):
    """Asks about one job, and sends its events.

    Args:
        provider_job_id: The provider's id of the job.
        reporter: Where events go.
        calls: Returns the backend's operations; called for the first question.
        facts: What else is known of the job.
    """

    def __init__(
        self,
        provider_job_id: str,
        reporter: "Reporter",
        calls: "Callable[[], Calls]",
        facts: JobFacts = NO_FACTS,
    ) -> None:
        super().__init__(provider_job_id, reporter, facts)
        self._calls = calls
        self._job_id = facts.known.id if facts.known else None

    def fetch(self) -> "Job":
        """Ask the backend how far the job is.

        Raises:
            BackendError: If it does not answer usably, or does not know the job.
        """
        calls = self._calls()
        if self._job_id is not None:
            return calls.get_job(self._job_id)
        job = find_job(calls, self._provider_job_id)
        self._job_id = job.id
        return job

    def events(self) -> "Iterator[JobEvent]":
        """Iterate over the job's events in order of arrival, page by page.

        Raises:
            BackendError: If the backend does not answer usably.
        """
        return map(self._own, self._calls().list_events(self._id()))

    def share_link(self, *, expires_at: datetime | None = None) -> str:
        """Make a link to the customer's page of this job.

        Each call makes a new link; its address is shown this once.

        Args:
            expires_at: When the link ends; aware. None for the backend's default of
                30 days.

        Raises:
            ValueError: If `expires_at` has no offset.
            BackendError: If the backend does not answer usably.
        """
        if expires_at is not None:
            as_rfc3339(expires_at)
        return self._calls().create_share_link(self._id(), expires_at)[1]

    def share_links(self) -> "Iterator[ShareLink]":
        """Iterate over the links to this job, newest first, without addresses.

        Raises:
            BackendError: If the backend does not answer usably.
        """
        return self._calls().list_share_links(self._id())

    def revoke_share_link(self, share_link_id: int) -> "ShareLink":
        """End a link at once.

        Args:
            share_link_id: Its `ShareLink.id`.

        Raises:
            BackendError: If the backend does not answer usably or knows no such link.
        """
        return self._calls().revoke_share_link(share_link_id)

    def token(self, *, expires_at: datetime | None = None) -> str:
        """Make a credential for this job alone, for `TrackerApi.attach()` elsewhere.

        It reports to this job and asks about it, and can do nothing else. Treat it
        as a secret; `tracker.admin.expire_api_key()` ends it.

        Args:
            expires_at: When it ends; aware. None for the backend's default.

        Raises:
            ValueError: If `expires_at` has no offset.
            BackendError: If the backend does not answer usably.
        """
        from trackerapi.settings.job_token import JobToken

        if expires_at is not None:
            as_rfc3339(expires_at)
        made = self._calls().create_job_token(self._id(), expires_at)
        check_subject(made.provider_job_id, self._provider_job_id)
        tag = self._config.tag if self._config else None
        return JobToken(made.token, self.provider_job_id, tag).as_text()

    def _own(self, event: "JobEvent") -> "JobEvent":
        check_subject(event.provider_job_id, self._provider_job_id)
        return event

    def _id(self) -> int:
        return self.fetch().id if self._job_id is None else self._job_id


def find_job(calls: "Calls", provider_job_id: str) -> "Job":
    """Return the job with the provider's id.

    Raises:
        BackendRejected: If this provider has no such job.
        BackendError: If the backend does not answer usably.
    """
    check_name("provider_job_id", provider_job_id, LONGEST_PROVIDER_JOB_ID)
    for job in calls.list_jobs(provider_job_id=provider_job_id):
        check_subject(job.provider_job_id, provider_job_id)
        return job
    raise BackendRejected(f"this provider has no job {provider_job_id!r}")
