"""tqdm bars that report the progress of a step."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tqdm import tqdm as upstream

from tests.support.recorded_jobs import kinds_and_steps, progress, recorded
from trackerapi import TrackerApi, TrackerJob, UnknownStepError
from trackerapi.integrations.tqdm import tqdm, trange


def quiet(iterable: Any = None, **options: Any) -> tqdm[Any]:
    """Return a bar that writes to a buffer instead of the terminal."""
    return tqdm(iterable, file=io.StringIO(), **options)


def test_loop_over_a_bar_reports_its_step(run: TrackerJob, outbox: Path) -> None:
    """A loop over a bar starts its step, counts the items and completes the step."""
    with run:
        assert list(quiet(range(5), step="load")) == [0, 1, 2, 3, 4]

    assert kinds_and_steps(outbox) == ["start", "start load", "step load", "complete"]
    assert progress(outbox, "load")[-1] == (5, 5)


def test_step_is_named_by_the_description(run: TrackerJob, outbox: Path) -> None:
    """`desc` selects a step by name or tag; a bar without a step reports nothing."""
    with run:
        list(quiet(range(3), desc="Segment"))
        list(quiet(range(3), desc="load: "))
        list(quiet(range(3), desc="Something else"))
        list(quiet(range(3)))

    assert kinds_and_steps(outbox)[1:-1] == [
        "start segment",
        "step segment",
        "start load",
        "step load",
    ]


def test_job_can_be_given(recorder: TrackerApi, outbox: Path) -> None:
    """A bar with `job=` reports on this job outside of its blocks."""
    job = recorder.create_job("given", 142, "undescribed")
    list(quiet(range(2), job=job, step="anything"))

    assert kinds_and_steps(outbox) == ["start anything", "step anything"]


def test_bar_that_failed_in_its_constructor_is_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A bar that failed in `__init__` is not closed: tqdm 4.60 would raise."""
    closed: list[upstream[int]] = []

    def note(bar: "upstream[int]") -> None:
        closed.append(bar)

    monkeypatch.setattr(upstream, "close", note)

    tqdm.__new__(tqdm).__del__()

    assert closed == []


def test_bar_without_a_job_iterates_as_tqdm(outbox: Path) -> None:
    """Without a current job, a bar iterates as a bar of tqdm."""
    bar = quiet(range(3), step="load")

    assert type(iter(bar)) is type(iter(upstream(range(3), file=io.StringIO())))
    assert list(bar) == [0, 1, 2]


def test_unknown_step_raises(recorder: TrackerApi) -> None:
    """With `strict`, an unknown step raises UnknownStepError with the similar tag."""
    del recorder
    with TrackerApi(
        "key", "http://127.0.0.1:9", mode="offline", strict=True
    ) as tracker:
        config = {"tag": "short", "name": "Short"}
        steps = [{"tag": "load", "name": "Load", "points": 1}]
        from trackerapi import JobConfigManager

        JobConfigManager(configs=[{**config, "step_configurations": steps}])
        job = tracker.run_job("strict", 142, "short")
        with pytest.raises(UnknownStepError, match="did you mean 'load'"):
            quiet(range(3), job=job, step="laod")


def test_bar_within_a_block_only_counts(run: TrackerJob, outbox: Path) -> None:
    """Bars in the block of their step add units; the block itself ends the step."""
    with run as job, job.step("load"):
        list(quiet(range(2), step="load"))
        list(quiet(range(3), step="load"))

    assert kinds_and_steps(outbox) == ["start", "start load", "step load", "complete"]
    assert progress(outbox, "load")[-1] == (5, 5)


def test_units_are_counted_by_update(run: TrackerJob, outbox: Path) -> None:
    """`update()` adds amounts, fractional and negative ones included."""
    with run, quiet(total=10, step="load", unit="B") as bar:
        bar.update(4)
        bar.update(2.5)
        bar.update(-1)
        bar.update(0)
        bar.update(4.5)

    assert kinds_and_steps(outbox)[1:-1] == ["start load", "step load"]
    assert progress(outbox, "load")[-1] == (10, 10)


