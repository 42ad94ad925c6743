"""The delivery loop of a whole process."""

from tests.support.scripts import Scripts


def test_idle_tracker_costs_no_processor_time(scripts: Scripts) -> None:
    """Two seconds of waiting after a flush cost less than 20 ms of the processor."""
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
