"""The handle by which a script reports what one job does."""

import difflib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, TypedDict, Unpack

from trackerapi.arguments import (
    check_flag,
    check_number,
    check_text,
    refuse_unknown,
)
from trackerapi.errors import BackendRejected, UnknownStepError
from trackerapi.events import (
    CONFLATED_KINDS,
    KINDS,
    Event,
    as_microseconds,
    as_rfc3339,
    compact_json,
    new_stamp,
)
from trackerapi.metadata import CHANGED_KEY, plain_json
from trackerapi.texts import (
    LONGEST_DETAIL,
    LONGEST_MESSAGE,
    LONGEST_PROVIDER_JOB_ID,
    check_name,
)

if TYPE_CHECKING:
    from trackerapi.answers import Job, JobEvent, ShareLink
    from trackerapi.job_config import JobConfig
    from trackerapi.reporter import Reporter
    from trackerapi.wire.calls import Calls

MAX_UNITS: Final = float(2**53 - 1)
"""Largest `completed` and `total`."""

_MOST_BEGINNINGS: Final = 1000


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
    """

    message: str | None
    detail: str | None
    completed: float | None
    total: float | None
    fraction: float | None
    retrying: bool
    occurred_at: datetime | None


class _Beginning(NamedTuple):
    """What events of one kind and step have in common.

    Attributes:
        members: Their JSON members behind the id, from the first comma on.
        is_conflated: Whether only the newest of them counts.
    """

    kind: str
    tag: str | None
    members: str
    is_conflated: bool


class TrackerJob:
    """Report what one job does.

    Made by `TrackerApi.create_job()` and `TrackerApi.job()`; safe to share between
    threads.

    Args:
        provider_job_id: The provider's id of the job.
        reporter: Where events go.
        calls: Returns the backend's operations; called for the first question.
        config: The job's configuration; None if this process does not know it.
        known: The job as the backend answered it at creation; None without that.
    """

    def __init__(
        self,
        provider_job_id: str,
        reporter: "Reporter",
        calls: "Callable[[], Calls]",
        config: "JobConfig | None" = None,
        known: "Job | None" = None,
    ) -> None:
        self._provider_job_id = provider_job_id
        self._reporter, self._calls, self._config = reporter, calls, config
        self._job_id = known.id if known else None
        last = known.last_occurred_at if known else None
        # Behind it, not with it: a clock that is behind gives ids that are too.
        self._not_before = as_microseconds(last) + 1 if last else 0
        # Beginnings of events, checked and encoded; each stands for all later ones.
        self._beginnings: dict[tuple[str, str | None, str | None], _Beginning] = {}
        declares = config is not None and config.metadata == "declared"
        self._takes_lines = reporter.takes_lines and not declares
        self._record_line = reporter.record_line

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a job handle belongs to its process; in the other one, make a TrackerApi "
            f"and call tracker.job({self._provider_job_id!r})"
        )

    def __repr__(self) -> str:
        return f"TrackerJob(provider_job_id={self._provider_job_id!r})"

    @property
    def provider_job_id(self) -> str:
        """The provider's id of the job."""
        return self._provider_job_id

    @property
    def config(self) -> "JobConfig | None":
        """The job's configuration; None if this process does not know it."""
        return self._config

    def send_event(
        self,
        *,
        kind: str,
        name: str | None = None,
        tag: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        **details: Unpack[EventDetails],
    ) -> str:
        """Report one event.

        Args:
            kind: start, progress, step (done), skip, error, complete, cancel, info or
                heartbeat; a word of your own is shown like info.
            name: Tag or unambiguous display name of the step; None for the job.
            tag: The same as `name`; give one of them.
            metadata: Values for the timeline. What JSON cannot hold or what is beyond
                50 keys, 8 KiB or five levels is converted or cut, and marked.
            **details: See `EventDetails`.

        Returns:
            The id of the event, by which the backend knows repeats.

        Raises:
            TypeError: If an argument is of the wrong type.
            ValueError: If an argument is out of range, or, with `strict`, if metadata
                does not fit.
            UnknownStepError: With `strict`, if the configuration has no such step, or
                the kind looks misspelt.
            OutboxError: With `strict`, if the outbox cannot be written.
        """
        if self._reporter.is_off:
            return ""
        begin = self._beginnings.get((kind, name, tag))
        if begin is None:
            begin = self._beginning(kind, name, tag)
        if details or not self._takes_lines or begin.is_conflated:
            return self._record(begin, metadata, details)
        # The way of nearly every event: in few steps, since after a pause of the job
        # each of them finds the processor's caches cold.
        text = ""
        if metadata is not None:
            plain = plain_json(metadata)
            if plain is None:
                return self._record(begin, metadata, details)
            text = f',"event_metadata":{plain}'
        event_id, occurred_at = new_stamp(self._not_before)
        line = (
            f'{{"event_id":"{event_id}"{begin.members}{text}'
            f',"occurred_at":"{occurred_at}"}}\n'
        )
        self._record_line(line.encode("ascii"), self._provider_job_id, begin.tag)
        return event_id

    def _record(
        self,
        begin: "_Beginning",
        metadata: Mapping[str, Any] | None,
        details: EventDetails,
    ) -> str:
        refuse_unknown("send_event", details.keys(), EventDetails.__optional_keys__)
        event_id, occurred_at = new_stamp(self._not_before)
        given = details.get("occurred_at")
        event = Event(
            event_id=event_id,
            provider_job_id=self._provider_job_id,
            kind=begin.kind,
            occurred_at=occurred_at if given is None else as_rfc3339(given),
            tag=begin.tag,
            metadata=self._declared(
                self._reporter.fitting(metadata, self._provider_job_id), begin.tag
            ),
            completed=check_number("completed", details.get("completed"), MAX_UNITS),
            total=check_number("total", details.get("total"), MAX_UNITS),
            fraction=check_number("fraction", details.get("fraction"), 1.0),
            retrying=check_flag("retrying", details.get("retrying", False)),
            message=check_text("message", details.get("message"), LONGEST_MESSAGE),
            detail=check_text("detail", details.get("detail"), LONGEST_DETAIL),
        )
        self._reporter.record(event, self._declared)
        return event_id

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
        return self._calls().list_events(self._id())

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

    def _id(self) -> int:
        return self.fetch().id if self._job_id is None else self._job_id

    def _beginning(self, kind: str, name: str | None, tag: str | None) -> "_Beginning":
        """Check and encode what events of one kind and step have in common."""
        checked, step = self._checked_kind(kind), self._step_tag(name, tag)
        common = {"provider_job_id": self._provider_job_id, "kind": checked}
        if step is not None:
            common["tag"] = step
        members = f",{compact_json(common)[1:-1]}"
        begin = _Beginning(checked, step, members, checked in CONFLATED_KINDS)
        if len(self._beginnings) < _MOST_BEGINNINGS:
            self._beginnings[kind, name, tag] = begin
        return begin

    def _declared(
        self, metadata: dict[str, Any] | None, tag: str | None
    ) -> dict[str, Any] | None:
        """Leave out what a configuration with `metadata: declared` does not declare."""
        declared = self._config.declared_keys(tag) if self._config else None
        if not metadata or declared is None:
            return metadata
        undeclared = sorted(metadata.keys() - declared - {CHANGED_KEY})
        if undeclared:
            self._reporter.problems.tell(
                "metadata",
                f"metadata of step {tag!r} is not declared in its configuration; it "
                f"was left out: {', '.join(undeclared[:5])}",
                str(tag),
            )
        kept = {key: metadata[key] for key in metadata if key in declared}
        changed = [key for key in metadata.get(CHANGED_KEY, ()) if key in declared]
        if changed:
            kept[CHANGED_KEY] = changed
        return kept or None

    def _checked_kind(self, kind: str) -> str:
        check_name("kind", kind)
        if kind not in KINDS:
            near = difflib.get_close_matches(kind.lower(), KINDS, n=1, cutoff=0.75)
            if near:
                self._complain(UnknownStepError(kind, near[0], what="event kind"))
        return kind

    def _step_tag(self, name: str | None, tag: str | None) -> str | None:
        if name is not None and tag is not None and name != tag:
            raise ValueError(f"name={name!r} and tag={tag!r} name different steps")
        given = tag if name is None else name
        if given is None:
            return None
        check_name("name" if tag is None else "tag", given)
        if self._config is None:
            return given
        step = self._config.find_step(given)
        if step is not None:
            return step.tag
        near = self._config.nearest_step(given)
        self._complain(UnknownStepError(given, near, job_tag=self._config.tag))
        return given

    def _complain(self, error: UnknownStepError) -> None:
        if self._reporter.strict:
            raise error
        message = f"{error}; it is sent as it is and counts for nothing"
        self._reporter.problems.tell(error.what, message, error.name)


def find_job(calls: "Calls", provider_job_id: str) -> "Job":
    """Return the job with the provider's id.

    Raises:
        BackendRejected: If this provider has no such job.
        BackendError: If the backend does not answer usably.
    """
    check_name("provider_job_id", provider_job_id, LONGEST_PROVIDER_JOB_ID)
    for job in calls.list_jobs(provider_job_id=provider_job_id):
        return job
    raise BackendRejected(f"this provider has no job {provider_job_id!r}")
