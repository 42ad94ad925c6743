"""Processor time of the delivery loop."""

from tests.support.scripts import Scripts


def test_idle_tracker_uses_no_processor_time(scripts: Scripts) -> None:
    """In 2 s without events, a tracker uses less than 20 ms of processor time."""
    output, errors = scripts.run("""\
        tracker = TrackerApi()
        job = tracker.job(JOB)
        send(job, 10)
        job.send_event(kind="progress", name="say_hello", fraction=0.5)
        tracker.flush(timeout=30)
        before = time.process_time()
        threading.Event().wait(2.0)
        print(time.process_time() - before)
        """)

    assert errors == ""
    assert float(output) < 0.02
