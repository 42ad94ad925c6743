"""Answers of the tracker in memory to the operations that job scripts use."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NoReturn

from trackerapi.errors import BackendUnavailable
from trackerapi.models import (
    ApiKeyOwner,
    Job,
    JobEvent,
    NewJobToken,
    RegisteredJobConfig,
    ShareLink,
)
from trackerapi.process.clock import utc_now
from trackerapi.testing.faults import BASE_URL, rejected
from trackerapi.testing.history import JobHistory

if TYPE_CHECKING:
    from trackerapi.testing.fake import FakeTracker

KEY_ID: Final = "memory"
TEST_KEY: Final = f"trk_{KEY_ID}_0_0"
"""Key of the tracker in memory; `MemoryCalls` accepts any key."""

LINK_DAYS: Final = 30


class MemoryCalls:
    """Operations of job scripts, answered from memory; any other operation raises.

    Args:
        current_tracker: Function that returns the tracker of the running test; None
            between tests.
    """

    def __init__(self, current_tracker: "Callable[[], FakeTracker | None]") -> None:
        self._current_tracker = current_tracker

    def __getattr__(self, name: str) -> NoReturn:
        refuse(name)

    def verify_api_key(self) -> ApiKeyOwner:
        """Answer with the owner of the key: a test provider, with all scopes."""
        self._tracker()
        return ApiKeyOwner(
            provider_id=1,
            provider_name="Test",
            key_id=KEY_ID,
            scopes=("ingest", "read", "admin"),
            expires_at=None,
            job_id=None,
            provider_job_id=None,
        )

    def register_job_configuration(
        self, document: Mapping[str, Any]
    ) -> RegisteredJobConfig:
        """Answer as if the configuration were stored."""
        self._tracker()
        return RegisteredJobConfig(
            id=1,
            tag=document["tag"],
            name=document["name"],
            version=document.get("version"),
            revision=1,
            document=document,
            created_at=utc_now(),
        )

    def create_job(self, document: Mapping[str, Any]) -> Job:
        """Answer with a new job, or with the existing job with the same id."""
        tracker = self._tracker()
        tracker.raise_if_jobs_are_rejected()
        known = tracker.store.find(document["provider_job_id"])
        if known is None or known.creation is None or known.is_held:
            return JobHistory(tracker.store.preview(document)).as_answer()
        history = JobHistory(known)
        if history.customer_id != document["customer_id"]:
            raise rejected(409, "conflict", "The job is known, for another customer.")
        if document["tag"] not in (history.tag, history.name):
            raise rejected(
                409, "conflict", f"The job is known, with another tag: {history.tag!r}."
            )
        return history.as_answer()

    def list_jobs(
        self,
        *,
        provider_job_id: str | None = None,
        customer_id: int | None = None,
        tag: str | None = None,
        status: Sequence[str] | None = None,
        created_since: datetime | None = None,
    ) -> Iterator[Job]:
        """Answer with jobs, newest first; a filter of None matches every job."""
        wanted = {
            "provider_job_id": provider_job_id,
            "customer_id": customer_id,
            "tag": tag,
        }
        given = {name: value for name, value in wanted.items() if value is not None}
        return iter(
            [
                job
                for job in map(JobHistory.as_answer, reversed(self._histories()))
                if all(getattr(job, name) == value for name, value in given.items())
                and (created_since is None or job.created_at >= created_since)
                and (not status or job.status in status)
            ]
        )

    def get_job(self, job_id: int) -> Job:
        """Answer with one job."""
        return self._find(job_id).as_answer()

    def stream_job(self, job_id: int, last_version: int | None) -> NoReturn:  # noqa: ARG002
        """Raise: a watch then polls, with `get_job()`."""
        raise BackendUnavailable("the tracker in memory has no stream")

    def list_events(self, job_id: int) -> Iterator[JobEvent]:
        """Answer with the events of a job."""
        return iter(self._find(job_id).event_answers())

    def create_share_link(
        self,
        job_id: int,
        expires_at: datetime | None,
        *,
        label: str | None = None,
        language: str | None = None,
    ) -> tuple[ShareLink, str]:
        """Answer with a link to a page that does not exist."""
        self._find(job_id)
        now = utc_now()
        link = ShareLink(
            id=1,
            job_id=job_id,
            created_at=now,
            expires_at=expires_at or now + timedelta(days=LINK_DAYS),
            revoked_at=None,
            label=label,
            language=language,
        )
        return link, f"{BASE_URL}/s/{job_id}"

    def create_job_token(
        self,
        job_id: int,
        expires_at: datetime | None,
        label: str | None = None,  # noqa: ARG002 - only lists of keys show labels
    ) -> NewJobToken:
        """Answer with a token for the tracker in memory."""
        return NewJobToken(
            token=TEST_KEY,
            key_id=KEY_ID,
            provider_job_id=self._find(job_id).record.provider_job_id,
            expires_at=expires_at or utc_now() + timedelta(days=LINK_DAYS),
            scopes=("ingest", "read"),
        )

    def _tracker(self) -> "FakeTracker":
        tracker = self._current_tracker()
        if tracker is None:
            raise BackendUnavailable(
                "no tracker records: use the fixture `trackerapi`, or `recording()`"
            )
        tracker.raise_if_unreachable()
        return tracker

    def _histories(self) -> list[JobHistory]:
        jobs = self._tracker().store.jobs()
        return [JobHistory(job) for job in jobs if job.creation and not job.is_held]

    def _find(self, job_id: int) -> JobHistory:
        for history in self._histories():
            if history.record.number == job_id:
                return history
        raise rejected(404, "unknown-job", "No such job.")


def refuse(name: str) -> NoReturn:
    """Raise for an operation without an answer in memory.

    Raises:
        AttributeError: For a name such as `__len__`: Python looks up such names
            itself, and expects this error.
        NotImplementedError: For an operation.
    """
    if name.startswith("__"):
        raise AttributeError(name)
    raise NotImplementedError(
        f"the tracker in memory has no answer to {name}(); test that against a "
        "backend of your own: `trackerapi-backend dev`"
    )
