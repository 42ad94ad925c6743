"""Exits of scripts: undelivered events, exit handlers, threads and finalizers.

The title of a test with the mark `in_row` begins with its row of the failure table.
"""

import threading
import uuid
from pathlib import Path

import pytest

from tests.support.backend_jobs import stored
from tests.support.ended_scripts import ended_script, record_counts
from tests.support.failure_table import in_row
from tests.support.gateway import Gateway
from tests.support.outbox_folders import below_a_file
from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import (
    silent,
)
from tests.support.scripts import Scripts
from tests.support.waiting import SLACK_SECONDS
from trackerapi import (
    TrackerApi,
)


@in_row("exit")
def test_exit_waits_for_a_silent_backend_no_longer_than_its_timeout(
    gateway: Gateway, silence: threading.Event, tmp_path: Path, strict: bool
) -> None:
    """Exit with events undelivered: one line, after shutdown_timeout at most."""
    gateway.fault = silent(silence)
    end = ended_script(
        "job = TrackerApi().job('silence')\n"
        "for _ in range(5): job.send_event(kind='info')\n",
        TRACKERAPI_BASE_URL=gateway.url,
        TRACKERAPI_API_KEY="key",
        TRACKERAPI_OUTBOX=str(tmp_path / "outbox"),
        TRACKERAPI_SHUTDOWN_TIMEOUT="0.5",
        TRACKERAPI_STRICT=str(int(strict)),
    )

    assert end.seconds <= 0.5 + SLACK_SECONDS
    assert record_counts(end.stderr, tmp_path / "outbox") == [5]
    assert end.stderr.count("\n") == 1


@in_row("exit")
def test_exit_does_not_wait_for_a_backend_known_to_be_down(
    closed_port: int, tmp_path: Path, strict: bool
) -> None:
    """Exit with events undelivered: no wait after a refused connection."""
    end = ended_script(
        "job = TrackerApi().create_job('down', 142, 'undescribed')\n"
        "for _ in range(5): job.send_event(kind='info')\n",
        TRACKERAPI_BASE_URL=f"http://127.0.0.1:{closed_port}",
        TRACKERAPI_API_KEY="key",
        TRACKERAPI_OUTBOX=str(tmp_path / "outbox"),
        TRACKERAPI_SHUTDOWN_TIMEOUT="3600",
        TRACKERAPI_STRICT=str(int(strict)),
    )

    assert end.seconds <= SLACK_SECONDS
    assert record_counts(end.stderr, tmp_path / "outbox") == [6]


@in_row("exit")
def test_exit_reports_events_of_a_dropped_tracker(
    closed_port: int, tmp_path: Path, strict: bool
) -> None:
    """Exit with events undelivered: events of a collected tracker are counted too."""
    end = ended_script(
        "def main():\n"
        "    job = TrackerApi().job('dropped')\n"
        "    for _ in range(5): job.send_event(kind='info')\n"
        "main()\n",
        TRACKERAPI_BASE_URL=f"http://127.0.0.1:{closed_port}",
        TRACKERAPI_API_KEY="key",
        TRACKERAPI_OUTBOX=str(tmp_path / "outbox"),
        TRACKERAPI_STRICT=str(int(strict)),
    )

    assert record_counts(end.stderr, tmp_path / "outbox") == [5]


@in_row("exit")
def test_exit_reports_deferred_events(
    backend: RunningBackend, tmp_path: Path, strict: bool
) -> None:
    """Exit with events undelivered: events of an unknown job are counted too."""
    job_id = str(uuid.uuid4())
    end = ended_script(
        f"tracker = TrackerApi(); job = tracker.job({job_id!r})\n"
        "for _ in range(2): job.send_event(kind='info')\n"
        "assert tracker.flush(timeout=0.5).waiting == 2\n",
        TRACKERAPI_SHUTDOWN_TIMEOUT="2",
        TRACKERAPI_BASE_URL=backend.base_url,
        TRACKERAPI_API_KEY=backend.api_key,
        TRACKERAPI_OUTBOX=str(tmp_path / "outbox"),
        TRACKERAPI_STRICT=str(int(strict)),
    )

    assert end.seconds <= 2.0 + SLACK_SECONDS
    assert record_counts(end.stderr, tmp_path / "outbox") == [2]
    assert f"delivers them; the backend does not know job {job_id!r}" in end.stderr


