"""Lines that the plain view writes to a log."""

import io

import pytest

from trackerapi import DeliveryReport, TrackerApi, TrackerJob
from trackerapi.jobs.job import job_block
from trackerapi.view.output import Output
from trackerapi.view.plain import MAX_LINES_A_SECOND, PlainLines
from trackerapi.view.snapshot import WatchedJob


class Log:
    """Plain view of jobs; its methods return the lines since the last call."""

    def __init__(self, *jobs: TrackerJob) -> None:
        self._written = io.StringIO()
        self.plain = PlainLines(Output(self._written), 10)
        self.watched_jobs = [
            WatchedJob(job_block(job).work.events.state, None, 0) for job in jobs
        ]

    def show(self, at: float, delivery: DeliveryReport | None = None) -> list[str]:
        """Show the jobs at `at` seconds; return the new lines."""
        self.plain.show(self.watched_jobs, delivery, at)
        return self.new_lines()

    def end(self, at: float, delivery: DeliveryReport | None = None) -> list[str]:
        """End the view of each job at `at` seconds; return the new lines."""
        for watched in self.watched_jobs:
            self.plain.end(watched, delivery, at)
        return self.new_lines()

    def new_lines(self) -> list[str]:
        """Return the lines since the last call."""
        text = self._written.getvalue()
        self._written.seek(0)
        self._written.truncate()
        assert all(line.startswith("trackerapi: ") for line in text.splitlines())
        return [line.removeprefix("trackerapi: ") for line in text.splitlines()]


@pytest.fixture
def log(job: TrackerJob) -> Log:
    """Return the plain view of a job."""
    return Log(job)


def title(job: TrackerJob) -> str:
    """Return the title of a job, with which its lines begin."""
    return f"imaging {job.provider_job_id}"


def test_each_change_of_a_step_is_a_line(log: Log, job: TrackerJob) -> None:
    """Each start and end of a step is a line with its status and the percentage."""
    job.send_event(kind="start")
    new_lines = log.show(0)
    job.step("load").start()
    new_lines += log.show(1)
    job.step("load").done()
    job.step("segment").start()
    new_lines += log.show(4)

    assert new_lines == [
        f"{title(job)}: running, own estimate 0.00 %",
        f"{title(job)}: load running, own estimate 0.00 %",
        f"{title(job)}: load done after 3 s, own estimate 10.00 %",
        f"{title(job)}: segment running, own estimate 10.00 %",
    ]


def test_line_comes_at_intervals_if_only_counts_change(
    log: Log, job: TrackerJob
) -> None:
    """A new count is printed 10 seconds after the last line, the given interval."""
    job.step("load", total=100).start()
    job.step("load").total = 100
    log.show(0)
    job.step("load").advance(50)

    assert [log.show(at) for at in (1, 5, 9.9)] == [[], [], []]
    assert log.show(10) == [
        f"{title(job)}: own estimate 0.00 %, load 50 of 100 loads (5.0/s, 10 s left)"
    ]
    assert log.show(11) == []


def test_end_of_a_job_is_a_line(log: Log, job: TrackerJob) -> None:
    """The last line has status, duration, percentage and undelivered reports."""
    job.send_event(kind="start")
    log.show(0)
    job.complete()
    report = DeliveryReport(waiting=3, last_error="no route")

    assert log.end(65, report) == [
        f"{title(job)}: succeeded after 1 min 5 s, 100 %, 3 not delivered yet: no route"
    ]


def test_last_line_of_an_unfinished_job_has_status_running(
    log: Log, job: TrackerJob
) -> None:
    """The last line of a job without a reported end has the status `running`."""
    job.send_event(kind="start")

    assert log.end(1) == [f"{title(job)}: running, own estimate 0.00 %"]


def test_step_that_ended_before_the_view_has_no_line(
    recorder: TrackerApi, job: TrackerJob
) -> None:
    """A step that ended before the view began has no line."""
    job.step("load").done()
    log = Log(job)
    job.step("segment").start()

    assert [line.partition(": ")[2] for line in log.show(0)] == [
        "running, own estimate 10.00 %",
        "segment running, own estimate 10.00 %",
    ]


def test_many_changes_between_two_calls_are_one_line(recorder: TrackerApi) -> None:
    """1000 steps that end between two calls of `show()` are one line."""
    job = recorder.run_job("many", 142, "undescribed")
    log = Log(job)
    for number in range(1000):
        job.step(f"step-{number}").done()

    assert log.show(0)[1:] == ["many: 1000 steps changed, 1000 of 1000 done"]


def test_many_jobs_are_limited_to_a_readable_number_of_lines(
    recorder: TrackerApi,
) -> None:
    """For 1000 ended jobs, few lines are printed; the last line counts omitted jobs."""
    jobs = [recorder.run_job(f"job-{n}", 142, "undescribed") for n in range(1000)]
    log = Log(*jobs)
    for job in jobs:
        job.complete()
    new_lines = [*log.show(0), *log.end(0)]
    log.plain.close()

    assert len(new_lines) <= MAX_LINES_A_SECOND + 5
    assert log.new_lines()[-1].endswith(" more jobs have ended")
