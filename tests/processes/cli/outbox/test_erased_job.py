"""Reports of an erased job: they are held with the reason, and the script goes on."""

import uuid

import pytest

from tests.support.leftovers import Machine, held_records
from trackerapi import BackendRejected, DeliveryProblem, TrackerApi
from trackerapi.cli.exit_statuses import FINE, HELD


def test_reports_of_an_erased_job_are_held(machine: Machine) -> None:
    """Neither a replay, an event nor a new creation brings an erased job back."""
    job_id, backend = str(uuid.uuid4()), machine.backend
    problems: list[DeliveryProblem] = []
    with TrackerApi(
        backend.api_key,
        base_url=backend.base_url,
        outbox=machine.outbox,
        on_problem=problems.append,
    ) as tracker:
        job = tracker.create_job(job_id, backend.customer_id, "import")
        job.send_event("info", message="before")
        assert tracker.flush(60).held == 0
        assert tracker.admin.erase_job(job.fetch().id).erased_jobs == 1

        replayed = machine.run("outbox", "replay")
        assert (replayed.status, "was erased" in replayed.err) == (HELD, True)
        job.send_event("info", message="after")
        assert tracker.flush(60).held == 1
        tracker.create_job(job_id, backend.customer_id, "import")
        report = tracker.flush(60)

        assert (report.waiting, report.held) == (0, 2)
        with pytest.raises(BackendRejected):
            tracker.get_job(job_id)
    drop = f"trackerapi outbox drop --job '{job_id}'"
    assert [problem.kind for problem in problems] == ["event-refused", "job-refused"]
    assert all(drop in problem.message for problem in problems)
    assert not [each.message for each in problems if ".;" in each.message]
    assert not [each.message for each in problems if ".)" in each.message]
    records = held_records(machine)
    assert len(records) == 2
    assert all("problem:erased" in str(record["problem"]) for record in records)
    assert machine.run("outbox", "drop", "--job", job_id, "--yes").status == FINE