@in_row("exit", "default")
def test_exit_reports_events_in_memory_only(
    closed_port: int, tmp_path: Path, strict: bool
) -> None:
    """Exit with events undelivered: events in memory are reported as lost."""
    place = below_a_file(tmp_path)
    end = ended_script(
        "job = TrackerApi().create_job('nowhere', 142, 'undescribed')\n"
        "for _ in range(5): job.send_event(kind='info')\n",
        TRACKERAPI_BASE_URL=f"http://127.0.0.1:{closed_port}",
        TRACKERAPI_API_KEY="key",
        TRACKERAPI_OUTBOX=str(place),
        TRACKERAPI_STRICT=str(int(strict)),
    )

    (last,) = [line for line in end.stderr.splitlines() if "6 records" in line]
    assert "lost" in last
    assert f"stay in {place}" not in last


@pytest.mark.parametrize("place", ["before", "after"])
def test_event_of_an_exit_handler_is_kept(scripts: Scripts, place: str) -> None:
    """Events of `atexit` handlers before and after the library's handler arrive."""
    handler = "atexit.register(lambda: send(job, 3))"
    first, last = (handler, "") if place == "before" else ("", handler)
    output, errors = scripts.run(f"""\
        {first}
        job = TrackerApi().job(JOB)
        send(job, 3)
        {last}
        """)

    assert (output, errors) == ("", "")
    assert len(scripts.returned) == 6
    scripts.assert_all_arrive_once()


def test_event_of_a_thread_that_outlives_the_script_is_delivered(
    scripts: Scripts,
) -> None:
    """Events that a thread sends after the end of the main thread are delivered."""
    output, errors = scripts.run("""\
        job = TrackerApi().job(JOB)
        send(job)

        def go_on():
            threading.main_thread().join()
            send(job, 10)

        threading.Thread(target=go_on).start()
        """)

    assert (output, errors) == ("", "")
    with TrackerApi(scripts.backend.api_key, scripts.backend.base_url) as asking:
        arrived = [event.event_id for event in stored(asking, scripts.job_id)]
    assert arrived == scripts.returned
    assert len(arrived) == 11


def test_event_of_a_finalizer_neither_hangs_nor_fails(scripts: Scripts) -> None:
    """Events sent by `__del__` during interpreter shutdown are recorded."""
    output, errors = scripts.run(
        """\
        class Resource:
            def __init__(self, job):
                self.job, self.send, self.write = job, job.send_event, os.write

            def __del__(self):
                event_id = self.send(kind="info")
                self.write(RETURNED, event_id.encode() + b"\\n")
                for done in range(3):
                    self.send(kind="progress", name="say_hello", completed=done)

        job = TrackerApi().job(JOB)
        send(job)
        resource = Resource(job)
        """,
        # An exit that waits for this timeout takes longer than the test allows.
        TRACKERAPI_SHUTDOWN_TIMEOUT="3600",
    )

    assert (output, errors) == ("", "")
    assert len(scripts.returned) == 2
    scripts.assert_all_arrive_once(cut=3)


def test_event_of_a_finalizer_that_outlives_its_tracker_is_kept(
    scripts: Scripts,
) -> None:
    """Events that `__del__` sends after its tracker was collected are recorded."""
    output, errors = scripts.run(
        """\
        import gc

        class Resource:
            def __init__(self, job):
                self.job, self.itself = job, self

            def __del__(self):
                time.sleep(0.5)  # the tracker has ended by now
                self.job.send_event(kind="progress", name="say_hello", completed=1)
                send(self.job, 2)

        def main():
            job = TrackerApi().job(JOB)
            send(job)
            Resource(job)

        main()
        gc.collect()
        """,
        # An exit that waits for this timeout takes longer than the test allows.
        TRACKERAPI_SHUTDOWN_TIMEOUT="3600",
    )

    assert (output, errors) == ("", "")
    assert len(scripts.returned) == 3
    scripts.assert_all_arrive_once(cut=1)
