"""`JobProgress` of the library, checked by the test table of the backend."""

import json
from typing import Any, Final

import pytest

from scripts.project import ROOT
from trackerapi.events.projection import JobProgress

TABLE: Final = ROOT / "tests/conformance/projection.json"
CASES: Final[list[dict[str, Any]]] = json.loads(TABLE.read_text())["cases"]
CELLS: Final[dict[str, Any]] = json.loads(TABLE.read_text())["cells"]


def progress_of(case: dict[str, Any]) -> JobProgress:
    """Return the progress of the job of a case before its first event."""
    return JobProgress(case["points"], is_explicit=case["finish"] == "explicit")


def take(progress: JobProgress, event: dict[str, Any]) -> None:
    """Add an event of the table."""
    details = {n: v for n, v in event.items() if n not in ("kind", "tag")}
    progress.take(event["kind"], event.get("tag"), details)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_job_has_the_state_of_the_table(case: dict[str, Any]) -> None:
    """Percent after each event and the final statuses are those of the table."""
    progress, percents = progress_of(case), []
    for event in case["events"]:
        take(progress, event)
        percents.append(progress.percent)

    assert percents == case["percents"]
    assert progress.status == case["status"]
    assert {tag: progress.shown_status(tag) for tag in case["steps"]} == case["steps"]
    for tag, count in case.get("attempts", {}).items():
        assert progress.step(tag).attempts == count


@pytest.mark.parametrize("before", CELLS["before"])
@pytest.mark.parametrize("row", CELLS["rows"], ids=lambda row: str(row["event"]))
def test_event_changes_each_status_as_in_the_table(
    row: dict[str, Any], before: str
) -> None:
    """The event changes the status as the table states; 100 % means success."""
    tag = row["event"].get("tag")
    progress = JobProgress({tag: 1} if tag == "last" else {"a": 1, "b": 1})
    for event in CELLS["before"][before]:
        take(progress, event)
    status = progress.status
    assert status == before.split(maxsplit=1)[0]

    take(progress, row["event"])

    assert progress.status == row["after"].get(before, status)
    has_succeeded = "succe" in before or progress.status == "succeeded"
    assert (progress.percent == 100.0) is has_succeeded


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_percent_of_the_table_never_falls(case: dict[str, Any]) -> None:
    """In the table percent never falls, and reaches 100 only with success."""
    percents = [percent for percent in case["percents"] if percent is not None]

    assert percents == sorted(percents)
    assert all(percent == 100 or percent <= 99.99 for percent in percents)
    assert set(case["steps"]) == set(case["points"] or ())


def test_known_step_continues() -> None:
    """`recall()` restores the status, fraction and attempts of each step."""
    progress = JobProgress({"a": 1, "b": 1})
    progress.recall("a", "done", 1.0, 2)
    progress.recall("b", "not_run", 0.0, 0)

    assert progress.percent == 50.0
    assert (progress.step("a").attempts, progress.shown_status("b")) == (2, "pending")
    assert progress.are_settled(["a"])


def test_attempt_continues_after_a_restart() -> None:
    """A start counts as a new attempt for a pending step, not for a running step."""
    progress = JobProgress({"a": 1, "b": 1})
    progress.recall("a", "running", 0.5, 2)
    progress.recall("b", "pending", 0.0, 1)
    progress.take("start", "a")
    progress.take("start", "b")

    assert (progress.step("a").attempts, progress.step("b").attempts) == (2, 2)


def test_interrupted_step_continues_as_a_new_attempt() -> None:
    """A start after `interrupt()` counts as a new attempt and keeps the fraction."""
    progress = JobProgress({"a": 1, "b": 1})
    progress.recall("a", "pending", 0.5, 1)
    progress.step("a").interrupt()

    progress.take("start", "a")

    assert (progress.step("a").attempts, progress.percent) == (2, 25.0)


def test_earlier_events_take_nothing_back() -> None:
    """`add_earlier()` adds earlier ends of steps and keeps ends by later events."""
    earlier, progress = (JobProgress(dict.fromkeys("abcde", 1)) for _ in range(2))
    for known in (earlier, progress):
        known.recall("d", "running", 0.25, 1)
    progress.recall("e", "done", 1.0, 1)
    for tag, kind in {"a": "step", "b": "progress", "d": "error", "e": "start"}.items():
        earlier.take(kind, tag, {"fraction": 0.75})
    for tag, kind in {"a": "start", "b": "error", "c": "step"}.items():
        progress.take(kind, tag)

    progress.add_earlier(earlier, {"a", "b", "c"})

    shown = {tag: progress.shown_status(tag) for tag in "abcde"}
    assert shown == {
        "a": "done",
        "b": "failed",
        "c": "done",
        "d": "failed",
        "e": "done",
    }
    assert progress.percent == 80.0


class _Interrupted(dict[str, Any]):
    """Counts of a step; reading a count ends the step, as another thread may."""

    def __init__(self, progress: JobProgress) -> None:
        super().__init__(completed=1, total=2)
        self._progress = progress

    def get(self, name: str, otherwise: Any = None) -> Any:
        """End the step, and return a member."""
        self._progress.take("step", "a")
        return super().get(name, otherwise)


def test_step_that_is_done_while_another_thread_counts_stays_done() -> None:
    """A step that ends while its counts are read stays done."""
    progress = JobProgress({"a": 1, "b": 1})
    progress.take("start", "a")

    progress.take("progress", "a", _Interrupted(progress))

    assert progress.shown_status("a") == "done"
    assert progress.percent == 50.0
