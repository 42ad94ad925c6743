"""`run_job()` blocks with a real backend."""

import pytest

from tests.support.backend_jobs import deliver
from trackerapi import JobConfig, TrackerApi


class UsageError(Exception):
    """Exception of a job script."""


def test_unreached_steps_are_not_run(tracker: TrackerApi, config: JobConfig) -> None:
    """After an exception, steps that were not reached have the status `not_run`."""
    with pytest.raises(UsageError):
        with tracker.run_job("stopped-early", 142, config.tag) as job:
            with job.step("load"):
                pass
            with job.step("segment"):
                raise UsageError
    deliver(tracker)
    seen = job.fetch()

    assert seen.status == "failed"
    assert [step.status for step in seen.steps] == ["done", "failed", "not_run"]
    assert {tag: step.status for tag, step in job.steps.items()} == {
        "load": "done",
        "segment": "failed",
        "report": "not_run",
    }


def test_run_job_finishes_with_the_block_and_not_with_the_last_step(
    tracker: TrackerApi, config: JobConfig
) -> None:
    """After its last step, the job stays running until its block ends."""
    with tracker.run_job("explicit", 142, config.tag) as job:
        for step in job.steps.values():
            with step:
                pass
        deliver(tracker)
        assert (job.fetch().status, job.fetch().percent) == ("running", 99.99)
    deliver(tracker)

    assert (job.fetch().status, job.fetch().percent) == ("succeeded", 100)
