"""SIGTERM and Ctrl-C while a job runs, with real processes."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import faults
from tests.support.fault_proxy import FaultProxy
from tests.support.recorded_jobs import kinds_and_steps, recorded
from tests.support.running_backend import RunningBackend

BEGIN = """
import asyncio, os, signal, sys, time
from trackerapi import AsyncTrackerApi, TrackerApi
tracker = TrackerApi("key", "http://127.0.0.1:9", mode="offline", outbox=sys.argv[1])
job = tracker.run_job("job", 142, "imaging")

def wait():
    print("ready", flush=True)
    while True:
        time.sleep(0.1)  # `pause()` would miss a signal that comes before it
"""

PLAIN = """
with job, job.step("load"):
    wait()
"""

OWN_HANDLER = """
def stop(number, frame):
    print("stopping", flush=True)
    sys.exit(7)

signal.signal(signal.SIGTERM, stop)
with job, job.step("load"):
    wait()
"""

GRACEFUL = """
stopped = []
signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
with job, job.step("load"):
    print("ready", flush=True)
    while not stopped:
        time.sleep(0.1)
"""

GRACEFUL_EXIT = """
stopped = []
signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
with job, job.step("load"):
    print("ready", flush=True)
    while not stopped:
        time.sleep(0.1)
    sys.exit(128 + stopped[0])
"""

RAISES_IN_AN_ATTEMPT = """
def stop(number, frame):
    raise OSError("told to stop")

signal.signal(signal.SIGTERM, stop)
with job, job.step("load") as step:
    for attempt in step.attempts(3, wait_seconds=0):
        with attempt:
            wait()
"""

IGNORED = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with job, job.step("load"):
    os.kill(os.getpid(), signal.SIGTERM)
    print("ready", flush=True)
"""

ASYNCIO = """
async def main():
    task = asyncio.current_task()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with job, job.step("load"):
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""

ASYNCIO_IN_THE_BLOCK = """
async def main():
    loop = asyncio.get_running_loop()
    async with AsyncTrackerApi(
        "key", "http://127.0.0.1:9", mode="offline", outbox=sys.argv[1]
    ) as tracker:
        async with tracker.run_job("job", 142, "imaging") as job:
            loop.add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
            async with job.step("load"):
                print("ready", flush=True)
                await asyncio.Event().wait()

asyncio.run(main())
"""

FORKED_CHILD = """
with job, job.step("load"):
    for _ in range(100):
        child = os.fork()
        if not child:
            while True:
                time.sleep(1)
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM
"""

NESTED = """
other = tracker.run_job("other", 142, "imaging")
with job:
    with other:
        pass
    wait()
"""

AFTERWARDS = """
with job:
    pass
print(signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, flush=True)
wait()
"""

STEP_HANDLER_EXITS = """
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
with job:
    with job.step("load"):
        pass
    job.skip("segment")
    for image in job.track(range(10), step="report"):
        wait()
"""

RAISES_INTERRUPT = """
def stop(number, frame):
    raise KeyboardInterrupt

signal.signal(signal.SIGTERM, stop)
with job:
    wait()
"""

BY_HAND = """
def stop(number, frame):
    job.interrupt("The machine is needed elsewhere.")
    sys.exit(1)

signal.signal(signal.SIGTERM, stop)
with job:
    wait()
"""

BUSY_THREAD = """
import threading

from trackerapi.jobs.job import job_block

tracker = TrackerApi(sys.argv[2], sys.argv[3], outbox=sys.argv[1], shutdown_timeout=3)
job = tracker.run_job(sys.argv[4], 142, "imaging")

def work():
    while job_block(job).work.events.progress.status != "interrupted":
        time.sleep(0.01)
    job.send_event(kind="step", name="load")

threading.Thread(target=work, daemon=True).start()
with job:
    wait()
"""

KNOWN_HANDLE = """
with tracker.job("job") as known, known.step("load"):
    wait()
"""

WORKER = """
import threading
child = os.fork()
if not child:
    with job, job.step("load"):
        wait()
os.waitpid(child, 0)
"""

FINISHED = """
with job:
    job.complete()
    wait()
"""

ATTACHED = """
with tracker.attach("job", part="one") as place, place.step("load"):
    wait()
