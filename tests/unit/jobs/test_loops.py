"""Loops over counted items."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.support.recorded_jobs import kinds_and_steps, progress, recorded
from trackerapi import TrackerJob, current_step


def numbers(count: int) -> Iterator[int]:
    """Yield numbers, without a length."""
    yield from range(count)


async def async_numbers(count: int) -> AsyncIterator[int]:
    """Yield numbers asynchronously."""
    for number in range(count):
        await asyncio.sleep(0)
        yield number


def test_loop_is_a_whole_step(run: TrackerJob, outbox: Path) -> None:
    """A loop starts its step, counts each item, and ends the step."""
    assert list(run.track(["a", "b", "c"], step="load")) == ["a", "b", "c"]

    assert kinds_and_steps(outbox) == ["start load", "step load"]
    assert progress(outbox, "load")[-1] == (3, 3)


def test_unknown_total_is_a_count_without_a_fraction(
    run: TrackerJob, outbox: Path
) -> None:
    """An iterator without a length is counted without a total."""
    with run.step("load") as step:
        assert list(step.track(numbers(7))) == list(range(7))
        assert step.fraction == 0

    assert progress(outbox, "load")[-1] == (7, None)


def test_total_may_be_given(run: TrackerJob, outbox: Path) -> None:
    """`total=` sets the total of an iterator without a length."""
    list(run.track(numbers(7), step="load", total=10))

    assert progress(outbox, "load")[-1] == (7, 10)


def test_loops_of_one_step_add_up(run: TrackerJob, outbox: Path) -> None:
    """Completed and total of two loops in one step are added."""
    with run.step("load") as step:
        list(step.track([1, 2]))
        list(step.track([3]))

    assert progress(outbox, "load")[-1] == (3, 3)


@pytest.mark.parametrize("options", [{}, {"weight": float}])
def test_clock_of_a_test_is_not_read(
    run: TrackerJob, outbox: Path, options: dict[str, Any]
) -> None:
    """Loops do not call a patched `time.monotonic`."""
    with mock.patch("time.monotonic", side_effect=[1.0]) as clock:
        assert list(run.track([1, 1], step="load", **options)) == [1, 1]
    clock.assert_not_called()
    assert progress(outbox, "load")[-1] == (2, 2)


def test_items_may_weigh_more_than_one(run: TrackerJob, outbox: Path) -> None:
    """`weight=` counts an item as its weight, in completed and in total."""
    with pytest.raises(ValueError, match="last"), run as job:
        for item in job.track(["aaa", "b"], step="load", weight=len):
            if item == "b":
                raise ValueError("last")

    assert progress(outbox, "load")[-1] == (3, 4)


def test_resumed_items_are_skipped_and_count_as_done(
    run: TrackerJob, outbox: Path
) -> None:
    """`resume=` skips the given items and counts them as completed."""
    left = list(run.track(["A", "B", "C"], step="load", key=str.lower, resume={"a"}))

    assert left == ["B", "C"]
    assert progress(outbox, "load")[-1] == (3, 3)
    assert (run.step("load").completed, run.step("load").resumed) == (3, 1)


def test_item_that_raises_is_not_counted(run: TrackerJob, outbox: Path) -> None:
    """A loop that raises fails its step; the item that raised is not counted."""
    with pytest.raises(ValueError, match="third"):
        with run as job:
            for number in job.track(range(5), step="load"):
                if number == 2:
                    raise ValueError("third")

    assert kinds_and_steps(outbox) == ["start", "start load", "error load", "error"]
    assert progress(outbox, "load")[-1] == (2, 5)
    assert "third" in recorded(outbox)[-2]["detail"]


def test_loop_left_by_break_is_done_when_the_job_is(
    run: TrackerJob, outbox: Path
) -> None:
    """The step of a loop left by `break` is done at the end of the job."""
    with run as job:
        for _ in job.track(range(5), step="load"):
            break
        assert job.step("load").status == "running"

    assert kinds_and_steps(outbox) == ["start", "start load", "step load", "complete"]


def test_million_items_write_few_events(run: TrackerJob, outbox: Path) -> None:
    """A loop of a million items writes fewer than 60 updates, with the last count."""
    for _ in run.track(range(1_000_000), step="load"):
        pass

    counts = progress(outbox, "load")
    assert counts[-1] == (1_000_000, 1_000_000)
    assert len(counts) < 60


def test_async_iterator_is_counted(run: TrackerJob, outbox: Path) -> None:
    """`async for` counts the items of an async iterator and of a list."""

    async def work() -> list[int]:
        with run.step("load") as step:
            seen = [number async for number in step.track(async_numbers(3), total=5)]
            return seen + [number async for number in step.track([7, 8])]

    assert asyncio.run(work()) == [0, 1, 2, 7, 8]
    assert progress(outbox, "load")[-1] == (5, 7)


def test_loop_has_the_length_of_its_items(run: TrackerJob) -> None:
    """`len()` of a loop is the length of its items, and raises for an iterator."""
    assert len(run.track([1, 2], step="load")) == 2
    with pytest.raises(TypeError):
        len(run.track(numbers(2), step="load"))


def test_wrong_arguments_raise_before_the_loop_begins(run: TrackerJob) -> None:
    """`track()` raises TypeError for wrong items, weights and keywords."""
    with pytest.raises(TypeError, match="items must be iterable"):
        run.track(5, step="load")  # type: ignore[call-overload,arg-type]
    with pytest.raises(TypeError, match="unexpected keyword argument 'wieght'"):
        run.track([5], step="load", wieght=len)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="weight must be callable"):
        run.track([5], step="load", weight=3)  # type: ignore[arg-type]


def test_last_count_is_dated_before_the_end_of_its_step(
    run: TrackerJob, outbox: Path
) -> None:
    """The last progress of a step is older than the event that ends the step."""
    with run:
        list(run.track(range(100), step="load"))

    events = sorted(
        recorded(outbox), key=lambda event: (event["occurred_at"], event["event_id"])
    )
    kinds = [event["kind"] for event in events if event.get("tag") == "load"]
    assert kinds == ["start", "progress", "progress", "step"]


class Unsized:
    """Iterable whose `len()` raises TypeError, such as a data loader of PyTorch."""

    def __len__(self) -> int:
        raise TypeError("there is no length")

    def __getitem__(self, index: int) -> int:
        return [7, 8][index]


def test_loop_accepts_every_iterable(run: TrackerJob, outbox: Path) -> None:
    """Items whose `len()` raises are counted without a total."""
    items: Any = Unsized()

    assert list(run.track(items, step="load")) == [7, 8]
    assert progress(outbox, "load")[-1] == (2, None)


@pytest.mark.parametrize("weight", [float("nan"), -3, Decimal(0)])
def test_item_may_weigh_nothing(run: TrackerJob, outbox: Path, weight: float) -> None:
    """A weight of NaN, -3 or 0 counts as 0; other items count in full."""
    items = [2, weight, 1]
    list(run.track(items, step="load", weight=lambda item: item))

    assert progress(outbox, "load")[-1] == (3, 3)


def test_weight_that_is_no_number_raises(run: TrackerJob) -> None:
    """A weight function that returns None raises TypeError."""
    weigh: Any = {}.get
    with pytest.raises(TypeError, match="weight must be a number, got NoneType"):
        run.track([1], step="load", weight=weigh)


@pytest.mark.parametrize("resume", [2, iter([1, 2])])
def test_resume_rejects_an_iterator(run: TrackerJob, resume: Any) -> None:
    """`resume=` raises TypeError for an iterator: the first search would exhaust it."""
    with pytest.raises(TypeError, match="resume must be a set or another container"):
        run.track([2, 1], step="load", resume=resume)


def test_code_after_a_loop_that_was_left_is_in_no_step(run: TrackerJob) -> None:
    """After `break` the current step is not the step of the loop."""
    with run:
        for _ in run.track(range(3), step="load"):
            assert current_step() is run.step("load")
            break
        assert current_step() is not run.step("load")


def test_late_end_of_a_loop_leaves_other_steps_alone(
    run: TrackerJob,
) -> None:
    """If a loop is finalized during another step, the current step stays."""
    with run:
        loop = iter(run.track(range(3), step="load"))
        next(loop)
        with run.step("segment"):
            del loop
            assert current_step() is run.step("segment")
