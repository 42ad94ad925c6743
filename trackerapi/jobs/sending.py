"""Sending events of one job: what all handles of a job have in common.

An event is checked, encoded and handed to the reporter here; what it means for a step
or a job is said by whoever sends it.
"""

import difflib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, Unpack

from trackerapi.arguments import (
    LONGEST_DETAIL,
    LONGEST_MESSAGE,
    check_flag,
    check_name,
    check_number,
    check_text,
    refuse_unknown,
)
from trackerapi.errors import UnknownStepError
from trackerapi.events.event import (
    CONFLATED_KINDS,
    JOB_KINDS,
    KINDS,
    STEP_KINDS,
    Event,
    compact_json,
)
from trackerapi.events.metadata import CHANGED_KEY, plain_json
from trackerapi.events.projection import (
    CLOSING_KINDS,
    MOVING_KINDS,
    JobProgress,
    meaning,
)
from trackerapi.events.stamps import new_stamp
from trackerapi.jobs.options import MAX_UNITS, EventDetails
from trackerapi.problems import (
    EVENT_KIND,
    METADATA,
    STEP,
    ProblemKind,
    metadata_undeclared,
    unknown_name,
    unsuitable_kind,
)
from trackerapi.times import as_rfc3339

if TYPE_CHECKING:
    from trackerapi.config.job_config import JobConfig
    from trackerapi.jobs.opening import KnownJob
    from trackerapi.jobs.reporter import Reporter

_MOST_BEGINNINGS: Final = 1000
_NOTHING: Final[Mapping[str, Any]] = {}


class _Beginning(NamedTuple):
    """What events of one kind and step have in common.

    Attributes:
        members: Their JSON members behind the id, from the first comma on.
        is_conflated: Whether only the newest of them counts.
        is_moving: Whether they can change a status.
    """

    kind: str
    tag: str | None
    members: str
    is_conflated: bool
    is_moving: bool


