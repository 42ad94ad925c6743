"""A clock that jumps does not reorder what a job reports."""

from scripts.proving.verdict import stored_events
from tests.support.proof_runs import FLUSHED, Lab, Pictures


def test_events_keep_their_order_while_the_clock_jumps(
    lab: Lab, undisturbed: Pictures
) -> None:
    """Jumps by hours and days, forth and back, change neither order nor percentage."""
    lab.prelude = "tests.support.preludes.jumping_clock"
    with lab.start("--flush", "30") as job:
        job.run_through()

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


def test_events_wait_out_an_outage_while_the_clock_jumps(
    lab: Lab, undisturbed: Pictures
) -> None:
    """Neither waiting nor taking over measures time by a clock that can be set."""
    lab.prelude = "tests.support.preludes.jumping_clock"
    with lab.proxy.down(), lab.start() as job:
        job.run_through()
    lab.sync()

    lab.assert_all_arrived(undisturbed)


def test_restart_on_a_clock_that_is_behind_goes_on_after_what_was_reported(
    lab: Lab,
) -> None:
    """All that a rerun reports counts after all that the killed run has reported."""
    with lab.start() as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        lab.await_delivered()
        job.kill()
    lab.prelude = "tests.support.preludes.slow_clock"
    with lab.start("--round", "2", "--flush", "30") as again:
        again.run_through()

    with lab.asking() as tracker:
        events = stored_events(tracker, lab.job_id)
    events.sort(key=lambda event: (event.occurred_at, event.event_id))
    rounds = [event.event_metadata["Round"] for event in events]
    assert rounds == sorted(rounds)
