"""Sender of the events of one job: checks, encodes and records each event.

The callers decide which event to send: `JobWork`, `StepWork` and the script itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from trackerapi.arguments import check_name
from trackerapi.config.job_config import declared_keys
from trackerapi.config.nearest import nearest_tag
from trackerapi.errors import UnknownStepError
from trackerapi.events.event import (
    DETAIL_CHECKS,
    KINDS,
    Event,
    compact_json,
    kind_of,
    similar_kind,
)
from trackerapi.events.metadata import CHANGED_KEY, plain_json
from trackerapi.events.projection import JobProgress, meaning
from trackerapi.events.stamps import new_stamp
from trackerapi.problems import (
    EVENT_KIND,
    METADATA,
    STEP,
    ProblemKind,
    metadata_undeclared,
    unknown_name,
    unsuitable_kind,
)

if TYPE_CHECKING:
    from trackerapi.config.job_config import JobConfig
    from trackerapi.jobs.reporter import Reporter
    from trackerapi.jobs.state import KnownJob

_MAX_PREFIXES: Final = 1000

Details = Mapping[str, Any]
"""Fields of an `Event` except kind, tag and metadata, such as `message`."""

NO_DETAILS: Final[Details] = {}


@dataclass(slots=True, kw_only=True)
class _Prefix:
    """Encoded begin of all events of one kind and step.

    Attributes:
        kind: Name of the kind.
        tag: Tag of the step; None for the job.
        members: JSON text between the id and the metadata; begins with a comma.
        is_conflated: Whether a newer event replaces a pending older event.
        moves_status: Whether events can change the status of the job or step.
    """

    kind: str
    tag: str | None
    members: str
    is_conflated: bool
    moves_status: bool


class EventSender:
    """Sends the events of one job; safe to share between threads.

    Args:
        known: Facts about the job at the time when the handle is made.
        reporter: Writes the events to the outbox.

    Attributes:
        known: Facts about the job at the time when the handle is made.
        reporter: Writes the events to the outbox.
        provider_job_id: The provider's id of the job.
        config: The job's configuration; None if this process has not loaded it.
        part: Name of the part that an attached handle counts; None for any other
            handle.
        state: State of the job, which all handles of the job in this process share.
        progress: Progress of the job, from the events that this process has sent or
            read; belongs to `state`.
    """

    def __init__(self, known: "KnownJob", reporter: "Reporter") -> None:
        self.known, self.reporter = known, reporter
        self.provider_job_id = known.provider_job_id
        self.state = reporter.job_states.join(known)
        self.config: JobConfig | None = known.config or self.state.known.config
        self.part = known.part
        self.progress = self.state.progress
        self._open_steps = self.state.open_steps
        self._not_before = self.state.known.first_moment
        # Each prefix is checked and encoded once, then used for all later events of the
        # same kind and step.
        self._prefixes: dict[tuple[str, str | None, str | None], _Prefix] = {}
        declares = self.config is not None and self.config.metadata == "declared"
        # Copies of the reporter's attributes save time in `send()`.
        self._is_off = reporter.is_off
        self._takes_lines = reporter.takes_lines and not declares
        self._record_line = reporter.record_line
        self._has_offered = self._has_recalled = False

    def send(
        self,
        kind: str,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        tag: str | None = None,
        details: Details = NO_DETAILS,
    ) -> str:
        """Record one event; return its id. See `TrackerJob.send_event()`.

        Args:
            kind: Kind of the event.
            name: Tag or display name of the step; None for the job.
            metadata: Values for the timeline.
            tag: Alias of `name`.
            details: Other fields of the event.
        """
        if self._is_off:
            return ""
        try:
            prefix = self._prefixes[kind, name, tag]
        except (KeyError, TypeError):
            # An unhashable argument raises TypeError. `_new_prefix()` then raises an
            # error that names the argument.
            prefix = self._new_prefix(kind, name, tag)
        if self._has_offered and not prefix.is_conflated:
            # Write the pending count before this event: the count is older.
            self.reporter.write_pending(self.provider_job_id, prefix.tag)
        if details or not self._takes_lines or prefix.is_conflated:
            return self._record(prefix, metadata, details)
        # Nearly every event takes this path. It has few instructions: after a pause of
        # the job, the caches of the processor are cold, and each instruction is slow.
        text = ""
        if metadata is not None:
            plain = plain_json(metadata)
            if plain is None:
                return self._record(prefix, metadata, details)
            text = f',"event_metadata":{plain}'
        event_id, occurred_at = new_stamp(self._not_before)
        line = (
            f'{{"event_id":"{event_id}"{prefix.members}{text}'
            f',"occurred_at":"{occurred_at}"}}\n'
        )
        self._record_line(line.encode("ascii"), self.provider_job_id, prefix.tag)
        if prefix.moves_status and (
            self._open_steps or not self.progress.repeats(prefix.kind, prefix.tag)
        ):
            self._apply(prefix.kind, prefix.tag)
        return event_id

    def offer_progress(self, tag: str, newest: Callable[[], Details]) -> None:
        """Report the progress of a step, now or within a second.

        Args:
            tag: Tag of the step.
            newest: Function that returns the details of the event. It is called when
                the event is written, at most once a second.
        """
        if self._is_off:
            return
        prefix = self._new_prefix("progress", tag, None)
        self._has_offered = True

        def make() -> Event:
            details = newest()
            self._apply("progress", tag, details)
            return self._event(prefix, None, details)

        key = (self.provider_job_id, tag, "progress", self.part)
        self.reporter.offer(key, make, self._keep_declared)

    def recall(self) -> JobProgress:
        """Return the progress of the job, including events of earlier processes.

        The first call reads the outbox: the backend's answer to the creation of the job
        lacks events that were undelivered at that time.
        """
        if not self._has_recalled:
            self.state.recall(self.reporter.events_of(self.provider_job_id))
            # Set the flag last: until then, a second thread also reads the outbox, and
            # does not return incomplete progress. Adding the same events twice changes
            # nothing.
            self._has_recalled = True
        return self.progress

    def is_ready(self, tag: str) -> bool:
        """Return whether a step may begin; see `TrackerStep.is_ready`."""
        progress = self.recall()
        is_begun = tag in self._open_steps or progress.are_settled([tag])
        if is_begun or progress.has_ended:
            return False
        before: tuple[str, ...] = ()
        config = self.state.known.config
        for step in config.step_configurations if config else ():
            if step.tag == tag:
                after = before if step.after is None else step.after
                return progress.are_settled(after)
            before = (step.tag,)
        return True

    def step_tag(self, name: str) -> str:
        """Return the tag of the step with a tag or display name.

        Raises:
            TypeError: If `name` is not text.
            ValueError: If `name` is blank, too long or contains control characters.
            UnknownStepError: With `strict`, if the configuration has no such step.
        """
        if self._is_off:
            return name
        return self._find_tag(check_name("name", name), None) or name

    def _record(
        self,
        prefix: _Prefix,
        metadata: Mapping[str, Any] | None,
        details: Details,
    ) -> str:
        event = self._event(prefix, metadata, details)
        self.reporter.record(event, self._keep_declared)
        if prefix.moves_status:
            self._apply(prefix.kind, prefix.tag, details)
        return event.event_id

    def _event(
        self,
        prefix: _Prefix,
        metadata: Mapping[str, Any] | None,
        details: Details,
    ) -> Event:
        event_id, now = new_stamp(self._not_before)
        checked = {
            name: DETAIL_CHECKS[name](name, value)
            for name, value in details.items()
            if value is not None
        }
        checked.setdefault("occurred_at", now)
        fitting = self.reporter.fit_metadata(metadata, self.provider_job_id)
        return Event(
            event_id=event_id,
            provider_job_id=self.provider_job_id,
            kind=prefix.kind,
            tag=prefix.tag,
            metadata=self._keep_declared(fitting, prefix.tag),
            **checked,
        )

    def _apply(self, kind: str, tag: str | None, details: Details = NO_DETAILS) -> None:
        """Apply an event to the progress, and show the event in the view."""
        kind = meaning(kind, tag)
        self.state.take(kind, tag, details)
        show_event = self.reporter.show_event
        if show_event is not None:
            show_event(self.state, kind, tag)

    def _new_prefix(self, kind: str, name: str | None, tag: str | None) -> _Prefix:
        """Check kind and step; return the encoded begin of all their events."""
        checked, step = self._check_kind(kind), self._find_tag(name, tag)
        what = kind_of(checked)
        if what.needs_step if step is None else what.is_of_job:
            message = unsuitable_kind(checked, needs_step=step is None)
            self.reporter.problems.report(EVENT_KIND, message, checked)
        common = {"provider_job_id": self.provider_job_id, "kind": checked}
        if step is not None:
            common["tag"] = step
        prefix = _Prefix(
            kind=checked,
            tag=step,
            members=f",{compact_json(common)[1:-1]}",
            is_conflated=what.is_conflated,
            moves_status=what.moves_status,
        )
        if len(self._prefixes) < _MAX_PREFIXES:
            self._prefixes[kind, name, tag] = prefix
        return prefix

    def _keep_declared(
        self, metadata: dict[str, Any] | None, tag: str | None
    ) -> dict[str, Any] | None:
        """Return the declared metadata; all if the configuration allows any key."""
        declared = declared_keys(self.config, tag) if self.config else None
        if not metadata or declared is None:
            return metadata
        undeclared = sorted(metadata.keys() - declared - {CHANGED_KEY})
        if undeclared:
            message = metadata_undeclared(tag, undeclared)
            self.reporter.problems.report(METADATA, message, str(tag))
        kept = {key: metadata[key] for key in metadata if key in declared}
        changed = [key for key in metadata.get(CHANGED_KEY, ()) if key in declared]
        if changed:
            kept[CHANGED_KEY] = changed
        return kept or None

    def _check_kind(self, kind: str) -> str:
        check_name("kind", kind)
        if kind not in KINDS:
            near = similar_kind(kind)
            if near:
                error = UnknownStepError(kind, near, what="event kind")
                self._raise_or_log(EVENT_KIND, error)
        return kind

    def _find_tag(self, name: str | None, tag: str | None) -> str | None:
        if name is not None and tag is not None and name != tag:
            raise ValueError(f"name={name!r} and tag={tag!r} name different steps")
        given = tag if name is None else name
        if given is None:
            return None
        check_name("name" if tag is None else "tag", given)
        if self.config is None:
            return given
        step = self.config.find_step(given)
        if step is not None:
            return step.tag
        near = nearest_tag(self.config.step_configurations, given)
        self._raise_or_log(STEP, UnknownStepError(given, near, job_tag=self.config.tag))
        return given

    def _raise_or_log(self, kind: ProblemKind, error: UnknownStepError) -> None:
        if self.reporter.strict:
            raise error
        self.reporter.problems.report(kind, unknown_name(error), error.name)
