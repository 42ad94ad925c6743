"""Rows and lines of a watched job: bar, folded steps, widths, encodings."""

import dataclasses
import re
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackerapi.models import Job, JobStep
from trackerapi.view.watched import MAX_STEPS, JobRows, job_line

MOMENT: Final = datetime(2026, 11, 30, tzinfo=UTC)
COLOUR: Final = re.compile(r"\x1b\[[0-9]+m")


def step_of(status: str, number: int = 1, **members: Any) -> JobStep:
    """Return a step with a status."""
    usual: dict[str, Any] = {
        "tag": f"step_{number}",
        "name": f"Step {number}",
        "points": 1,
        "status": status,
        "fraction": 0.0,
        "completed": None,
        "total": None,
        "attempts": 0,
        "started_at": None,
        "finished_at": None,
    }
    return JobStep(**usual | members)


def job_of(*steps: JobStep, **members: Any) -> Job:
    """Return a running job."""
    usual: dict[str, Any] = {
        "id": 1,
        "provider_job_id": "mr-2041",
        "customer_id": 142,
        "tag": "imaging",
        "name": "Imaging study",
        "configuration_id": 1,
        "finish": "auto",
        "status": "running",
        "percent": 34.99,
        "steps": steps,
        "metadata": {},
        "event_count": 3,
        "created_at": MOMENT,
        "started_at": MOMENT,
        "finished_at": None,
        "last_event_at": MOMENT,
        "last_occurred_at": MOMENT,
        "version": 4,
    }
    return Job(**usual | members)


def rows_of(
    job: Job, *, columns: int = 100, height: int = 40, encoding: str = "utf-8"
) -> list[str]:
    """Return the rows of a job without colours."""
    rows = JobRows(encoding, has_colours=False)
    return rows.rows(job, 0.0, columns, height)


def test_job_has_one_line_with_bar_and_whole_percent() -> None:
    """The first row has name, id, bar and percent, rounded down, and the status."""
    (row,) = rows_of(job_of(percent=50.99), columns=80)

    assert row == f"Imaging study  mr-2041  {'━' * 10}{'─' * 10}  50 %  running"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("running", "36"),
        ("succeeded", "32"),
        ("failed", "31"),
        ("cancelled", "33"),
        ("interrupted", "33"),
    ],
)
def test_bar_has_the_colour_of_the_status(status: str, code: str) -> None:
    """The bar of a running job is cyan, that of a failed job is red."""
    rows = JobRows("utf-8", has_colours=True)

    (row,) = rows.rows(job_of(status=status), 0.0, 100, 10)

    assert f"\x1b[{code}m━" in row
    assert f"\x1b[{code}m  {status}\x1b[0m" in row


def test_title_of_the_job_comes_before_the_name_of_its_kind() -> None:
    """A job with a title is shown under its title."""
    job = job_of(title="Brain MRI")

    assert rows_of(job)[0].startswith("Brain MRI  mr-2041")
    assert job_line(job) == "Brain MRI (mr-2041): running, 34 %"


@pytest.mark.parametrize("columns", [50, 80, 120])
@pytest.mark.parametrize("letter", ["a", "検"])
def test_long_names_are_cut_before_the_bar(columns: int, letter: str) -> None:
    """Bar, percentage and status of a job and of a step stay visible with any names."""
    long = letter * 200
    step = step_of("running", name=long, fraction=0.32)
    job = job_of(step, title=long, provider_job_id=long)
    rows = JobRows("utf-8", has_colours=False).rows(job, 0, columns, 9)
    head, below = rows
    assert re.search("a…|検…", head)
    assert head.endswith("  34 %  running")
    assert below.endswith("─  32 %")
    assert "━" in head


