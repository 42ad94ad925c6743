"""Forked children: their reports, connections and locks."""

import sys
import threading
from collections import Counter

import pytest

from tests.support.backend_jobs import stored
from tests.support.gateway import Gateway
from tests.support.scripted_server import Request
from tests.support.scripts import (
    KEEPING,
    OWN_THREADS,
    PATIENCE_SECONDS,
    Scripts,
    line_of,
    write_line,
)
from trackerapi import TrackerApi


@pytest.mark.parametrize("ending", ["sys.exit(0)", "os._exit(0)"])
def test_fork_loses_and_doubles_nothing(scripts: Scripts, ending: str) -> None:
    """Events of parent and child before and after a fork are stored once each."""
    output, errors = scripts.run(f"""\
        tracker = TrackerApi()
        job = tracker.job(JOB)
        send(job, 50)
        child = os.fork()
        if not child:
            send(job, 50)
            {ending}
        send(job, 50)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(status, tracker.flush(timeout=30).waiting)
        """)

    assert (output, errors) == ("0 0\n", "")
    assert len(scripts.returned) == 150
    scripts.assert_all_arrive_once()
    with TrackerApi(scripts.backend.api_key, scripts.backend.base_url) as asking:
        pids = Counter(e.event_metadata["pid"] for e in stored(asking, scripts.job_id))
    assert sorted(pids.values()) == [50, 100]


def test_fork_leaves_progress_to_the_parent(scripts: Scripts) -> None:
    """Pending progress of the parent is stored once, by the parent."""
    scripts.run("""\
        tracker = TrackerApi()
        job = tracker.job(JOB)
        for done in range(3):
            job.send_event(kind="progress", name="say_hello", completed=done, total=9)
        child = os.fork()
        if not child:
            send(job)
            sys.exit(0)
        send(job)
        assert os.waitpid(child, 0)[1] == 0
        assert tracker.flush(timeout=30).waiting == 0
        """)

    with TrackerApi(scripts.backend.api_key, scripts.backend.base_url) as asking:
        events = stored(asking, scripts.job_id)
    progress = [e.completed for e in events if e.kind == "progress"]
    assert progress[0] == 0
    assert progress.count(2) == 1
    assert len(events) - len(progress) == 2


def test_fork_of_a_busy_loop_opens_a_connection_of_its_own(
    scripts: Scripts, gateway: Gateway
) -> None:
    """A child forked during a request of its parent opens its own connection."""
    is_held, release = threading.Event(), threading.Event()

    def fault(request: Request) -> None:
        if not is_held.is_set() and request.target.endswith("/events/batch"):
            is_held.set()
            assert release.wait(PATIENCE_SECONDS)

    gateway.fault = fault
    scripts.base_url = gateway.url
    with scripts.start(
        KEEPING
        + """\
        tracker = TrackerApi(timeout_seconds=60)
        job = tracker.job(JOB)
        send(job, 10)
        sys.stdin.readline()
        child = os.fork()
        if not child:
            send(job, 10)
            assert tracker.flush(timeout=30).waiting == 0
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        print("child has ended", flush=True)
        send(job, 10)
        assert tracker.flush(timeout=30).waiting == 0
        """
    ) as process:
        assert is_held.wait(PATIENCE_SECONDS)
        write_line(process, "fork")
        assert line_of(process.stdout) == "child has ended"
        release.set()
        errors = process.communicate()[1]

    assert (process.returncode, errors) == (0, "")
    assert gateway.server.connection_count == 2
    scripts.assert_all_arrive_once()


def test_fork_of_an_idle_loop_opens_a_connection_of_its_own(
    scripts: Scripts, gateway: Gateway
) -> None:
    """A child forked while its parent's connection is idle opens its own connection."""
    scripts.base_url = gateway.url
    output, errors = scripts.run(
        KEEPING
        + """\
        tracker = TrackerApi(timeout_seconds=60)
        job = tracker.job(JOB)
        send(job, 10)
        assert tracker.flush(timeout=30).waiting == 0
        child = os.fork()
        if not child:
            send(job, 10)
            assert tracker.flush(timeout=30).waiting == 0
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        send(job, 10)
        print(tracker.flush(timeout=30).waiting)
        """
    )

    assert (output, errors) == ("0\n", "")
    assert gateway.server.connection_count == 2
    scripts.assert_all_arrive_once()