def test_assigned_position_is_reported(run: TrackerJob, outbox: Path) -> None:
    """`refresh()` reports the position that was assigned to `n`."""
    with run, quiet(total=10, step="load") as bar:
        bar.n = 7
        bar.refresh()

    assert progress(outbox, "load")[-1] == (7, 10)


def test_total_may_become_known_later(run: TrackerJob, outbox: Path) -> None:
    """A total that is assigned during the loop is reported."""
    with run, quiet(iter("abc"), step="load") as bar:
        for _ in bar:
            if bar.total is None:
                bar.total = 3

    assert progress(outbox, "load")[-1] == (3, 3)


def test_units_of_an_earlier_run_count_as_resumed(
    run: TrackerJob, outbox: Path
) -> None:
    """Units in `initial` are reported as completed and as resumed."""
    with run as job:
        list(quiet(range(6, 10), total=10, initial=6, step="load"))
        step = job.step("load")
        counted = (step.completed, step.resumed)

    assert counted == (10, 6)
    assert progress(outbox, "load")[-1] == (10, 10)


def test_reset_sets_the_count_to_zero(run: TrackerJob, outbox: Path) -> None:
    """`reset()` sets the count to 0 and the total to the new total."""
    with run, quiet(total=5, step="load") as bar:
        bar.update(5)
        bar.reset(total=8)
        bar.update(8)

    assert progress(outbox, "load")[-1] == (8, 8)


@pytest.mark.parametrize("disable", [True, None])
def test_disabled_bar_still_reports(
    run: TrackerJob, outbox: Path, disable: bool | None
) -> None:
    """A bar with `disable` reports start, progress and end of its step."""
    with run:
        assert list(quiet(range(4), step="load", disable=disable)) == [0, 1, 2, 3]
        with quiet(total=3, step="segment", disable=disable) as bar:
            bar.update(2)
            bar.update()

    assert kinds_and_steps(outbox)[1:-1] == [
        "start load",
        "step load",
        "start segment",
        "step segment",
    ]
    assert progress(outbox, "load")[-1] == (4, 4)
    assert progress(outbox, "segment")[-1] == (3, 3)


def test_exception_in_the_loop_fails_the_step(run: TrackerJob, outbox: Path) -> None:
    """The step fails with the count so far; the detail contains the traceback."""

    def work() -> None:
        for number in quiet(range(5), step="load"):
            int("third" if number == 2 else "0")

    with pytest.raises(ValueError, match="third"), run:
        work()

    assert kinds_and_steps(outbox) == ["start", "start load", "error load", "error"]
    assert progress(outbox, "load")[-1] == (2, 5)
    assert "third" in recorded(outbox)[-2]["detail"]


def test_exception_in_the_block_of_a_bar_fails_the_step(
    run: TrackerJob, outbox: Path
) -> None:
    """An exception that leaves the bar's block fails the step, even if then caught."""
    with run as job:
        try:
            with quiet(total=5, step="load") as bar:
                bar.update(1)
                int("broken")
        except ValueError:
            job.step("segment").done()

    assert kinds_and_steps(outbox)[1:4] == ["start load", "error load", "step segment"]


def test_bar_closed_by_an_exception_fails_its_step(
    run: TrackerJob, outbox: Path
) -> None:
    """`bar.close()` in a `finally` fails the step while an exception propagates."""

    def work() -> None:
        bar = quiet(total=5, step="load")
        try:
            bar.update(1)
            int("broken")
        finally:
            bar.close()

    with pytest.raises(ValueError, match="broken"), run:
        work()

    assert kinds_and_steps(outbox) == ["start", "start load", "error load", "error"]


def test_step_left_by_break_ends_with_the_bar_or_the_job(
    run: TrackerJob, outbox: Path
) -> None:
    """After `break`, `close()` or the end of the job completes the step."""
    errors = []
    with run:
        for number in quiet(range(5), step="load"):
            if number == 2:
                break
        errors.append(kinds_and_steps(outbox))
        bar = quiet(range(5), step="segment")
        for number in bar:
            if number == 2:
                break
        bar.close()
        errors.append(kinds_and_steps(outbox))

    assert errors[0] == ["start", "start load"]
    assert errors[1] == ["start", "start load", "start segment", "step segment"]
    assert kinds_and_steps(outbox)[-2:] == ["step load", "complete"]
    assert progress(outbox, "load")[-1] == (2, 5)


