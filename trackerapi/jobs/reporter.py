"""Reporter: filters the events of all jobs of one TrackerApi and writes them.

The filter is `before_send` from the author of the script. Writing to the outbox waits
for the disk, never for a network.
"""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from trackerapi.events.event import Event, event_line, kind_of
from trackerapi.events.metadata import change_text, is_mapping, shape_metadata
from trackerapi.jobs.state import JobStates
from trackerapi.problems import (
    BEFORE_SEND,
    METADATA,
    Problems,
    before_send_raised,
    metadata_changed,
)

if TYPE_CHECKING:
    from trackerapi.delivery.conflation import Key
    from trackerapi.delivery.delivery import Delivery
    from trackerapi.jobs.state import JobState
    from trackerapi.process.worker import Work

Allowed = Callable[[dict[str, Any] | None, str | None], dict[str, Any] | None]
"""Function that removes metadata which the configuration does not declare.

The arguments are the metadata and the tag of the step.
"""

BeforeSend = Callable[[Event], Event | None]
"""Filter of the script: returns the event, a changed copy, or None to drop the
event."""


class Reporter:
    """Writes the events of job handles; safe to share between threads.

    Args:
        delivery: Writes and delivers the events; None drops them.
        problems: Reports changed metadata and failures of `before_send`.
        strict: Whether to raise problems that are otherwise logged.
        before_send: Filter of the script; None without a filter.
        job_states: States of the jobs of the provider, which several reporters may
            share; None for states of only this reporter.

    Attributes:
        strict: Whether to raise problems that are otherwise logged.
        problems: Reports each problem once.
        is_off: Whether tracking is off: events are dropped.
        takes_lines: Whether handles may encode an event themselves and call
            `record_line()`; False with a filter, which needs the `Event`.
        show_event: Function that shows an event on stderr if the event can change a
            status. The arguments are the state of the job, the kind, and the tag of the
            step. None if `progress` is off.
        job_states: States of the jobs that the handles report.
        end_view: Function that writes the last lines on stderr in `deliver_last()`;
            None if `progress` is off.
        record_line: Function that writes an encoded event. The arguments are the line
            with its line end, the id of the job and the tag of the step. Raises
            OutboxError with `strict`.
    """

    def __init__(
        self,
        delivery: "Delivery | None",
        problems: "Problems",
        *,
        strict: bool,
        before_send: BeforeSend | None = None,
        job_states: "JobStates | None" = None,
    ) -> None:
        self.strict, self.problems = strict, problems
        self.job_states = JobStates() if job_states is None else job_states
        self.is_off = delivery is None
        self.show_event: Callable[[JobState, str, str | None], object] | None = None
        self.end_view: Callable[[], object] | None = None
        self.takes_lines = before_send is None
        self._delivery, self._before_send = delivery, before_send
        self.record_line: Callable[[bytes, str, str | None], object] = (
            _do_nothing if delivery is None else delivery.record_event
        )

    def record(self, event: Event, allowed: Allowed) -> None:
        """Filter and write an event.

        Args:
            event: The event.
            allowed: Removes undeclared metadata from the result of the filter.

        Raises:
            OutboxError: With `strict`, if the event could not be written.
        """
        line = self._line(event, allowed)
        if not line:
            return
        kind, job_id, tag = event.kind, event.provider_job_id, event.tag
        if self._delivery is not None and kind_of(kind).is_conflated:
            key = (job_id, tag, kind, event.part)
            self._delivery.record_newest(line, key, may_wait=not is_in_event_loop())
        else:
            self.record_line(line, job_id, tag)

    def offer(self, key: "Key", make: Callable[[], Event], allowed: Allowed) -> None:
        """Write the newest event of a key, now or within a second.

        Args:
            key: Job, step, kind and part; a newer event replaces a pending event of the
                same key.
            make: Makes the event; called when the event is written.
            allowed: See `record()`.

        Raises:
            OutboxError: With `strict`, if the event could not be written.
        """
        if self._delivery is not None:
            self._delivery.record_newest(
                lambda: self._line(make(), allowed),
                key,
                may_wait=not is_in_event_loop(),
            )

    def post(self, work: "Work") -> None:
        """Queue `work` for the worker thread, which keeps the order of the calls.

        Does not block. With tracking off, the calling thread runs `work`.

        Args:
            work: Function that may wait for a disk; the worker thread drops its
                exceptions.
        """
        if self._delivery is None:
            work()
        else:
            self._delivery.post(work)

    def _line(self, event: Event, allowed: Allowed) -> bytes:
        """Return the line of an event; empty if the filter drops the event."""
        filtered: Event | None = event
        if self._before_send is not None:
            filtered = self._filtered(event, allowed)
        return event_line(filtered) + b"\n" if filtered else b""

    def events_of(self, provider_job_id: str) -> list[dict[str, Any]]:
        """Return the events of a job in the outbox, in their order."""
        return self._delivery.events_of(provider_job_id) if self._delivery else []

    def write_pending(self, provider_job_id: str, tag: str | None) -> None:
        """Write the pending events of a step, or of the whole job if `tag` is None.

        Raises:
            OutboxError: With `strict`, if an event could not be written.
        """
        if self._delivery is not None:
            self._delivery.write_pending(provider_job_id, tag)

    def deliver_last(self, spent_seconds: float = 0.0) -> None:
        """Deliver undelivered records, because the process may end.

        Blocks for at most `shutdown_timeout`.

        Args:
            spent_seconds: Part of `shutdown_timeout` that has passed, in seconds.
        """
        if self._delivery is not None:
            self._delivery.close(spent_seconds)
        if self.end_view is not None:
            self.end_view()

    def fit_metadata(
        self, metadata: Mapping[str, Any] | None, provider_job_id: str
    ) -> dict[str, Any] | None:
        """Return metadata of a job or an event, converted and cut to fit.

        Raises:
            TypeError: If `metadata` is not a mapping.
            ValueError: With `strict`, if the metadata is not valid JSON or exceeds the
                limits.
        """
        if metadata is None:
            return None
        if not is_mapping(metadata):
            raise TypeError(
                f"metadata must be a mapping, got {type(metadata).__name__}"
            )
        shaped = shape_metadata(metadata)
        if shaped.changed:
            message = change_text(metadata, shaped)
            if self.strict:
                raise ValueError(message)
            self.problems.report(METADATA, metadata_changed(provider_job_id, message))
        return shaped.values or None

    def _filtered(self, event: Event, allowed: Allowed) -> Event | None:
        """Return the event from the filter of the script, with metadata cut to fit."""
        assert self._before_send is not None  # noqa: S101 - for the type checker
        try:
            filtered = self._before_send(event)
            if filtered is None:
                return None
            fitting = self.fit_metadata(filtered.metadata, event.provider_job_id)
            metadata = allowed(fitting, filtered.tag)
            filtered = dataclasses.replace(filtered, metadata=metadata)
            # Encode the result here: a value that JSON cannot represent raises.
            event_line(filtered)
        except Exception as error:  # noqa: BLE001 - the author's code may raise anything
            self.problems.report(BEFORE_SEND, before_send_raised(error))
            # Report the event without texts and metadata: the filter has not checked
            # them, and they may be secret.
            return dataclasses.replace(event, metadata=None, message=None, detail=None)
        return filtered


def is_in_event_loop() -> bool:
    """Return whether the calling code runs in an event loop, which must not wait."""
    # Without an event loop, asyncio may not be loaded; while another thread imports the
    # module, it is incomplete.
    running_loop = getattr(sys.modules.get("asyncio"), "get_running_loop", None)
    try:
        return running_loop is not None and running_loop() is not None
    except RuntimeError:
        return False


def _do_nothing(_line: bytes, _provider_job_id: str, _tag: str | None) -> None:
    """Drop an event: tracking is off."""
