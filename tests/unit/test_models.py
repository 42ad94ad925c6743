"""Numbers in the classes of answers."""

from datetime import UTC, datetime

from trackerapi import JobStep
from trackerapi.models import JobEvent


def test_counts_of_a_step_are_floats() -> None:
    """Integers in the counts of a JobStep become floats."""
    step = JobStep(
        tag="load",
        name="Load",
        points=1,
        status="running",
        fraction=1,
        completed=12,
        total=None,
        attempts=1,
        started_at=None,
        finished_at=None,
    )

    assert repr((step.fraction, step.completed, step.total)) == "(1.0, 12.0, None)"


def test_counts_of_an_event_are_floats() -> None:
    """Integers in the counts of a JobEvent become floats."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    event = JobEvent(
        event_id="1",
        sequence=1,
        provider_job_id="job",
        kind="progress",
        tag="load",
        event_metadata={},
        occurred_at=moment,
        received_at=moment,
        completed=3,
        total=12,
        fraction=None,
        part=None,
        retrying=False,
        message=None,
        detail=None,
    )

    assert repr((event.completed, event.total, event.fraction)) == "(3.0, 12.0, None)"
