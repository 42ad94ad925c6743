"""Threads, forks, pools, signals and ends: nothing lost, doubled, shared or left.

Most tests run a real script, which writes down the id of each event whose call has
returned, and then look at what a real backend has.
"""

import asyncio
import gc
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import pytest

from tests.processes.test_failure_table import Road, road_to, silent, stored
from tests.support.backend_jobs import deliver
from tests.support.recorded_jobs import recorded
from tests.support.running_backend import RunningBackend
from tests.support.scripted_server import Request, answering, http
from trackerapi import TrackerApi, TrackerJob
from trackerapi.delivery.conflation import Conflation
from trackerapi.delivery.passes import LEFTOVERS_SECONDS
from trackerapi.outbox.file import OutboxFile

NOWHERE: Final = "http://127.0.0.1:9"

PATIENCE_SECONDS: Final = 120
"""After this a script is taken for hanging."""

PREAMBLE: Final = """\
import atexit, os, sys, threading, time
from trackerapi import TrackerApi

RETURNED = os.open(os.environ["RETURNED"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
JOB = os.environ["JOB"]

def send(job, count=1):
    for _ in range(count):
        event_id = job.send_event(kind="info", metadata={"pid": os.getpid()})
        os.write(RETURNED, event_id.encode() + b"\\n")

"""