class JobEvents:
    """Sends events of one job; safe to share between threads.

    Args:
        known: Facts about the job.
        reporter: Where events go.

    Attributes:
        part: Name under which this place counts; None where it counts alone.
        progress: How far the job is, as far as this process knows.
        begun: Tags of the steps that this process has begun and not ended.
    """

    def __init__(self, known: "KnownJob", reporter: "Reporter") -> None:
        config = known.config
        self._provider_job_id = known.provider_job_id
        self._reporter, self._config = reporter, config
        self.part = known.part
        self._not_before = known.first_moment
        # Beginnings of events, checked and encoded; each stands for all later ones.
        self._beginnings: dict[tuple[str, str | None, str | None], _Beginning] = {}
        declares = config is not None and config.metadata == "declared"
        self._takes_lines = reporter.takes_lines and not declares
        self._record_line = reporter.record_line
        self._has_offered = False
        self._known, self._is_recalled = known, False
        self.progress = known.progress()
        self.begun: set[str] = set()

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

    def recall(self) -> JobProgress:
        """Return how far the job is, with what earlier processes have left here.

        Reads the outbox once: what was not delivered before the job was created is
        not in the backend's answer.
        """
        if not self._is_recalled:
            events = self._reporter.events_of(self._provider_job_id)
            earlier = self._known.progress_after(events)
            # Not in its place: what a disk refused is in no file, and yet was done.
            self.progress.add_earlier(earlier, self._known.progress())
            # Only now: a thread that asks meanwhile reads the outbox itself, instead
            # of getting an answer that lacks it. Twice adds nothing.
            self._is_recalled = True
        return self.progress

    def send_event(
        self,
        kind: str,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        *,
        tag: str | None = None,
        **details: Unpack[EventDetails],
    ) -> str:
        """Report one event.

        Args:
            kind: start, progress, step (done), skip, error, complete, cancel,
                interrupt, info or heartbeat; a word of your own is shown like info.
            name: Tag or unambiguous display name of the step; None for the job.
            metadata: Values for the timeline. What JSON cannot hold or what is beyond
                50 keys, 8 KiB or five levels is converted or cut, and marked.
            tag: The same as `name`; give one of them.
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
        if self._has_offered and not begin.is_conflated:
            # First: what it still has to say happened before this event.
            self._reporter.release(self._provider_job_id, begin.tag)
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
        if begin.is_moving and (
            self.begun or not self.progress.repeats(begin.kind, begin.tag)
        ):
            self._moved(begin.kind, begin.tag)
        return event_id

    def offer_progress(self, tag: str, newest: Callable[[], EventDetails]) -> None:
        """Report how far a step is, now or within a second.

        Args:
            tag: Tag of the step.
            newest: Returns the details of the event when it is written, of which
                there is one a second.
        """
        if self._reporter.is_off:
            return
        begin = self._beginning("progress", tag, None)
        self._has_offered = True

        def make() -> Event:
            details = newest()
            self._moved("progress", tag, details)
            return self._event(begin, None, details)

        key = (self._provider_job_id, tag, "progress", self.part)
        self._reporter.offer(key, make, self._declared)

    def post(self, work: Callable[[], object]) -> None:
        """Have the thread of the tracker do `work`, in the order of these calls."""
        self._reporter.post(work)

    def step_tag(self, name: str) -> str:
        """Return the tag of the step that `name` means.

        Raises:
            TypeError: If `name` is no text.
            ValueError: If it can be no name.
            UnknownStepError: With `strict`, if the configuration has no such step.
        """
        if self._reporter.is_off:
            return name
        return self._named_step(check_name("name", name), None) or name

    def _record(
        self,
        begin: "_Beginning",
        metadata: Mapping[str, Any] | None,
        details: EventDetails,
    ) -> str:
        refuse_unknown("send_event", details.keys(), EventDetails.__optional_keys__)
        event = self._event(begin, metadata, details)
        self._reporter.record(event, self._declared)
        if begin.is_moving:
            self._moved(begin.kind, begin.tag, details)
        return event.event_id

    def _event(
        self,
        begin: "_Beginning",
        metadata: Mapping[str, Any] | None,
        details: EventDetails,
    ) -> Event:
        event_id, occurred_at = new_stamp(self._not_before)
        given, part = details.get("occurred_at"), details.get("part")
        return Event(
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
            part=None if part is None else check_name("part", part),
            retrying=check_flag("retrying", details.get("retrying", False)),
            message=check_text("message", details.get("message"), LONGEST_MESSAGE),
            detail=check_text("detail", details.get("detail"), LONGEST_DETAIL),
        )

    def _moved(
        self, kind: str, tag: str | None, details: Mapping[str, Any] = _NOTHING
    ) -> None:
        """Keep what an event says about statuses, and show it to who watches."""
        kind = meaning(kind, tag)
        self.progress.take(kind, tag, details)
        if kind == "start" and tag is not None:
            self.begun.add(tag)
        elif kind in CLOSING_KINDS:
            self.begun.discard(tag or "")
        elif self.progress.status == "interrupted":
            self.begun.clear()
        watch = self._reporter.watch
        if watch is not None:
            watch(self, kind, tag)

    def _beginning(self, kind: str, name: str | None, tag: str | None) -> "_Beginning":
        """Check and encode what events of one kind and step have in common."""
        checked, step = self._checked_kind(kind), self._named_step(name, tag)
        if checked in (STEP_KINDS if step is None else JOB_KINDS):
            message = unsuitable_kind(checked, needs_step=step is None)
            self._reporter.problems.report(EVENT_KIND, message, checked)
        common = {"provider_job_id": self._provider_job_id, "kind": checked}
        if step is not None:
            common["tag"] = step
        members = f",{compact_json(common)[1:-1]}"
        begin = _Beginning(
            checked, step, members, checked in CONFLATED_KINDS, checked in MOVING_KINDS
        )
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
            message = metadata_undeclared(tag, undeclared)
            self._reporter.problems.report(METADATA, message, str(tag))
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
                error = UnknownStepError(kind, near[0], what="event kind")
                self._complain(EVENT_KIND, error)
        return kind

    def _named_step(self, name: str | None, tag: str | None) -> str | None:
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
        self._complain(STEP, UnknownStepError(given, near, job_tag=self._config.tag))
        return given

    def _complain(self, kind: ProblemKind, error: UnknownStepError) -> None:
        if self._reporter.strict:
            raise error
        self._reporter.problems.report(kind, unknown_name(error), error.name)