def test_inner_bar_without_a_step_reports_nothing(
    run: TrackerJob, outbox: Path
) -> None:
    """An inner bar without a step reports nothing."""
    with run:
        for _ in quiet(range(2), step="load"):
            list(quiet(range(100)))
            list(quiet(range(3), desc="other"))

    assert kinds_and_steps(outbox)[1:-1] == ["start load", "step load"]
    assert progress(outbox, "load")[-1] == (2, 2)


def test_trange_reports_its_step(run: TrackerJob, outbox: Path) -> None:
    """`trange()` reports its step as `tqdm()` does."""
    with run:
        assert list(trange(2, 5, file=io.StringIO(), step="load")) == [2, 3, 4]

    assert progress(outbox, "load")[-1] == (3, 3)


class Number:
    """Number of another library, such as a scalar of numpy."""

    def __init__(self, value: float) -> None:
        self._value = value

    def __float__(self) -> float:
        return self._value

    def __radd__(self, other: float) -> float:
        return other + self._value


def test_numbers_of_other_libraries_are_accepted(run: TrackerJob, outbox: Path) -> None:
    """`update()` accepts a number of another library; a total of NaN raises nothing."""
    with run, quiet(total=4, step="load", disable=True) as bar:
        bar.update(Number(4))  # type: ignore[arg-type]
        bar.total = float("nan")

    assert progress(outbox, "load")[-1][0] == 4


@pytest.mark.parametrize(
    "use",
    [
        list,
        lambda bar: [bar.set_postfix(a=1) for _ in bar],
        lambda bar: [bar.update(3), bar.set_description("x"), bar.close()],
        lambda bar: [bar.update(3), bar.reset(), bar.update(2), bar.close()],
        lambda bar: [next(iter(bar)), bar.close()],
        lambda bar: (len(bar), bool(bar), 3 in bar, bar.close()),
    ],
)
@pytest.mark.parametrize("options", [{}, {"leave": False}, {"mininterval": 1e9}])
def test_bar_writes_the_characters_of_tqdm(
    run: TrackerJob, use: Callable[[Any], object], options: dict[str, Any]
) -> None:
    """A tracked bar writes the same characters as a bar of tqdm."""
    look = "{desc}|{bar:10}|{n_fmt}/{total_fmt}{postfix}"
    options = {"mininterval": 0, "bar_format": look, **options}
    shown = []
    with run:
        for made, more in ((upstream, {}), (tqdm, {"step": "load"})):
            file = io.StringIO()
            use(made(range(10), file=file, **options, **more))
            shown.append(file.getvalue())

    assert shown[0] == shown[1]


def test_wrong_argument_raises_as_in_tqdm(run: TrackerJob) -> None:
    """An unknown argument raises the KeyError of tqdm."""
    with run, pytest.raises(KeyError, match="Unknown argument"):
        quiet(range(3), step="load", no_such=1)


def _work(bar: tqdm[int]) -> None:
    bar.update(2)


def test_updates_of_another_thread_are_counted(run: TrackerJob, outbox: Path) -> None:
    """1000 updates of another thread are all counted."""
    from concurrent.futures import ThreadPoolExecutor

    with run, quiet(total=2000, step="load", disable=True) as bar:
        with ThreadPoolExecutor(1) as pool:
            list(pool.map(lambda _: _work(bar), range(1000)))

    assert progress(outbox, "load")[-1] == (2000, 2000)


@pytest.mark.parametrize("job", ["S1", 3, ["S1"]], ids=repr)
def test_job_that_is_not_a_handle_is_rejected(run: TrackerJob, job: Any) -> None:
    """Another object as `job` raises a TypeError that names the argument."""
    with run, pytest.raises(TypeError, match=r"^job must be a TrackerJob, got "):
        quiet(range(3), step="load", job=job)
