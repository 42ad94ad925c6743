"""Where reports go: what all job handles of one TrackerApi share.

`record()` is the one door for events. Today it delivers at once through the sender,
so that an event that cannot be delivered is an error and not lost in silence.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from trackerapi.errors import BackendRejected, Exchange
from trackerapi.metadata import shape_metadata

if TYPE_CHECKING:
    from trackerapi.delivery.sender import Sender
    from trackerapi.events import Event

_LOG = logging.getLogger("trackerapi")


class Reporter:
    """Takes events from job handles; safe to share between threads.

    Args:
        sender: Returns the sender; called when the first event is recorded.
        strict: Raise what is otherwise logged.
    """

    def __init__(self, sender: "Callable[[], Sender]", *, strict: bool) -> None:
        self.strict = strict
        self._sender = sender
        self._warned: set[tuple[str, ...]] = set()
        self._lock = threading.Lock()

    def record(self, event: "Event") -> None:
        """Deliver `event`.

        Raises:
            BackendUnavailable: If no usable answer came; the event may have arrived.
            AuthenticationError: If the key was refused.
            BackendRejected: If the event was refused for its content.
        """
        receipt = self._sender().send([event.as_line()])
        for rejection in receipt.rejections:
            problem = dict(rejection.problem)
            reason = problem.get("detail") or problem.get("title") or "refused"
            status = problem.get("status")
            raise BackendRejected(
                f"event {event.kind!r} of job {event.provider_job_id!r}: {reason}",
                Exchange(
                    status=status if isinstance(status, int) else None,
                    problem=problem,
                    request_id=problem.get("request_id"),
                ),
            )

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
        if not isinstance(metadata, Mapping):
            raise TypeError(
                f"metadata must be a mapping, got {type(metadata).__name__}"
            )
        shaped = shape_metadata(metadata)
        if shaped.changed:
            keys = ", ".join(map(repr, shaped.changed[:5]))
            message = (
                f"metadata of job {provider_job_id!r} does not fit JSON or the "
                f"limits (50 keys, 8 KiB, five levels): {keys}"
            )
            if self.strict:
                raise ValueError(message)
            self.warn_once("metadata", message=f"{message}; it was changed")
        return shaped.values or None

    def warn_once(self, *subject: str, message: str) -> None:
        """Log `message` the first time that `subject` comes up."""
        with self._lock:
            if subject in self._warned:
                return
            self._warned.add(subject)
        _LOG.warning("%s", message)
