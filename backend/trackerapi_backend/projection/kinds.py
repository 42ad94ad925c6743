"""Table of event kinds: effect of each kind on a step and on the whole job.

The projection reads each fact about a kind from here. The library has a table of its
own: the two programs share the contract and no code.
"""

from __future__ import annotations

from dataclasses import dataclass

from trackerapi_backend.projection.statuses import StepStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class EventKind:
    """Effect of one kind of event.

    Attributes:
        name: Kind as callers send it.
        affects_job: Whether an event without a step changes the job.
        step_status: Status of a step after the event; None for a kind that has no
            effect on a step.
        begins_attempt: Whether the event begins an attempt of its step where no
            attempt is open.
        ends_attempt: Whether the event ends the open attempt of its step.
    """

    name: str
    affects_job: bool = True
    step_status: StepStatus | None = None
    begins_attempt: bool = False
    ends_attempt: bool = False


START = EventKind(name="start", step_status=StepStatus.RUNNING, begins_attempt=True)
PROGRESS = EventKind(
    name="progress", step_status=StepStatus.RUNNING, begins_attempt=True
)
STEP = EventKind(
    name="step",
    step_status=StepStatus.DONE,
    begins_attempt=True,
    ends_attempt=True,
)
SKIP = EventKind(name="skip", step_status=StepStatus.SKIPPED, ends_attempt=True)
# An error begins an attempt only if its step has none: usually the attempt that fails
# has been reported before.
ERROR = EventKind(name="error", step_status=StepStatus.FAILED, ends_attempt=True)
COMPLETE = EventKind(name="complete")
CANCEL = EventKind(name="cancel")
INTERRUPT = EventKind(name="interrupt")
OTHER = EventKind(name="", affects_job=False)
"""Any other kind, such as `info` and `heartbeat`: only the event count changes."""

KINDS = {
    kind.name: kind
    for kind in (START, PROGRESS, STEP, SKIP, ERROR, COMPLETE, CANCEL, INTERRUPT)
}


def find_kind(name: str, tag: str | None) -> EventKind:
    """Return the kind that an event counts as.

    Args:
        name: Kind of the event as it was sent.
        tag: Step of the event; None for the whole job. A `complete` of a step counts
            as `step`.
    """
    if tag is not None and name == COMPLETE.name:
        return STEP
    return KINDS.get(name, OTHER)
