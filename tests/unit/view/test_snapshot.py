"""Snapshots of a job for views: steps, units, rates and status."""

import gc

from trackerapi import TrackerApi, TrackerJob
from trackerapi.jobs.job import job_block
from trackerapi.jobs.state import JobState
from trackerapi.jobs.step import step_block
from trackerapi.view.snapshot import StepSnapshot, WatchedJob


def state_of(job: TrackerJob) -> JobState:
    """Return the state of a job, from which views read."""
    return job_block(job).work.events.state


def step_of(watched: WatchedJob, at: float, tag: str = "load") -> StepSnapshot:
    """Return the snapshot of a step at `at` seconds."""
    return next(step for step in watched.snapshot(at).steps if step.tag == tag)


def test_steps_have_the_order_of_the_configuration(job: TrackerJob) -> None:
    """The snapshot has all configured steps; steps without reports are pending."""
    watched = WatchedJob(state_of(job), None, 0)
    job.step("segment").start()
    view = watched.snapshot(5)

    assert [(step.tag, step.status) for step in view.steps] == [
        ("load", "pending"),
        ("segment", "running"),
        ("report", "pending"),
    ]
    assert (view.tag, view.name, view.seconds) == ("imaging", "Imaging", 5)


def test_snapshot_has_the_count_before_its_record(job: TrackerJob) -> None:
    """A snapshot has the current count, before a progress record is written."""
    watched = WatchedJob(state_of(job), None, 0)
    step = job.step("load", total=10)
    step.start()
    step.total = 10
    step_of(watched, 0)
    for _ in range(4):
        step.advance()
    seen = step_of(watched, 2)

    assert (seen.completed, seen.total, seen.fraction) == (4, 10, 0.4)
    assert seen.units == "loads"
    assert (seen.rate, seen.seconds_left) == (2, 3)


def test_resumed_items_do_not_count_for_the_rate(job: TrackerJob) -> None:
    """Resumed items are completed units, but do not count for the rate."""
    watched = WatchedJob(state_of(job), None, 0)
    step = job.step("load")
    items = iter(step.track(range(1000), resume=range(900)))
    step.start()
    assert next(items) == 900
    step_of(watched, 0)
    step.advance(50)
    seen = step_of(watched, 10)

    assert (seen.completed, seen.total) == (950, 1000)
    assert (seen.rate, seen.seconds_left) == (5, 10)


def test_fraction_without_units_has_a_remaining_time(job: TrackerJob) -> None:
    """A step with a fraction and no units has a remaining time, but no rate."""
    watched = WatchedJob(state_of(job), None, 0)
    step = job.step("load")
    step.start()
    step_of(watched, 0)
    step.fraction = 0.25
    seen = step_of(watched, 10)

    assert (seen.fraction, seen.completed, seen.rate) == (0.25, None, None)
    assert seen.seconds_left == 30


def test_done_step_has_its_duration_and_no_rate(job: TrackerJob) -> None:
    """A done step has fraction 1.0 and its duration, but no rate or remaining time."""
    watched = WatchedJob(state_of(job), None, 0)
    step = job.step("load", total=4)
    step.start()
    step_of(watched, 1)
    step.advance(2)
    step.done()
    seen = step_of(watched, 8)

    assert (seen.status, seen.fraction, seen.seconds) == ("done", 1.0, 7)
    assert (seen.rate, seen.seconds_left) == (None, None)


def test_step_between_attempts_is_waiting(job: TrackerJob) -> None:
    """Between two attempts the step has status `waiting`, then `running` again."""
    watched = WatchedJob(state_of(job), None, 0)
    job.step("load").start()
    step_block(job.step("load")).work.attempt_failed(3, None, ValueError())
    assert step_of(watched, 1).status == "waiting"
    job.step("load").start()

    assert (step_of(watched, 2).status, step_of(watched, 2).attempts) == ("running", 2)


def test_steps_without_a_configuration_are_those_with_reports(
    recorder: TrackerApi,
) -> None:
    """Without a configuration, the snapshot has the reported steps and no percent."""
    job = recorder.run_job("bare", 142, "undescribed")
    watched = WatchedJob(state_of(job), None, 0)
    job.step("load").start()
    watched.note_event()
    job.step("load").advance(3)
    view = watched.snapshot(1)

    assert [(step.tag, step.status, step.completed) for step in view.steps] == [
        ("load", "running", 3)
    ]
    assert (view.name, view.percent) == ("bare", None)


def test_watched_job_does_not_keep_its_handle_alive(recorder: TrackerApi) -> None:
    """`WatchedJob` does not keep the handle alive, and still has the last status."""
    job = recorder.run_job("short", 142, "undescribed")
    watched = WatchedJob(state_of(job), None, 0)
    job.complete()
    del job
    gc.collect()

    assert watched.is_gone
    assert watched.snapshot(1).status == "succeeded"


def test_failed_step_alone_does_not_end_the_job(job: TrackerJob) -> None:
    """`is_over` is True after the job has failed, and False after a later start."""
    watched = WatchedJob(state_of(job), None, 0)
    is_over = []
    job.step("load").fail()
    watched.note_event()
    is_over.append(watched.is_over)
    job.fail()
    watched.note_event()
    is_over.append(watched.is_over)
    job.step("load").start()
    watched.note_event()
    is_over.append(watched.is_over)

    assert is_over == [False, True, False]
