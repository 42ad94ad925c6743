"""Where reports go: what all job handles of one TrackerApi share.

An event passes the author's filter here and is written to the outbox; nothing here
waits for a network.
"""

import dataclasses
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from trackerapi.events.event import Event, event_line, kind_of
from trackerapi.events.metadata import change_text, is_mapping, shape_metadata
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
    from trackerapi.jobs.sending import EventSender
    from trackerapi.process.worker import Work

Allowed = Callable[[dict[str, Any] | None, str | None], dict[str, Any] | None]
BeforeSend = Callable[[Event], Event | None]


class Reporter:
    """Takes events from job handles; safe to share between threads.

    Args:
        delivery: Where events go; None does nothing.
        problems: Told of what was changed.
        strict: Raise what is otherwise logged.
        before_send: Sees each event before it is written; returns it, another one, or
            None to drop it.

    Attributes:
        is_off: Whether reports do nothing at all.
        takes_lines: Whether an event may be handed over as a line.
        watch: Called with a job, the kind and the step of each event that can change a
            status; None without anybody who looks.
        last_words: Called when reporting ends for now; None likewise.
        record_line: Writes such a line, with its end, for a job and a step of it;
            raises OutboxError with `strict`.
    """

    def __init__(
        self,
        delivery: "Delivery | None",
        problems: "Problems",
        *,
        strict: bool,
        before_send: BeforeSend | None = None,
    ) -> None:
        self.strict, self.problems = strict, problems
        self.is_off = delivery is None
        self.watch: Callable[[EventSender, str, str | None], object] | None = None
        self.last_words: Callable[[], object] | None = None
        self.takes_lines = before_send is None
        self._delivery, self._before_send = delivery, before_send
        self.record_line: Callable[[bytes, str, str | None], object] = (
            _do_nothing if delivery is None else delivery.record_event
        )

    def record(self, event: Event, allowed: Allowed) -> None:
        """Write `event` down.

        Args:
            event: What happened.
            allowed: Returns of its metadata what may be recorded, for a step.

        Raises:
            OutboxError: With `strict`, if it could not be written.
        """
        line = self._line(event, allowed)
        if not line:
            return
        kind, job_id, tag = event.kind, event.provider_job_id, event.tag
        if self._delivery is not None and kind_of(kind).is_conflated:
            key = (job_id, tag, kind, event.part)
            self._delivery.record_newest(line, key, may_wait=not in_event_loop())
        else:
            self.record_line(line, job_id, tag)

    def offer(self, key: "Key", make: Callable[[], Event], allowed: Allowed) -> None:
        """Write the newest event of a kind, now or soon, made when it is written.

        Args:
            key: Job, step, kind and part.
            make: Returns the event.
            allowed: See `record()`.

        Raises:
            OutboxError: With `strict`, if it could not be written.
        """
        if self._delivery is not None:
            self._delivery.record_newest(
                lambda: self._line(make(), allowed), key, may_wait=not in_event_loop()
            )

    def post(self, work: "Work") -> None:
        """Have a thread do what may wait for a disk, in the order of these calls.

        Args:
            work: What to do; what it raises is lost.
        """
        if self._delivery is None:
            work()
        else:
            self._delivery.post(work)

    def _line(self, event: Event, allowed: Allowed) -> bytes:
        """Return the line of an event; nothing of one that the author drops."""
        filtered: Event | None = event
        if self._before_send is not None:
            filtered = self._filtered(event, allowed)
        return event_line(filtered) + b"\n" if filtered else b""

    def events_of(self, provider_job_id: str) -> list[dict[str, Any]]:
        """Return the events of a job that this machine still has, in their order."""
        return self._delivery.events_of(provider_job_id) if self._delivery else []

    def release(self, provider_job_id: str, tag: str | None) -> None:
        """Write what `offer()` keeps of a step, or of the whole job.

        Raises:
            OutboxError: With `strict`, if it could not be written.
        """
        if self._delivery is not None:
            self._delivery.write_pending(provider_job_id, tag)

    def deliver_last(self, spent_seconds: float = 0.0) -> None:
        """Deliver what waits before the process is gone, within `shutdown_timeout`.

        Args:
            spent_seconds: How much of that time is over.
        """
        if self._delivery is not None:
            self._delivery.close(spent_seconds)
        if self.last_words is not None:
            self.last_words()

    def fitting(
        self, metadata: Mapping[str, Any] | None, provider_job_id: str
    ) -> dict[str, Any] | None:
        """Return metadata of a job or an event as it can be recorded.

        Raises:
            TypeError: If it is no mapping.
            ValueError: With `strict`, if JSON or the limits cannot hold it.
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
        """Return what the author's filter makes of an event."""
        assert self._before_send is not None  # noqa: S101 - for the type checker
        try:
            filtered = self._before_send(event)
            if filtered is None:
                return None
            fitting = self.fitting(filtered.metadata, event.provider_job_id)
            metadata = allowed(fitting, filtered.tag)
            filtered = dataclasses.replace(filtered, metadata=metadata)
            event_line(filtered)  # raises for values that JSON cannot hold
        except Exception as error:  # noqa: BLE001 - the author's code may raise anything
            self.problems.report(BEFORE_SEND, before_send_raised(error))
            # The fact counts; what the filter was to look at stays here.
            return dataclasses.replace(event, metadata=None, message=None, detail=None)
        return filtered


def in_event_loop() -> bool:
    """Tell whether the calling code runs in an event loop, which must not wait."""
    # Without an event loop nobody has loaded asyncio, or another thread is at it.
    running_loop = getattr(sys.modules.get("asyncio"), "get_running_loop", None)
    try:
        return running_loop is not None and running_loop() is not None
    except RuntimeError:
        return False


def _do_nothing(_line: bytes, _provider_job_id: str, _tag: str | None) -> None:
    """Stand in for delivery where tracking is off."""