def test_fork_while_another_thread_sends_first_does_not_hang(scripts: Scripts) -> None:
    """A child forked while another thread opens the outbox can report."""
    output, errors = scripts.run(
        OWN_THREADS
        + """\
        begin = threading.Thread.start
        is_opening = threading.Event()

        def begin_late(thread):
            if thread.name == "trackerapi-delivery":
                is_opening.set()
                threading.Event().wait(0.5)
            begin(thread)

        threading.Thread.start = begin_late
        tracker = TrackerApi()
        job = tracker.job(JOB)
        first = threading.Thread(target=send, args=(job, 5))
        first.start()
        is_opening.wait()
        child = os.fork()
        if not child:
            send(job, 5)
            sys.exit(0)
        print(os.waitpid(child, 0)[1])
        first.join()
        print(tracker.flush(timeout=30).waiting)
        """,
        # An exit that waits for this timeout takes longer than the test allows.
        TRACKERAPI_SHUTDOWN_TIMEOUT="3600",
    )

    assert (output, errors) == ("0\n0\n", "")
    assert len(scripts.returned) == 10
    scripts.assert_all_arrive_once()


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="Python before 3.12 does not warn about forks"
)
def test_fork_beside_threads_warns_only_of_threads_of_the_script(
    scripts: Scripts,
) -> None:
    """Python's warning about forks beside threads is caused by script threads only."""
    output, errors = scripts.run("""\
        def fork():
            child = os.fork()
            if not child:
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            print("forked", file=sys.stderr, flush=True)

        tracker = TrackerApi()
        send(tracker.job(JOB))
        fork()
        end = threading.Event()
        own = threading.Thread(target=end.wait)
        own.start()
        fork()
        end.set()
        own.join()
        fork()
        """)

    assert output == ""
    before, between, after, rest = errors.split("forked\n")
    assert (before, after, rest) == ("", "", "")
    assert "DeprecationWarning" in between


def test_many_forks_at_any_moment_do_not_hang(scripts: Scripts) -> None:
    """Twenty children forked while threads report all exit with status 0."""
    output, errors = scripts.run(
        OWN_THREADS
        + """\
        tracker = TrackerApi()
        job = tracker.job(JOB)
        done = threading.Event()

        def go_on():
            while not done.wait(0.001):
                send(job)

        threads = [threading.Thread(target=go_on) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(20):
            child = os.fork()
            if not child:
                send(job, 5)
                if number % 2:
                    os._exit(0)
                tracker.close()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        done.set()
        for thread in threads:
            thread.join()
        print(tracker.flush(timeout=30).waiting)
        """
    )

    assert (output, errors) == ("0\n", "")
    scripts.assert_all_arrive_once()


def test_child_of_a_signal_handler_delivers_after_a_fork_in_a_fork(
    scripts: Scripts,
) -> None:
    """A child forked by a signal handler during another fork can deliver."""
    output, _ = scripts.run(
        """\
        import signal
        is_first = True

        def interrupt():
            global is_first
            if is_first:
                is_first = False
                os.kill(os.getpid(), signal.SIGUSR1)

        def fork(*_):
            child = os.fork()
            if not child:
                send(job)
                print(tracker.flush(30).waiting, flush=True)
                os._exit(0)
            os.waitpid(child, 0)

        # Hooks run in reverse order: this one while the library holds its guard.
        os.register_at_fork(before=interrupt)
        signal.signal(signal.SIGUSR1, fork)
        tracker = TrackerApi()
        job = tracker.job(JOB)
        send(job)
        tracker.flush(30)
        fork()
        tracker.close()
        """
    )

    assert output == "0\n0\n"
    scripts.assert_all_arrive_once()


def test_child_of_a_child_reports_too(scripts: Scripts) -> None:
    """Events of a child and a grandchild are stored once each."""
    output, errors = scripts.run("""\
        tracker = TrackerApi()
        job = tracker.job(JOB)
        send(job, 10)
        if not os.fork():
            send(job, 10)
            if not os.fork():
                send(job, 10)
                sys.exit(0)
            assert os.wait()[1] == 0
            sys.exit(0)
        print(os.wait()[1], tracker.flush(timeout=30).waiting)
        """)

    assert (output, errors) == ("0 0\n", "")
    assert len(scripts.returned) == 30
    scripts.assert_all_arrive_once()
