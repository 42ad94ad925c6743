"""Signals that interrupt a script, and signal handlers that report."""

import signal
import threading
from typing import Final

import pytest

from tests.support.backend_jobs import stored
from tests.support.scripts import Scripts, line_of
from trackerapi import TrackerApi

ENDLESS: Final = """\
job = TrackerApi().job(JOB)
send(job, 100)
print("ready", flush=True)
while True:
    send(job)
"""


@pytest.mark.parametrize("number", [1, 2, 3])
def test_ctrl_c_ends_a_script_as_without_tracking(
    scripts: Scripts, number: int
) -> None:
    """Ctrl-C ends a reporting script by SIGINT, with the usual traceback."""
    ends: list[tuple[int, list[str]]] = []
    for mode in ("online", "off"):
        with scripts.start(ENDLESS, TRACKERAPI_MODE=mode) as process:
            assert line_of(process.stdout) == "ready"
            # The parameter moves the signal to different code in the loop.
            assert process.stdout is not None
            threading.Event().wait(0.01 * number)
            process.send_signal(signal.SIGINT)
            errors = process.communicate()[1].splitlines()
        ends.append((process.returncode, [errors[0], errors[-1]]))

    traceback = ["Traceback (most recent call last):", "KeyboardInterrupt"]
    assert ends == [(-signal.SIGINT, traceback)] * 2
    scripts.assert_all_arrive_once(cut=1)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL", "SIGHUP"])
def test_killed_script_leaves_its_events_to_the_next(
    scripts: Scripts, name: str
) -> None:
    """The signal ends the script; each event whose call returned is delivered."""
    number = signal.Signals[name]
    with scripts.start(ENDLESS) as process:
        assert line_of(process.stdout) == "ready"
        process.send_signal(number)
        errors = process.communicate()[1]

    assert (process.returncode, errors) == (-number, "")
    scripts.assert_all_arrive_once(cut=1)


def test_script_that_is_interrupted_repeatedly_keeps_its_counts(
    scripts: Scripts,
) -> None:
    """After 150 KeyboardInterrupts in reports, no record is undelivered or lost."""
    output, errors = scripts.run("""\
        import signal

        tracker = TrackerApi()
        job = tracker.job(JOB)
        send(job)
        caught = 0
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        while caught < 150:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0005 + caught * 1e-6)
                while True:
                    send(job)
            except KeyboardInterrupt:
                caught += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(tracker.flush(timeout=30).waiting)
        """)

    assert (output, errors) == ("0\n", "")
    scripts.assert_all_arrive_once(cut=150)


def test_signal_handler_may_report_during_a_report(
    scripts: Scripts,
) -> None:
    """Events of a signal handler, and events that it interrupts, are delivered."""
    output, errors = scripts.run("""\
        import signal

        tracker = TrackerApi()
        job = tracker.job(JOB)
        send(job)
        handled = 0

        def report(*_):
            global handled
            handled += 1
            send(job)

        signal.signal(signal.SIGALRM, report)
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        while handled < 1000:
            send(job)
            job.send_event(kind="progress", name="say_hello", fraction=0.5)
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(tracker.flush(timeout=30).waiting)
        """)

    assert (output, errors) == ("0\n", "")
    with TrackerApi(scripts.backend.api_key, scripts.backend.base_url) as asking:
        events = stored(asking, scripts.job_id)
    arrived = [event.event_id for event in events if event.kind == "info"]
    assert sorted(arrived) == sorted(scripts.returned)