"""

CALLS_THE_ONE_BEFORE = """
with tracker.run_job("earlier", 142, "imaging"):
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda number, frame: before(number, frame))
with job:
    wait()
"""

ENDS_ELSEWHERE = """
import threading

@tracker.as_job("imaging", provider_job_id="earlier", customer_id=142)
def items():
    yield from range(2)

begun = items()
next(begun)
thread = threading.Thread(target=list, args=(begun,))
thread.start()
thread.join()
with job:
    wait()
"""

STRICT = """
import resource
tracker = TrackerApi(
    "key", "http://127.0.0.1:9", mode="offline", outbox=sys.argv[1], strict=True
)
with tracker.run_job("strict", 142, "imaging") as job:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    print("ready", flush=True)
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            pass
"""


SET_IN_C = """
import faulthandler

log = open(sys.argv[1] + ".log", "w+b")

def register():
    faulthandler.register(
        signal.SIGTERM, file=log, all_threads=False, chain=False
    )

def assert_dumped(count):
    os.kill(os.getpid(), signal.SIGTERM)
    log.seek(0)
    assert log.read().count(b"(most recent call first)") == count

if sys.argv[2] == "own handler before":
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(9))
if sys.argv[2] != "within the block":
    register()
with job:
    if sys.argv[2] == "within the block":
        register()
    assert_dumped(1)
    child = os.fork()
    if not child:
        assert_dumped(2)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert_dumped(3)
assert_dumped(4)
"""

NOT_ALLOWED = """
import builtins

kind = getattr(builtins, sys.argv[2])

def refuse(number, handler):
    raise kind("signal only works in main thread of the main interpreter")

signal.signal = refuse
with job, job.step("load"):
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
"""

SUB_INTERPRETER = """
import sys
try:
    import _xxsubinterpreters as interpreters
except ImportError:
    import _interpreters as interpreters

made = interpreters.create()
interpreters.run_string(made, '''
import sys
sys.path[:] = %r
from trackerapi import TrackerApi
with TrackerApi(
    "key", "http://127.0.0.1:9", mode="offline", outbox=%r
) as tracker, tracker.run_job("job", 142, "imaging") as job, job.step("load"):
    print("worked", flush=True)
''' % (sys.path, sys.argv[1]))
"""


@contextmanager
def script(
    body: str, outbox: Path, *arguments: str, on_sigterm: str = ""
) -> Iterator[subprocess.Popen[str]]:
    """Run `BEGIN` and `body` in a process; kill the process after the block."""
    command = [sys.executable, "-c", BEGIN + body, str(outbox), *arguments]
    with subprocess.Popen(
        command,
        env=os.environ | {"TRACKERAPI_ON_SIGTERM": on_sigterm},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def next_line(process: subprocess.Popen[str]) -> str:
    """Return the next line of the script's standard output."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def children_of(process_id: int) -> list[int]:
    """Return the process ids of the children of a process."""
    listed = Path(f"/proc/{process_id}/task/{process_id}/children").read_text()
    return [int(child) for child in listed.split()]


