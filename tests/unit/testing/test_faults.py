"""Faults that `FakeTracker.fail_with()` injects, and their effects on a script."""

from collections.abc import Callable

import pytest

from trackerapi import (
    AuthenticationError,
    BackendError,
    BackendRejected,
    BackendUnavailable,
    DeliveryProblem,
    JobConfig,
    OutboxError,
    TrackerApi,
    TrackerError,
)
from trackerapi.testing import FakeTracker
from trackerapi.testing.faults import FAULTS, Fault

RAISED_WHEN_STRICT = {
    "key": AuthenticationError,
    "customer": BackendRejected,
    "disk": OutboxError,
}
"""Error that a strict script raises for a fault; other faults raise nothing."""

PROBLEM_KINDS = {
    "timeout": "unreachable",
    "refused": "unreachable",
    "key": "key-refused",
    "customer": "job-refused",
    "disk": "outbox-unwritable",
}


def pipeline(made: TrackerApi) -> None:
    """Run a job of two steps."""
    with made.run_job("S1", customer_id=142, tag="imaging") as job:
        with job.step("load"):
            pass
        for _ in job.track(range(10), step="report"):
            pass


@pytest.mark.parametrize("fault", FAULTS)
def test_job_finishes_despite_a_fault(
    fault: Fault, tracker: FakeTracker, config: JobConfig
) -> None:
    """A script that is not strict finishes; `on_problem` is called once."""
    reported: list[DeliveryProblem] = []
    tracker.fail_with(fault)

    pipeline(TrackerApi(on_problem=reported.append))

    assert tracker.job("S1").finished
    assert [problem.kind for problem in reported] == [PROBLEM_KINDS[fault]]


@pytest.mark.parametrize("fault", FAULTS)
def test_strict_script_raises_as_in_production(
    fault: Fault, tracker: FakeTracker, config: JobConfig
) -> None:
    """A strict script raises the error of the fault; without a network it finishes."""
    made = TrackerApi(strict=True)
    tracker.fail_with(fault)
    expected = RAISED_WHEN_STRICT.get(fault)

    if expected is None:
        pipeline(made)
        assert tracker.job("S1").finished
    else:
        with pytest.raises(expected):
            pipeline(made)


@pytest.mark.parametrize("fault", FAULTS)
def test_strict_may_come_from_the_environment(
    fault: Fault,
    tracker: FakeTracker,
    config: JobConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`TRACKERAPI_STRICT=1` makes a script strict in a test."""
    monkeypatch.setenv("TRACKERAPI_STRICT", "1")
    tracker.fail_with(fault)

    if fault in RAISED_WHEN_STRICT:
        with pytest.raises(TrackerError):
            pipeline(TrackerApi())


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("timeout", BackendUnavailable),
        ("refused", BackendUnavailable),
        ("key", AuthenticationError),
        ("customer", BackendRejected),
    ],
)
def test_read_calls_raise_the_fault(
    fault: Fault, error: type[BackendError], tracker: FakeTracker, config: JobConfig
) -> None:
    """`get_job()`, `fetch()` and `share_link()` raise the error of the fault."""
    tracker.fail_with(fault)
    made = TrackerApi()
    job = made.create_job("S1", 142, "imaging")

    read_calls: list[Callable[[], object]] = [job.fetch, job.share_link]
    for ask in [lambda: made.get_job("S1"), *read_calls]:
        with pytest.raises(error):
            ask()


def test_delivery_counts_undelivered_reports(
    tracker: FakeTracker, config: JobConfig
) -> None:
    """Reports during the fault `timeout` are undelivered until `recover()`."""
    made = TrackerApi()
    made.create_job("S0", 142, "imaging")
    tracker.fail_with("timeout")
    made.create_job("S1", 142, "imaging").send_event(kind="start")

    report = made.flush(timeout=60)
    assert (report.delivered, report.waiting) == (1, 2)
    assert "no answer in time" in (report.last_error or "")
    tracker.recover()
    assert made.delivery().waiting == 0
    assert made.get_job("S1").status == "running"


def test_rejected_job_is_held(tracker: FakeTracker, config: JobConfig) -> None:
    """Reports of a rejected job are held until the job is created after `recover()`."""
    made = TrackerApi()
    tracker.fail_with("customer")
    made.create_job("S1", 142, "imaging").send_event(kind="start")

    assert (made.delivery().held, made.delivery().waiting) == (2, 0)
    tracker.recover()
    made.create_job("S1", 142, "imaging")
    assert made.get_job("S1").status == "running"
    assert made.delivery().held == 0


def test_job_finishes_despite_two_faults(
    tracker: FakeTracker, config: JobConfig
) -> None:
    """A job finishes although the key is refused and the disk is full."""
    tracker.fail_with("key", "disk")

    pipeline(TrackerApi())

    assert tracker.job("S1").finished


def test_steps_are_recorded_after_a_fault_in_mid_job(
    tracker: FakeTracker, config: JobConfig
) -> None:
    """Steps are recorded although two faults begin while the job runs."""
    with TrackerApi().run_job("S1", 142, "imaging") as job:
        with job.step("load"):
            tracker.fail_with("refused", "disk")
        job.skip("report")

    assert tracker.job("S1").steps == {"load": "done", "report": "skipped"}


def test_unknown_fault_is_rejected(tracker: FakeTracker) -> None:
    """An unknown fault raises ValueError with the names of all faults."""
    with pytest.raises(ValueError, match="timeout, refused, key, customer, disk"):
        tracker.fail_with("time-out")  # type: ignore[arg-type]
