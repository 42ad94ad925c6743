"""Table of event kinds: effect of each kind on a step and on the whole job.

The projection looks up every property of a kind in this table. The library has its own
table: backend and library share the contract but no code.
"""

from __future__ import annotations

from dataclasses import dataclass

from trackerapi_backend.projection.statuses import StepStatus


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EventKind:
    """Effect of one kind of event; each kind is one object.

    Attributes:
        name: Kind in requests; empty for `OTHER`.
        affects_job: Whether an event without a step changes the job.
        step_status: Status of a step after the event; None for a kind that has no
            effect on a step.
        begins_attempt: Whether the event begins an attempt of its step if no attempt
            is open.
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
# An error begins an attempt only if its step never had any: usually an earlier event
# has begun the failing attempt. `StepState.apply()` has this rule.
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
    """Return the effective kind of an event.

    A `complete` of a step counts as `step`. An unknown kind counts as `OTHER`.

    Args:
        name: Kind of the event as it was sent.
        tag: Step of the event; None for the whole job.
    """
    if tag is not None and name == COMPLETE.name:
        return STEP
    return KINDS.get(name, OTHER)