@dataclass
class Scripts:
    """Where scripts of one job run, and what they say they have reported.

    Attributes:
        backend: Where events end up.
        base_url: Where scripts send them.
        folder: Holds the outbox and what the scripts write.
        job_id: The job that they report on.
    """

    backend: RunningBackend
    base_url: str
    folder: Path
    job_id: str

    @property
    def outbox(self) -> Path:
        """The outbox folder of the scripts."""
        return self.folder / "outbox"

    @property
    def returned(self) -> list[str]:
        """The ids of the events whose calls have returned."""
        return (self.folder / "returned").read_text().split()

    @contextmanager
    def started(
        self,
        script: str,
        *options: str,
        **settings: str,
    ) -> "Iterator[subprocess.Popen[str]]":
        """Start a script; one that hangs is killed with all its children."""
        file = self.folder / "script.py"
        file.write_text(PREAMBLE + textwrap.dedent(script))
        process = subprocess.Popen(
            [sys.executable, *options, str(file)],
            cwd=self.folder,
            env={**os.environ, **self._settings(), **settings},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

        def kill() -> None:
            # A child that hangs would hold the pipes open.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        watchdog = threading.Timer(PATIENCE_SECONDS, kill)
        watchdog.start()
        with process:
            try:
                yield process
            finally:
                watchdog.cancel()
                kill()

    def run(self, script: str, *options: str, **settings: str) -> tuple[str, str]:
        """Run a script to its end; return its output and its errors."""
        with self.started(script, *options, **settings) as process:
            output, errors = process.communicate()
        assert process.returncode == 0, errors
        return output, errors

    def assert_all_arrive_once(self, *, cut: int = 0) -> None:
        """Let a next process deliver, and compare with what was returned.

        Args:
            cut: Calls that may have recorded without returning.
        """
        with TrackerApi(
            self.backend.api_key, self.base_url, outbox=self.outbox
        ) as following:
            deliver(following)
        with TrackerApi(self.backend.api_key, self.backend.base_url) as asking:
            counts = Counter(event.event_id for event in stored(asking, self.job_id))
        assert counts.total() == len(counts), "doubled"
        assert len(self.returned) == len(set(self.returned)) > 0
        lost = set(self.returned) - counts.keys()
        assert not lost, f"{len(lost)} of {len(self.returned)} lost"
        assert len(counts) - len(self.returned) <= cut

    def _settings(self) -> dict[str, str]:
        return {
            "TRACKERAPI_BASE_URL": self.base_url,
            "TRACKERAPI_API_KEY": self.backend.api_key,
            "TRACKERAPI_OUTBOX": str(self.outbox),
            # A busy machine is slow, and that proves nothing.
            "TRACKERAPI_SHUTDOWN_TIMEOUT": "30",
            "RETURNED": str(self.folder / "returned"),
            "JOB": self.job_id,
        }


@pytest.fixture
def scripts(backend: RunningBackend, job: TrackerJob, tmp_path: Path) -> Scripts:
    """Return where scripts report on a job of the backend."""
    return Scripts(backend, backend.base_url, tmp_path, job.provider_job_id)


@pytest.fixture
def road(backend: RunningBackend) -> Iterator[Road]:
    """Open a road to the backend, on which requests are counted."""
    with road_to(backend) as opened:
        yield opened


def couriers() -> set[threading.Thread]:
    """Return the threads of the library that live in this process."""
    # Those that begin just now are listed too, but cannot be waited for yet.
    begun = {thread for thread in threading.enumerate() if thread.ident is not None}
    return {thread for thread in begun if thread.name.startswith("trackerapi-")}


def await_end(threads: Iterable[threading.Thread]) -> None:
    """Wait until threads have ended."""
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive(), f"{thread.name} goes on"


def line_of(stream: IO[str] | None) -> str:
    """Return the next line of a script's output."""
    assert stream is not None
    return stream.readline().strip()


def say(process: "subprocess.Popen[str]", word: str) -> None:
    """Give a script a line to read."""
    assert process.stdin is not None
    process.stdin.write(word + "\n")
    process.stdin.flush()


# Threads


def test_threads_that_send_at_once_lose_and_double_nothing(
    tracker: TrackerApi, job: TrackerJob
) -> None:
    """Of 8 threads every event arrives once, each thread's in its order."""
    barrier = threading.Barrier(8)
    sent: list[list[str]] = [[] for _ in range(8)]

    def send(mine: list[str]) -> None:
        barrier.wait()
        mine += [job.send_event(kind="info") for _ in range(250)]

    threads = [threading.Thread(target=send, args=(mine,)) for mine in sent]
    for thread in threads:
        thread.start()
    await_end(threads)
    deliver(tracker)

    arrived = [event.event_id for event in stored(tracker, job)]
    assert sorted(arrived) == sorted(event_id for mine in sent for event_id in mine)
    places = {event_id: place for place, event_id in enumerate(arrived)}
    for mine in sent:
        assert [places[i] for i in mine] == sorted(places[i] for i in mine)


def test_threads_that_send_first_at_once_share_one_courier(
    backend: RunningBackend, tmp_path: Path
) -> None:
    """However many threads begin together, one file and one thread come of it."""
    before = couriers()
    barrier = threading.Barrier(8)
    outbox = tmp_path / "outbox"
    options: dict[str, Any] = {"mode": "offline", "outbox": outbox}
    with TrackerApi(backend.api_key, backend.base_url, **options) as tracker:
        handle = tracker.job("begun")

        def send() -> None:
            barrier.wait()
            handle.send_event(kind="info")

        threads = [threading.Thread(target=send) for _ in range(8)]
        for thread in threads:
            thread.start()
        await_end(threads)

        assert len(couriers() - before) == 1
    (file,) = outbox.glob("*.outbox")
    assert file.read_bytes().count(b'"event_id"') == 8


# Forks


@pytest.mark.parametrize("ending", ["sys.exit(0)", "os._exit(0)"])
def test_fork_loses_and_doubles_nothing(scripts: Scripts, ending: str) -> None:
    """What parent and child report before and after a fork arrives once."""
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
    """Progress that the parent has not written yet is not written by its child."""
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


OWN_THREADS: Final = """\
        # Newer Pythons warn of a fork beside threads of the script.
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)

"""
"""Begin of a script that forks beside threads of its own."""

KEEPING: Final = """\
        import httpx
        # A busy machine may take longer than an idle connection is kept.
        httpx._config.DEFAULT_LIMITS.keepalive_expiry = 3600

"""
"""Begin of a script whose connections are counted."""


def test_fork_of_a_busy_courier_opens_a_connection_of_its_own(
    scripts: Scripts, road: Road
) -> None:
    """A child that is forked in the middle of a request shares no socket."""
    is_held, release = threading.Event(), threading.Event()

    def fault(request: Request) -> None:
        if not is_held.is_set() and request.target.endswith("/events/batch"):
            is_held.set()
            assert release.wait(PATIENCE_SECONDS)

    road.fault = fault
    scripts.base_url = road.url
    with scripts.started(
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
        say(process, "fork")
        assert line_of(process.stdout) == "child has ended"
        release.set()
        errors = process.communicate()[1]

    assert (process.returncode, errors) == (0, "")
    assert road.server.connection_count == 2
    scripts.assert_all_arrive_once()


def test_fork_of_an_idle_courier_opens_a_connection_of_its_own(
    scripts: Scripts, road: Road
) -> None:
    """A connection that the parent keeps for later is not used by its child."""
    scripts.base_url = road.url
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
    assert road.server.connection_count == 2
    scripts.assert_all_arrive_once()


def test_fork_while_another_thread_sends_first_hangs_nobody(scripts: Scripts) -> None:
    """A child reports although the parent was about to open its outbox."""
    output, errors = scripts.run(
        OWN_THREADS
        + """\
        begin = threading.Thread.start
        is_opening = threading.Event()

        def begin_late(thread):
            if thread.name == "trackerapi-courier":
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
        # What waits for a time to run out instead of ending is to be killed first.
        TRACKERAPI_SHUTDOWN_TIMEOUT="3600",
    )

    assert (output, errors) == ("0\n0\n", "")
    assert len(scripts.returned) == 10
    scripts.assert_all_arrive_once()


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="this Python never warns of a fork"
)
def test_fork_beside_threads_is_warned_of_only_where_some_are_the_scripts_own(
    scripts: Scripts,
) -> None:
    """Our threads make Python say nothing that it would not have said without us."""
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


def test_many_forks_in_the_middle_of_things_hang_nobody(scripts: Scripts) -> None:
    """Children forked while threads report and deliver end like any other."""
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
    """The child of a handler that interrupts a fork delivers before it ends."""
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


FORK_IN_A_SEARCH: Final = """\
import os, sys, threading
from pathlib import Path
from trackerapi import TrackerApi
from trackerapi.outbox.file import OutboxFile

outbox, claim = Path(sys.argv[1]), OutboxFile.claim
is_open, is_forked = threading.Event(), threading.Event()

def claim_slowly(path):
    file = claim(path)
    is_open.set()
    is_forked.wait(0.5)
    return file

with TrackerApi("key", "http://127.0.0.1:9", mode="offline", outbox=outbox) as tracker:
    tracker.job("job").note("left")
(left,) = outbox.glob("*.outbox")
OutboxFile.claim = claim_slowly
tracker = TrackerApi("key", "http://127.0.0.1:9", outbox=outbox, shutdown_timeout=0)
tracker.job("job").note("new")
is_open.wait(30)
reader, writer = os.pipe()
is_there, tell = os.pipe()
if not os.fork():
    os.close(writer)
    os.write(tell, b".")
    os.read(reader, 1)  # lives on until its parent has ended
    os._exit(0)
is_forked.set()
os.read(is_there, 1)
tracker.close()
for thread in threading.enumerate():
    if thread is not threading.current_thread():
        thread.join(30)
print(claim(left) is not None)
"""


def test_child_that_is_forked_during_a_search_holds_no_leftover(
    tmp_path: Path,
) -> None:
    """What its parent was about to take over can be delivered while it lives."""
    done = subprocess.run(
        [sys.executable, "-c", FORK_IN_A_SEARCH, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )

    assert done.stdout == "True\n"


FORK_AFTER_THE_END: Final = """\
import os, sys
from trackerapi import TrackerApi

tracker = TrackerApi("key", sys.argv[2], outbox=sys.argv[1], shutdown_timeout=0)
tracker.job("job").note("left")
sys.stdin.readline()
tracker.close()
is_there, tell = os.pipe()
if not os.fork():
    os.write(tell, b".")
    sys.stdin.readline()  # lives on though its parent has ended
else:
    os.read(is_there, 1)
os._exit(0)
"""


def test_child_that_is_forked_after_an_end_holds_no_leftover(tmp_path: Path) -> None:
    """Also where a request was still on its way when the tracker was closed."""
    ended, is_asked = threading.Event(), threading.Event()

    def answer(_: Request) -> bytes:
        is_asked.set()
        ended.wait(PATIENCE_SECONDS)
        return http(503, {})

    with answering(answer) as server:
        command = [sys.executable, "-c", FORK_AFTER_THE_END, str(tmp_path), server.url]
        with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert is_asked.wait(PATIENCE_SECONDS)
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.wait(PATIENCE_SECONDS) == 0
            (path,) = tmp_path.glob("*.outbox")
            file = OutboxFile.claim(path)
        ended.set()

    assert file is not None
    file.close()


def test_child_of_a_child_reports_too(scripts: Scripts) -> None:
    """A fork of a fork, as daemons make them, begins anew once more."""
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


# Pools and workers

WORKERS: Final = """\
import multiprocessing

def own_tracker(count):
    tracker = TrackerApi()
    send(tracker.job(JOB), count)

def own_tracker_and_no_end(count):
    own_tracker(count)
    os._exit(0)

def inherited(count):
    send(job, count)

"""


@pytest.mark.parametrize(
    ("method", "work"),
    [
        ("fork", "inherited"),
        ("fork", "own_tracker"),
        ("fork", "own_tracker_and_no_end"),
        ("spawn", "own_tracker"),
        ("spawn", "own_tracker_and_no_end"),
        ("forkserver", "own_tracker"),
        ("forkserver", "own_tracker_and_no_end"),
    ],
)
def test_workers_of_multiprocessing_lose_and_double_nothing(
    scripts: Scripts, method: str, work: str
) -> None:
    """What workers report, however they begin and end, arrives once."""
    script = WORKERS + textwrap.dedent(f"""\
        if __name__ == "__main__":
            tracker = TrackerApi()
            job = tracker.job(JOB)
            send(job, 10)
            context = multiprocessing.get_context("{method}")
            workers = [context.Process(target={work}, args=(20,)) for _ in range(2)]
            for worker in workers:
                worker.start()
            send(job, 10)
            for worker in workers:
                worker.join()
            print([worker.exitcode for worker in workers])
            print(tracker.flush(timeout=30).waiting)
        """)
    output, errors = scripts.run(script)

    assert (output, errors) == ("[0, 0]\n0\n", "")
    assert len(scripts.returned) == 60
    scripts.assert_all_arrive_once()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_of_multiprocessing_delivers_before_it_ends(
    scripts: Scripts, method: str
) -> None:
    """A worker waits for its delivery like any process, though it runs no atexit."""
    script = WORKERS + textwrap.dedent(f"""\
        if __name__ == "__main__":
            context = multiprocessing.get_context("{method}")
            worker = context.Process(target=own_tracker, args=(20,))
            worker.start()
            worker.join()
        """)
    output, errors = scripts.run(script)

    assert (output, errors) == ("", "")
    with TrackerApi(scripts.backend.api_key, scripts.backend.base_url) as asking:
        arrived = [event.event_id for event in stored(asking, scripts.job_id)]
    assert arrived == scripts.returned


def test_pool_whose_workers_are_terminated_loses_nothing(scripts: Scripts) -> None:
    """The end of a Pool kills its workers; what they reported is taken over."""
    script = WORKERS + textwrap.dedent("""\
        if __name__ == "__main__":
            tracker = TrackerApi()
            job = tracker.job(JOB)
            send(job)
            with multiprocessing.get_context("fork").Pool(2) as pool:
                pool.map(inherited, [5] * 10)
            print(tracker.flush(timeout=30).waiting)
        """)
    output, errors = scripts.run(script)

    assert (output, errors) == ("0\n", "")
    assert len(scripts.returned) == 51
    scripts.assert_all_arrive_once()


@pytest.mark.parametrize(
    ("executor", "work"),
    [
        ("ThreadPoolExecutor", "inherited"),
        ("ProcessPoolExecutor", "inherited"),
        ("ProcessPoolExecutor", "own_tracker"),
    ],
)
def test_pools_of_concurrent_futures_lose_and_double_nothing(
    scripts: Scripts, executor: str, work: str
) -> None:
    """What tasks of a pool report arrives once, by itself at the end."""
    script = WORKERS + textwrap.dedent(f"""\
        from concurrent.futures import {executor}

        if __name__ == "__main__":
            tracker = TrackerApi()
            job = tracker.job(JOB)
            send(job)
            with {executor}(2) as pool:
                list(pool.map({work}, [5] * 10))
        """)
    output, errors = scripts.run(script)

    assert (output, errors) == ("", "")
    assert len(scripts.returned) == 51
    scripts.assert_all_arrive_once()


# Signals

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
    """A script in a loop of reports dies of Ctrl-C as ever, and loses no event."""
    ends: list[tuple[int, list[str]]] = []
    for mode in ("online", "off"):
        with scripts.started(ENDLESS, TRACKERAPI_MODE=mode) as process:
            assert line_of(process.stdout) == "ready"
            # At another place in the loop each time.
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
    """A script dies by the signal itself; every event whose call returned arrives."""
    number = signal.Signals[name]
    with scripts.started(ENDLESS) as process:
        assert line_of(process.stdout) == "ready"
        process.send_signal(number)
        errors = process.communicate()[1]

    assert (process.returncode, errors) == (-number, "")
    scripts.assert_all_arrive_once(cut=1)


def test_script_that_is_interrupted_all_the_time_loses_count_of_nothing(
    scripts: Scripts,
) -> None:
    """Interrupts at any place leave neither a lock nor a wrong count behind."""
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


def test_signal_handler_may_report_in_the_middle_of_a_report(
    scripts: Scripts,
) -> None:
    """A handler that reports itself neither deadlocks nor loses what it broke into."""
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


# The end of the interpreter


@pytest.mark.parametrize("place", ["before", "after"])
def test_event_of_an_exit_handler_is_kept(scripts: Scripts, place: str) -> None:
    """A handler that runs before or after our own reports like any other code."""
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
    """A thread that reports on after the last line of the script is waited for."""
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
    """`__del__` at the teardown of modules may report, and the process ends."""
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
        # What waits for a time to run out instead of ending is to be killed first.
        TRACKERAPI_SHUTDOWN_TIMEOUT="3600",
    )

    assert (output, errors) == ("", "")
    assert len(scripts.returned) == 2
    scripts.assert_all_arrive_once(cut=3)


def test_event_of_a_finalizer_that_outlives_its_tracker_is_kept(
    scripts: Scripts,
) -> None:
    """What is collected together with its tracker, and takes its time, may report."""
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
        # What waits for a time to run out instead of ending is to be killed first.
        TRACKERAPI_SHUTDOWN_TIMEOUT="3600",
    )

    assert (output, errors) == ("", "")
    assert len(scripts.returned) == 3
    scripts.assert_all_arrive_once(cut=1)


# Surroundings of a script


def test_event_loop_is_not_held_by_reports(
    road: Road, tracker: TrackerApi, job: TrackerJob
) -> None:
    """100 tasks report while a backend says nothing, and the loop goes on."""
    ended = threading.Event()
    road.fault = silent(ended)
    key = road.backend.api_key

    async def report(handle: TrackerJob) -> str:
        await asyncio.sleep(0)
        return handle.send_event(kind="info")

    async def main(handle: TrackerJob) -> list[str]:
        return await asyncio.gather(*(report(handle) for _ in range(100)))

    with TrackerApi(key, road.url, shutdown_timeout=0) as slow:
        handle = slow.job(job.provider_job_id)
        try:
            # Ends while the backend is silent, or not at all.
            ids = asyncio.run(asyncio.wait_for(main(handle), PATIENCE_SECONDS))
            before = stored(tracker, job)
        finally:
            road.fault = None
            ended.set()
        deliver(slow)

    assert before == []
    arrived = [event.event_id for event in stored(tracker, job)]
    assert sorted(arrived) == sorted(ids)


@pytest.mark.parametrize(
    ("set_up", "begin"),
    [
        ("", r"trackerapi: \w"),
        ("import logging; logging.basicConfig()", r"WARNING:trackerapi:(?!track)\w"),
    ],
)
def test_message_on_stderr_names_the_library_once(
    scripts: Scripts, set_up: str, begin: str
) -> None:
    """A message on stderr names the library, with and without logging set up."""
    scripts.base_url = "http://127.0.0.1:9"
    _, errors = scripts.run(f"""\
        {set_up}
        with TrackerApi(shutdown_timeout=0) as tracker:
            tracker.job(JOB).send_event(kind="inof")
        """)

    lines = errors.splitlines()
    assert "'inof'" in lines[0]
    assert all(re.match(begin, line) for line in lines)
    assert not any("trackerapi: trackerapi: " in line for line in lines)


@pytest.mark.parametrize("setting", ["TRACKERAPI_OUTBOX", "XDG_STATE_HOME"])
def test_script_that_changes_its_folder_keeps_its_outbox(
    scripts: Scripts, setting: str
) -> None:
    """A relative setting is about the folder in which the tracker was made."""
    if setting == "XDG_STATE_HOME":
        settings = {"TRACKERAPI_OUTBOX": "outbox", setting: "."}
    else:
        settings = {setting: "outbox"}
    output, errors = scripts.run(
        """\
        os.mkdir("elsewhere")
        tracker = TrackerApi(mode="offline")
        job = tracker.job(JOB)
        os.chdir("elsewhere")
        send(job, 5)
        os.chdir("/")
        send(job, 5)
        tracker.close()
        send(job, 5)
        """,
        **settings,
    )

    assert (output, errors) == ("", "")
    assert list((scripts.folder / "elsewhere").iterdir()) == []
    scripts.assert_all_arrive_once()


def test_script_without_stderr_reports(scripts: Scripts) -> None:
    """A warning that nobody can read harms neither the script nor an event."""
    output, _ = scripts.run(
        """\
        sys.stderr.close()
        os.close(2)
        tracker = TrackerApi(api_key="not-a-key")
        tracker.create_job("without stderr", 142, "undescribed")
        with TrackerApi() as good:
            send(good.job(JOB), 5)
        print("done")
        """
    )

    assert output == "done\n"
    scripts.assert_all_arrive_once()


@pytest.mark.parametrize("closed", [(2,), (0, 1, 2)])
def test_what_is_printed_to_a_closed_descriptor_gets_into_no_event(
    scripts: Scripts, closed: tuple[int, ...]
) -> None:
    """A daemon's closed descriptors are not taken for the outbox's own."""
    scripts.run(f"""\
        for descriptor in {closed}:
            os.close(descriptor)
        tracker = TrackerApi(mode="offline")
        job = tracker.job(JOB)
        for _ in range(3):
            send(job)
            for descriptor in {closed}:
                try:
                    os.write(descriptor, b"as a C library does")
                except OSError:
                    pass
        tracker.close()
        os._exit(0)
        """)

    written = b"".join(path.read_bytes() for path in scripts.outbox.iterdir())
    assert b"as a C library does" not in written
    scripts.assert_all_arrive_once()


@pytest.mark.parametrize("forks", [False, True])
def test_script_whose_warnings_are_errors_sees_none(
    scripts: Scripts, forks: bool
) -> None:
    """A whole life of a tracker leaves nothing unclosed and warns of nothing."""
    output, errors = scripts.run(
        f"""\
        import gc

        tracker = TrackerApi()
        job = tracker.create_job(JOB + " strict", 142, "undescribed")
        job.send_event(kind="progress", name="one", fraction=0.5)
        tracker.flush(timeout=30)
        print(job.fetch().event_count)
        if {forks} and not os.fork():
            send(tracker.job(JOB), 5)
            sys.exit(0)
        print(os.wait()[1] if {forks} else 0)
        with TrackerApi() as other:
            send(other.job(JOB), 5)
            other.flush()
        del other
        gc.collect()
        """,
        *("-W", "error", "-X", "dev"),
    )

    assert (output, errors) == ("1\n0\n", "")
    scripts.assert_all_arrive_once()


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


# Ends of a tracker


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_tracker_that_is_dropped_ends_by_itself(
    backend: RunningBackend, tracker: TrackerApi, job: TrackerJob, mode: str
) -> None:
    """Who never calls close() keeps no thread and no memory once all is delivered."""
    before = couriers()
    dropped = TrackerApi(backend.api_key, backend.base_url, mode=mode)  # type: ignore[arg-type]
    handle = dropped.job(job.provider_job_id)
    event_id = handle.send_event(kind="info")
    threads = {t for t in couriers() - before if t.name == "trackerapi-courier"}
    assert len(threads) == 1
    is_there = weakref.ref(dropped)

    del dropped, handle
    gc.collect()
    await_end_soon(threads)
    gc.collect()

    assert is_there() is None
    if mode == "offline":
        deliver(tracker)
    assert [event.event_id for event in stored(tracker, job)] == [event_id]


def await_end_soon(threads: Iterable[threading.Thread]) -> None:
    """Wait for threads, but not as long as a courier sleeps that nobody has woken."""
    for thread in threads:
        thread.join(LEFTOVERS_SECONDS / 2)
        assert not thread.is_alive(), f"{thread.name} goes on"


def test_tracker_that_was_dropped_is_delivered_before_the_script_ends(
    scripts: Scripts,
) -> None:
    """A tracker that lived in a function is waited for at the end like any other."""
    output, errors = scripts.run("""\
        def main():
            job = TrackerApi().job(JOB)
            send(job, 20)

        main()
        """)

    assert (output, errors) == ("", "")
    with TrackerApi(scripts.backend.api_key, scripts.backend.base_url) as asking:
        arrived = [event.event_id for event in stored(asking, scripts.job_id)]
    assert arrived == scripts.returned


def test_job_handle_outlives_its_tracker(
    backend: RunningBackend, tracker: TrackerApi, job: TrackerJob
) -> None:
    """A script may keep the handle alone, and report with it."""
    before = couriers()
    handle = TrackerApi(backend.api_key, backend.base_url).job(job.provider_job_id)
    gc.collect()
    ids = [handle.send_event(kind="info") for _ in range(5)]
    threads = couriers() - before
    del handle
    gc.collect()
    await_end_soon(threads)

    assert [event.event_id for event in stored(tracker, job)] == ids


def test_tracker_begins_anew_after_its_end(
    backend: RunningBackend, job: TrackerJob, tmp_path: Path
) -> None:
    """What is reported after close() is delivered like what was before."""
    outbox = tmp_path / "outbox"
    tracker = TrackerApi(backend.api_key, backend.base_url, outbox=outbox)
    handle = tracker.job(job.provider_job_id)
    ids = []
    for _ in range(3):
        ids += [handle.send_event(kind="info") for _ in range(3)]
        tracker.close()
        tracker.close()
        assert [event.event_id for event in stored(tracker, job)] == ids
    deliver(tracker)
    tracker.close()

    assert not list(outbox.glob("*.outbox"))


def test_threads_report_while_the_tracker_is_closed(
    backend: RunningBackend, tracker: TrackerApi, job: TrackerJob
) -> None:
    """A report that meets the end of its tracker is neither lost nor doubled."""
    before = couriers()
    closing = TrackerApi(backend.api_key, backend.base_url)
    handle = closing.job(job.provider_job_id)
    is_over = threading.Event()
    sent: list[list[str]] = [[], []]

    def go_on(mine: list[str]) -> None:
        while not is_over.wait(0.001):
            mine.append(handle.send_event(kind="info"))

    threads = [threading.Thread(target=go_on, args=(mine,)) for mine in sent]
    for thread in threads:
        thread.start()
    for _ in range(20):
        closing.close()
    is_over.set()
    await_end(threads)
    closing.close()
    await_end(couriers() - before - set(threads))
    deliver(tracker)

    arrived = [event.event_id for event in stored(tracker, job)]
    assert sorted(arrived) == sorted(sent[0] + sent[1])


def test_progress_that_meets_the_end_of_its_tracker_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that was about to report when another closed the tracker still does."""
    tracker = TrackerApi("key", NOWHERE, mode="offline", outbox=tmp_path)
    job = tracker.job("job")
    job.send_event(kind="progress", name="load", completed=1)
    offer = Conflation.offer

    def offer_late(conflation: Conflation, *given: Any) -> bool:
        monkeypatch.setattr(Conflation, "offer", offer)
        tracker.close()
        return offer(conflation, *given)

    monkeypatch.setattr(Conflation, "offer", offer_late)
    job.send_event(kind="progress", name="load", completed=2)
    tracker.close()

    assert [event["completed"] for event in recorded(tmp_path)] == [1, 2]


def test_end_in_the_middle_of_an_end_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tracker that another thread closes too, and begins anew, is closed at last."""
    before = couriers()
    tracker = TrackerApi("key", NOWHERE, mode="offline", outbox=tmp_path)
    job = tracker.job("job")
    job.note("first")
    release = Conflation.release_all

    def meet_another(conflation: Conflation) -> None:
        monkeypatch.setattr(Conflation, "release_all", release)
        tracker.close()
        job.note("second")
        release(conflation)

    monkeypatch.setattr(Conflation, "release_all", meet_another)
    tracker.close()
    tracker.close()

    await_end_soon(couriers() - before)
    left = [OutboxFile.claim(path) for path in tmp_path.glob("*.outbox")]
    assert None not in left, "nobody else can deliver it"
    assert len(left) == 2


def test_many_trackers_leave_nothing_behind(
    backend: RunningBackend, tracker: TrackerApi, job: TrackerJob
) -> None:
    """A service that makes a tracker for each task keeps no thread and no file."""

    def use_one() -> None:
        with TrackerApi(backend.api_key, backend.base_url) as one:
            one.job(job.provider_job_id).send_event(kind="info")

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - is no folder

    use_one()
    threads, files = couriers(), open_files()
    for _ in range(20):
        use_one()
    await_end(couriers() - threads)

    assert open_files() <= files
    assert len(stored(tracker, job)) == 21