def stop_and_wait(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> int:
    """Wait for the line "ready", send a signal, and return the exit status."""
    assert next_line(process) == "ready"
    process.send_signal(number)
    return process.wait(timeout=30)


@pytest.mark.parametrize("kind", ["interrupt", "cancel"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (PLAIN, -signal.SIGTERM),
        (OWN_HANDLER, 7),
        (RAISES_INTERRUPT, -signal.SIGINT),
        (GRACEFUL_EXIT, 128 + signal.SIGTERM),
        (RAISES_IN_AN_ATTEMPT, 1),
        (ASYNCIO, 1),
        (ASYNCIO_IN_THE_BLOCK, 1),
    ],
    ids=[
        "plain",
        "own handler",
        "own handler for Ctrl-C",
        "exit status of SIGTERM",
        "attempt",
        "event loop",
        "event loop, from within the block",
    ],
)
def test_sigterm_reports_by_its_setting_and_ends_the_process(
    body: str, status: int, kind: str, outbox: Path
) -> None:
    """`on_sigterm` sets the reported kind, the script's handler the exit status."""
    with script(body, outbox, on_sigterm=kind) as process:
        assert stop_and_wait(process) == status

    assert kinds_and_steps(outbox)[0] == "start"
    assert kinds_and_steps(outbox)[-1] == kind
    assert [
        line for line in kinds_and_steps(outbox) if line in ("interrupt", "cancel")
    ] == [kind]


def test_sigterm_interrupts_by_default(outbox: Path) -> None:
    """Without a setting, SIGTERM reports `interrupt`."""
    with script(PLAIN, outbox) as process:
        assert stop_and_wait(process) == -signal.SIGTERM

    assert kinds_and_steps(outbox) == ["start", "start load", "interrupt"]


def test_argument_wins_over_the_environment(outbox: Path) -> None:
    """The argument `on_sigterm` overrides `TRACKERAPI_ON_SIGTERM`."""
    body = """
tracker = TrackerApi(
    "key", "http://127.0.0.1:9", mode="offline", outbox=sys.argv[1], on_sigterm="cancel"
)
job = tracker.run_job("job", 142, "imaging")
"""
    with script(body + PLAIN, outbox, on_sigterm="interrupt") as process:
        assert stop_and_wait(process) == -signal.SIGTERM

    assert kinds_and_steps(outbox)[-1] == "cancel"


@pytest.mark.parametrize("kind", ["interrupt", "cancel"])
def test_ctrl_c_cancels_in_each_setting(kind: str, outbox: Path) -> None:
    """Ctrl-C reports `cancel` for each `on_sigterm` and ends the process by SIGINT."""
    with script(PLAIN, outbox, on_sigterm=kind) as process:
        assert stop_and_wait(process, signal.SIGINT) == -signal.SIGINT

    assert kinds_and_steps(outbox) == ["start", "start load", "cancel"]


def test_step_that_sigterm_stops_is_not_ended(outbox: Path) -> None:
    """No end is reported for a step that SIGTERM stops, only the interruption."""
    with script(STEP_HANDLER_EXITS, outbox) as process:
        assert stop_and_wait(process) == 143

    assert kinds_and_steps(outbox)[-2:] == ["start report", "interrupt"]


def test_interruption_of_the_author_is_reported_once(outbox: Path) -> None:
    """If the script's handler calls `job.interrupt()`, one interruption is reported."""
    with script(BY_HAND, outbox) as process:
        assert stop_and_wait(process) == 1

    last = recorded(outbox)[-1]
    assert kinds_and_steps(outbox) == ["start", "interrupt"]
    assert last["message"] == "The machine is needed elsewhere."


def test_stop_is_the_last_report_where_threads_go_on_during_the_delivery(
    backend: RunningBackend, outbox: Path
) -> None:
    """If a thread reports after the interruption, the interruption is repeated."""
    with FaultProxy(backend.base_url) as proxy:
        more = (backend.api_key, proxy.url, str(uuid.uuid4()))
        with script(BUSY_THREAD, outbox, *more) as process:
            assert next_line(process) == "ready"
            with proxy.failing(faults.black_hole):
                process.terminate()
                assert process.wait(timeout=30) == -signal.SIGTERM

    assert kinds_and_steps(outbox) == ["start", "interrupt", "step load", "interrupt"]


def test_job_that_has_ended_is_not_interrupted(outbox: Path) -> None:
    """SIGTERM after `job.complete()` reports no interruption."""
    with script(FINISHED, outbox) as process:
        assert stop_and_wait(process) == -signal.SIGTERM

    assert kinds_and_steps(outbox) == ["start", "complete"]


def test_own_handler_that_lets_the_work_end_is_no_cancellation(outbox: Path) -> None:
    """If the script's handler lets the work end, the job is reported as complete."""
    with script(GRACEFUL, outbox) as process:
        assert stop_and_wait(process) == 0

    assert kinds_and_steps(outbox)[-2:] == ["step load", "complete"]


def test_ignored_signal_stays_ignored(outbox: Path) -> None:
    """If the script ignores SIGTERM, the block ignores SIGTERM and completes."""
    with script(IGNORED, outbox) as process:
        assert next_line(process) == "ready"
        assert process.wait(timeout=30) == 0

    assert kinds_and_steps(outbox)[-1] == "complete"


def test_forked_child_that_is_terminated_reports_nothing(outbox: Path) -> None:
    """SIGTERM to a forked child ends the child and reports no interruption."""
    with script(FORKED_CHILD, outbox) as process:
        assert process.wait(timeout=30) == 0

    assert kinds_and_steps(outbox) == ["start", "start load", "step load", "complete"]


def test_only_open_jobs_are_interrupted(outbox: Path) -> None:
    """SIGTERM interrupts the open job, but not an ended job nested in its block."""
    with script(NESTED, outbox) as process:
        assert stop_and_wait(process) == -signal.SIGTERM

    stops = [e for e in recorded(outbox) if e["kind"] == "interrupt"]
    assert [event["provider_job_id"] for event in stops] == ["job"]


def test_signal_is_as_it_was_after_the_block(outbox: Path) -> None:
    """After the block, the previous handler of SIGTERM is restored."""
    with script(AFTERWARDS, outbox) as process:
        assert next_line(process) == "True"
        assert stop_and_wait(process) == -signal.SIGTERM

    assert kinds_and_steps(outbox) == ["start", "complete"]


@pytest.mark.parametrize("kind", ["interrupt", "cancel"])
@pytest.mark.parametrize(
    ("body", "reported"),
    [(ATTACHED, ["start load"]), (KNOWN_HANDLE, ["start", "start load"])],
    ids=["attached", "known by its id"],
)
def test_handle_that_has_not_begun_the_job_leaves_it_running(
    body: str, reported: list[str], kind: str, outbox: Path
) -> None:
    """SIGTERM does not interrupt a job that the process has not created."""
    with script(body, outbox, on_sigterm=kind) as process:
        assert stop_and_wait(process) == -signal.SIGTERM

    assert kinds_and_steps(outbox) == reported


def test_forked_worker_that_runs_the_block_leaves_the_job_running(
    outbox: Path,
) -> None:
    """SIGTERM to a forked child that runs the block does not interrupt the job."""
    with script(WORKER, outbox) as process:
        assert next_line(process) == "ready"
        (child,) = children_of(process.pid)
        os.kill(child, signal.SIGTERM)
        assert process.wait(timeout=30) == 0

    assert kinds_and_steps(outbox) == ["start", "start load"]


@pytest.mark.parametrize("body", [CALLS_THE_ONE_BEFORE, ENDS_ELSEWHERE])
def test_handler_of_an_earlier_block_ends_the_process_once(
    body: str, outbox: Path
) -> None:
    """A leftover or chained handler of an earlier block reports one interruption."""
    with script(body, outbox) as process:
        assert stop_and_wait(process) == -signal.SIGTERM

    assert kinds_and_steps(outbox)[-2:] == ["start", "interrupt"]


def test_strict_report_that_fails_does_not_swallow_the_signal(outbox: Path) -> None:
    """In strict mode, SIGTERM ends the process although the report raises."""
    with script(STRICT, outbox) as process:
        assert stop_and_wait(process) == -signal.SIGTERM


@pytest.mark.parametrize("when", ["before", "own handler before", "within the block"])
def test_handler_set_in_c_stays(outbox: Path, when: str) -> None:
    """A handler of `faulthandler.register()` works before, in and after the block."""
    command = [sys.executable, "-c", BEGIN + SET_IN_C, str(outbox), when]
    subprocess.run(command, check=True, timeout=60)

    assert kinds_and_steps(outbox) == ["start", "complete"]


@pytest.mark.parametrize(
    "error", ["ValueError", "RuntimeError", "AttributeError", "OSError"]
)
def test_job_runs_where_no_handler_may_be_set(outbox: Path, error: str) -> None:
    """A job runs even if `signal.signal()` raises, as in an embedding program."""
    command = [sys.executable, "-c", BEGIN + NOT_ALLOWED, str(outbox), error]
    subprocess.run(command, check=True, timeout=60)

    assert kinds_and_steps(outbox) == ["start", "start load", "step load", "complete"]


def test_job_runs_in_a_sub_interpreter(outbox: Path) -> None:
    """A job runs in a sub-interpreter, which allows no signal handlers."""
    command = [sys.executable, "-c", SUB_INTERPRETER, str(outbox)]
    run = subprocess.run(command, check=True, timeout=60, capture_output=True)

    assert run.stdout == b"worked\n"
    assert run.stderr == b""
    assert kinds_and_steps(outbox) == ["start", "start load", "step load", "complete"]
