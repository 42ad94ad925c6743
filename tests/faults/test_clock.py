"""Wall clocks that jump or lag: the order of events stays the order of the calls."""

from scripts.proving.verdict import stored_events
from tests.support.proof_runs import FLUSHED, Lab, Pictures


def test_events_keep_their_order_while_the_clock_jumps(
    lab: Lab, undisturbed: Pictures
) -> None:
    """Jumps of the clock by hours and days change neither order nor percentage."""
    lab.prelude = "tests.support.preludes.jumping_clock"
    with lab.start("--flush", "30") as job:
        job.run_through()

    assert tuple(job.printed) == FLUSHED
    lab.assert_all_arrived(undisturbed)


def test_events_of_an_outage_arrive_while_the_clock_jumps(
    lab: Lab, undisturbed: Pictures
) -> None:
    """All events arrive after an outage during which the wall clock jumps."""
    lab.prelude = "tests.support.preludes.jumping_clock"
    with lab.proxy.down(), lab.start() as job:
        job.run_through()
    lab.sync()

    lab.assert_all_arrived(undisturbed)


def test_events_of_a_rerun_on_a_slow_clock_count_after_events_of_the_killed_run(
    lab: Lab,
) -> None:
    """Events of a rerun with a slow clock sort after all events of the killed run."""
    with lab.start() as job:
        job.pass_gate("phase 1")
        job.await_gate("phase 2")
        lab.await_delivered()
        job.kill()
    lab.prelude = "tests.support.preludes.slow_clock"
    with lab.start("--round", "2", "--flush", "30") as again:
        again.run_through()

    with lab.direct_tracker() as tracker:
        events = stored_events(tracker, lab.job_id)
    events.sort(key=lambda event: (event.occurred_at, event.event_id))
    rounds = [event.event_metadata["Round"] for event in events]
    assert rounds == sorted(rounds)