def test_up_to_twelve_steps_have_a_row_each() -> None:
    """Each step has shape, name and status; a running step has bar and count."""
    running = step_of(
        "running", 2, fraction=0.5, completed=5.0, total=10.0, units="images"
    )
    steps = [step_of("done"), running, step_of("failed", 3), step_of("pending", 4)]
    steps += [step_of("skipped", number) for number in range(5, MAX_STEPS + 1)]

    rows = rows_of(job_of(*steps))

    assert len(rows) == 1 + MAX_STEPS
    assert rows[1].split() == ["✓", "Step", "1", "done"]
    assert rows[2].startswith("  ◐ Step 2  ")
    assert rows[2].endswith("  50 %   5 of 10 images")
    assert rows[3].split() == ["✗", "Step", "3", "failed"]
    assert rows[4].split() == ["○", "Step", "4", "pending"]


def test_more_than_twelve_steps_are_folded() -> None:
    """Finished steps share a row, later steps share another; others have their own."""
    statuses = ["done"] * 9 + ["skipped", "running", "running", "failed"]
    statuses += ["pending"] * 20
    steps = [step_of(status, number) for number, status in enumerate(statuses)]

    rows = rows_of(job_of(*steps))

    assert rows[1] == "  ✓ 10 steps done"
    assert [row.split()[0] for row in rows[2:5]] == ["◐", "◐", "✗"]
    assert rows[5:] == ["  ○ 20 steps to do"]


def test_unreached_steps_have_the_words_of_the_end() -> None:
    """Steps that a failed job did not reach are folded as "not reached"."""
    steps = [step_of("not_run", number) for number in range(20)]
    job = job_of(*steps, status="failed", finished_at=MOMENT)

    assert rows_of(job)[1:] == ["  ○ 20 steps not reached"]


def test_rate_and_remaining_time_come_from_the_states() -> None:
    """Two states of a count yield its rate and the time that is left."""
    rows = JobRows("utf-8", has_colours=False)
    before, after = (
        job_of(step_of("running", completed=done, total=100.0)) for done in (10.0, 30.0)
    )
    rows.rows(before, 0.0, 100, 10)

    row = rows.rows(after, 10.0, 100, 10)[1]

    assert row.endswith("30 of 100   2.0/s   35 s left")


def test_job_without_a_configuration_counts_its_reports() -> None:
    """Without percent, the row has the number of reports."""
    job = job_of(percent=None)

    assert "3 reports so far" in rows_of(job)[0]
    assert job_line(job) == "Imaging study (mr-2041): running"


def test_line_names_what_runs() -> None:
    """The line for a log has status, percent and the running steps with counts."""
    running = step_of("running", 2, completed=5.0, total=10.0)

    line = job_line(job_of(step_of("done"), running))

    assert line == "Imaging study (mr-2041): running, 34 %, Step 2 5 of 10"


def test_failed_items_and_attempts_are_shown() -> None:
    """A running step has the number of failed items, and its attempt of the maximum."""
    step = step_of("running", completed=9.0, failed=2.0, attempts=2, max_attempts=5)
    job = job_of(step)

    assert rows_of(job)[1].endswith("9 so far   2 failed   attempt 2 of 5")
    assert job_line(job).endswith("Step 1 9 so far (2 failed, attempt 2 of 5)")


def test_ascii_terminal_gets_ascii_rows() -> None:
    """An encoding without the shapes gets signs of ASCII."""
    rows = rows_of(job_of(step_of("running", fraction=0.3)), encoding="ascii")

    assert all(row.isascii() for row in rows)
    assert rows[1].startswith("  > Step 1")


@given(
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80),
    columns=st.integers(1, 120),
    height=st.integers(2, 20),
    count=st.integers(0, 30),
)
def test_rows_fit_into_the_terminal(
    name: str, columns: int, height: int, count: int
) -> None:
    """No row is too wide, there are not too many rows, and no text controls them."""
    step = step_of("running", name=name, fraction=0.4, completed=1.0, units=name)
    steps = [dataclasses.replace(step, tag=str(number)) for number in range(count)]
    job = job_of(*steps, name=name, provider_job_id=name, status=name)
    rows = JobRows("utf-8", has_colours=True)

    shown = rows.rows(job, 0.0, columns, height)

    assert len(shown) <= height
    for row in shown:
        text = COLOUR.sub("", row)
        assert text.isprintable()
        assert len(re.sub(r"[^\x20-\x7e]", "", text)) <= max(columns - 1, 0)
    assert job_line(job).isprintable()
