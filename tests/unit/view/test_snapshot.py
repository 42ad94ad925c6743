"""Snapshots of jobs by their handles."""

import gc

from trackerapi import TrackerApi, TrackerJob
from trackerapi.jobs.job import job_block
from trackerapi.jobs.sending import EventSender
from trackerapi.jobs.step import step_block
from trackerapi.view.snapshot import StepSnapshot, WatchedJob


def events_of(job: TrackerJob) -> EventSender:
    """Return the part of a handle that a view reads."""
    return job_block(job).work.events


def step_of(watched: WatchedJob, at: float, tag: str = "load") -> StepSnapshot:
    """Return a step of a job as it is at a time."""
    return next(step for step in watched.snapshot(at).steps if step.tag == tag)


def test_steps_have_the_order_of_the_configuration(job: TrackerJob) -> None:
    """Steps without reports are shown, too."""
    watched = WatchedJob(events_of(job), None, 0)
    job.step("segment").start()
    view = watched.snapshot(5)

    assert [(step.tag, step.status) for step in view.steps] == [
        ("load", "pending"),
        ("segment", "running"),
        ("report", "pending"),
    ]
    assert (view.tag, view.name, view.seconds) == ("imaging", "Imaging", 5)


def test_units_are_seen_before_they_are_reported(job: TrackerJob) -> None:
    """A view need not wait for the one record a second."""
    watched = WatchedJob(events_of(job), None, 0)
    step = job.step("load", total=10)
    step.start()
    step.total = 10
    step_of(watched, 0)
    for _ in range(4):
        step.advance()
    seen = step_of(watched, 2)

    assert (seen.completed, seen.total, seen.fraction) == (4, 10, 0.4)
    assert (seen.rate, seen.seconds_left) == (2, 3)


def test_resumed_items_do_not_count_for_the_rate(job: TrackerJob) -> None:
    """Items of an earlier run took no time in this one."""
    watched = WatchedJob(events_of(job), None, 0)
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
    """A step with a fraction is as good as one that counts."""
    watched = WatchedJob(events_of(job), None, 0)
    step = job.step("load")
    step.start()
    step_of(watched, 0)
    step.fraction = 0.25
    seen = step_of(watched, 10)

    assert (seen.fraction, seen.completed, seen.rate) == (0.25, None, None)
    assert seen.seconds_left == 30


def test_done_step_has_its_duration_and_no_rate(job: TrackerJob) -> None:
    """The snapshot of a done step has a duration."""
    watched = WatchedJob(events_of(job), None, 0)
    step = job.step("load", total=4)
    step.start()
    step_of(watched, 1)
    step.advance(2)
    step.done()
    seen = step_of(watched, 8)

    assert (seen.status, seen.fraction, seen.seconds) == ("done", 1.0, 7)
    assert (seen.rate, seen.seconds_left) == (None, None)


def test_step_between_attempts_is_trying_again(job: TrackerJob) -> None:
    """It has not failed yet, and the job goes on."""
    watched = WatchedJob(events_of(job), None, 0)
    job.step("load").start()
    step_block(job.step("load")).work.attempt_failed(1, 3, ValueError())
    assert step_of(watched, 1).status == "waiting"
    job.step("load").start()

    assert (step_of(watched, 2).status, step_of(watched, 2).attempts) == ("running", 2)


def test_steps_without_a_configuration_are_those_with_reports(
    recorder: TrackerApi,
) -> None:
    """Without points there is no percent, but there are steps."""
    job = recorder.run_job("bare", 142, "undescribed")
    watched = WatchedJob(events_of(job), None, 0)
    job.step("load").start()
    watched.note_event("start", "load")
    job.step("load").advance(3)
    view = watched.snapshot(1)

    assert [(step.tag, step.status, step.completed) for step in view.steps] == [
        ("load", "running", 3)
    ]
    assert (view.name, view.percent) == ("bare", None)


def test_job_can_be_seen_after_its_handle_is_gone(recorder: TrackerApi) -> None:
    """A snapshot does not keep the handle, and with it delivery, alive."""
    job = recorder.run_job("short", 142, "undescribed")
    watched = WatchedJob(events_of(job), None, 0)
    job.complete()
    del job
    gc.collect()

    assert watched.is_gone
    assert watched.snapshot(1).status == "succeeded"


def test_failed_step_alone_does_not_end_the_job(job: TrackerJob) -> None:
    """The author may go on with it, or report that the job has failed."""
    watched = WatchedJob(events_of(job), None, 0)
    is_over = []
    job.step("load").fail()
    watched.note_event("error", "load")
    is_over.append(watched.is_over)
    job.fail()
    watched.note_event("error", None)
    is_over.append(watched.is_over)
    job.step("load").start()
    watched.note_event("start", "load")
    is_over.append(watched.is_over)

    assert is_over == [False, True, False]
