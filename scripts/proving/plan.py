"""Planned calls of the job of the proofs, the same in each run.

The calls report on two jobs. The first job ends at 100 percent. The second job is
created late and stays open, so that a partial percentage can be checked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from trackerapi import JobConfig, StepConfiguration
from trackerapi.events.event import KINDS

CONFIG: Final = JobConfig(
    tag="proof",
    name="Proof",
    step_configurations=tuple(
        StepConfiguration(tag=tag, name=tag.title(), points=points)
        for tag, points in (
            ("fetch", 5),
            ("check", 10),
            ("convert", 30),
            ("measure", 15),
            ("compare", 0),
            ("deliver", 40),
        )
    ),
)
OPEN_CONFIG: Final = JobConfig(
    tag="proof_open",
    name="Proof that stays open",
    step_configurations=tuple(
        StepConfiguration(tag=tag, name=tag.title(), points=points)
        for tag, points in (("load", 3), ("match", 4), ("index", 2))
    ),
)
CONFLATED: Final = frozenset(each.name for each in KINDS.values() if each.is_conflated)
"""Kinds of events of which only the newest event must arrive."""

PHASES: Final = 3
MIN_REPORTS: Final = 40

_RETRIED, _SKIPPED = "convert", "compare"
_FIXED_REPORTS: Final = 20


@dataclass(frozen=True, slots=True)
class Report:
    """One call of `send_event()`.

    Attributes:
        on_open_job: Whether the report is about the job that stays open.
        number: Position among all reports, from 1; sent as metadata `Number`.
    """

    number: int
    kind: str
    tag: str | None = None
    on_open_job: bool = False
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def must_arrive(self) -> bool:
        """Whether each single event has to reach the backend."""
        return self.kind not in CONFLATED


def plan_reports(count: int) -> list[Report]:
    """Return the reports of one run.

    Args:
        count: Number of reports that must arrive, `MIN_REPORTS` or more; progress
            and heartbeats are additional.

    Raises:
        ValueError: If `count` is too small.
    """
    if count < MIN_REPORTS:
        raise ValueError(f"count must be {MIN_REPORTS} or more, got {count}")
    steps = [step.tag for step in CONFIG.step_configurations]
    fillers = count - _FIXED_REPORTS
    drafts: list[dict[str, Any]] = []
    for place, tag in enumerate(steps):
        share = fillers * (place + 1) // len(steps) - fillers * place // len(steps)
        drafts += _step(tag, share)
        drafts += _open_job_beside(place)
    drafts.append({"kind": "info", "details": {"message": "All steps are done"}})
    return [Report(number, **draft) for number, draft in enumerate(drafts, start=1)]


def phases(reports: Sequence[Report]) -> Iterator[Sequence[Report]]:
    """Yield the reports of the three phases; the open job begins in the second."""
    opened = next(n for n, report in enumerate(reports) if report.on_open_job)
    later = opened + (len(reports) - opened) // 2
    yield reports[:opened]
    yield reports[opened:later]
    yield reports[later:]


def _step(tag: str, fillers: int) -> Iterator[dict[str, Any]]:
    yield {"kind": "start", "tag": tag}
    for number in range(1, fillers + 1):
        units = {"completed": number, "total": fillers}
        yield {"kind": "progress", "tag": tag, "details": units}
        message = f"{tag}: part {number} of {fillers} \N{CHECK MARK}"
        details = {"message": message, "detail": f"read {message}\n" * 12}
        yield {"kind": "info", "tag": tag, "details": details}
    yield {"kind": "heartbeat"}
    if tag == _RETRIED:
        lost = {
            "retrying": True,
            "detail": "Traceback:\n  it broke",
            "message": "Again",
        }
        yield {"kind": "error", "tag": tag, "details": lost}
        yield {"kind": "start", "tag": tag}
    if tag == _SKIPPED:
        yield {"kind": "skip", "tag": tag, "details": {"message": "Nothing to compare"}}
    else:
        yield {"kind": "step", "tag": tag}


def _open_job_beside(place: int) -> list[dict[str, Any]]:
    """Return the reports on the open job after the step with the index `place`."""
    done = {"completed": 3, "total": 10}
    reports: dict[int, list[dict[str, Any]]] = {
        1: [{"kind": "start", "tag": "load"}, {"kind": "step", "tag": "load"}],
        3: [
            {"kind": "start", "tag": "match"},
            {"kind": "progress", "tag": "match", "details": {"fraction": 0.2}},
            {"kind": "progress", "tag": "match", "details": done},
            {"kind": "info", "tag": "match", "details": {"message": "Goes on"}},
        ],
        5: [{"kind": "info", "details": {"message": "Stays open"}}],
    }
    return [{**report, "on_open_job": True} for report in reports.get(place, [])]
