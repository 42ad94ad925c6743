"""Texts that views print about jobs and their delivery."""

import dataclasses

import pytest

from trackerapi import DeliveryReport
from trackerapi.view import lines
from trackerapi.view.snapshot import JobSnapshot, StepSnapshot

STEP = StepSnapshot(
    tag="segment",
    name="Segment",
    status="running",
    fraction=0.45,
    completed=450,
    total=1000,
    rate=37.5,
    seconds_left=14.7,
    attempts=1,
)
JOB = JobSnapshot(
    provider_job_id="study-1",
    tag="imaging",
    name="Imaging",
    status="running",
    percent=45.2,
    steps=(STEP,),
    seconds=65,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.6, "1 min"),
        (65, "1 min 5 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (90_000, "1 d 1 h"),
        (-1, "0 s"),
    ],
)
def test_duration_has_two_units(seconds: float, text: str) -> None:
    """A duration has at most two units; a negative duration is `0 s`."""
    assert lines.seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (None, ""),
        (1234.5, "1,234/s"),
        (12.34, "12.3/s"),
        (0.5, "30.0/min"),
        (0.001, "3.6/h"),
        (0.0001, "0.4/h"),
    ],
)
def test_rate_has_a_fitting_unit(rate: float | None, text: str) -> None:
    """A rate below 1 per second is written per minute, below 1 per minute per hour."""
    assert lines.rate_text(rate) == text


def test_progress_line_has_step_units_rate_and_remaining_time() -> None:
    """The line has job, percent, running step, units, rate and remaining time."""
    assert lines.progress_line(JOB, None) == (
        "imaging study-1: own estimate 45.20 %, "
        "segment 450 of 1,000 (37.5/s, 15 s left)"
    )


def test_progress_line_names_the_units() -> None:
    """The units of a step follow its count."""
    steps = (dataclasses.replace(STEP, units="images"),)
    line = lines.progress_line(dataclasses.replace(JOB, steps=steps), None)

    assert "segment 450 of 1,000 images (37.5/s" in line


def test_progress_line_without_a_total_has_no_percent() -> None:
    """Without points and a total, the line has only job, step and count."""
    step = dataclasses.replace(STEP, total=None, rate=None, seconds_left=None)
    job = dataclasses.replace(JOB, tag="", percent=None, steps=(step,))

    assert lines.progress_line(job, None) == "study-1: segment 450 so far"


def test_percentage_below_100_is_an_own_estimate() -> None:
    """A percentage below 100 is marked as own estimate."""
    assert lines.percent_text(JOB) == "own estimate 45.20 %"
    done = dataclasses.replace(JOB, status="succeeded", percent=100.0)
    assert lines.percent_text(done) == "100 %"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("succeeded", "left out"),
        ("failed", "not reached"),
        ("cancelled", "not reached"),
    ],
)
def test_unreached_step_is_described_by_the_status_of_its_job(
    status: str, text: str
) -> None:
    """An unreached step is `left out` after success, otherwise `not reached`."""
    job = dataclasses.replace(JOB, status=status)
    never = dataclasses.replace(STEP, status="not_run", attempts=0)
    assert lines.step_text(job, never) == text
    begun = dataclasses.replace(never, attempts=1)
    assert lines.step_text(job, begun) == "not finished"
    assert (
        lines.step_text(job, dataclasses.replace(STEP, status="skipped")) == "skipped"
    )


def test_progress_line_names_three_running_steps() -> None:
    """The line names three running steps and has the number of the other steps."""
    steps = tuple(dataclasses.replace(STEP, tag=f"step-{n}") for n in range(9))
    line = lines.progress_line(dataclasses.replace(JOB, steps=steps), None)

    assert line.endswith("step-2 450 of 1,000 (37.5/s, 15 s left), 6 more steps")


def test_title_is_printable() -> None:
    """The title is printable although the job id contains a control character."""
    job = dataclasses.replace(JOB, provider_job_id="a\N{RIGHT-TO-LEFT OVERRIDE}b")

    assert lines.title(job).isprintable()


@pytest.mark.parametrize(
    ("report", "text"),
    [
        (DeliveryReport(delivered=1200), "1,200 delivered"),
        (DeliveryReport(delivered=3, waiting=2), "3 delivered, 2 waiting"),
        (
            DeliveryReport(waiting=2, last_error="no route"),
            "2 not delivered yet: no route",
        ),
        (DeliveryReport(held=1), "1 held, see trackerapi outbox list"),
    ],
)
def test_delivery_line_names_problems(report: DeliveryReport, text: str) -> None:
    """The text has the delivered, waiting and held counts, and the last error."""
    assert lines.delivery_text(report) == text
