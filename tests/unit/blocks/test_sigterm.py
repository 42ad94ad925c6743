"""SIGTERM and Ctrl-C while a job runs, with real processes."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.blocks.conftest import recorded, story

BEGIN = """
import asyncio, os, signal, sys, time
from trackerapi import TrackerApi
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

@tracker.job("imaging", provider_job_id="earlier", customer_id=142)
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
def script(body: str, outbox: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a script that says when it is ready to be stopped."""
    command = [sys.executable, "-c", BEGIN + body, str(outbox)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    """Return the next line of a script."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def stopped(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> int:
    """Stop a script that is ready; return its status."""
    assert said(process) == "ready"
    process.send_signal(number)
    return process.wait(timeout=30)


def test_sigterm_cancels_and_kills_as_ever(outbox: Path) -> None:
    """The process dies of the signal, as it would have; the job was cancelled."""
    with script(PLAIN, outbox) as process:
        assert stopped(process) == -signal.SIGTERM

    assert story(outbox) == ["start", "start load", "cancel"]


def test_ctrl_c_cancels_and_ends_as_ever(outbox: Path) -> None:
    """KeyboardInterrupt goes on; the job was cancelled."""
    with script(PLAIN, outbox) as process:
        assert stopped(process, signal.SIGINT) == -signal.SIGINT

    assert story(outbox) == ["start", "start load", "cancel"]


def test_own_handler_that_exits_is_called_and_cancels(outbox: Path) -> None:
    """The author's handler decides the status, not the meaning."""
    with script(OWN_HANDLER, outbox) as process:
        assert stopped(process) == 7
        assert said(process) == "stopping"

    assert story(outbox) == ["start", "start load", "cancel"]


def test_own_handler_that_lets_the_work_end_is_no_cancellation(outbox: Path) -> None:
    """A job that ends its work in order has succeeded."""
    with script(GRACEFUL, outbox) as process:
        assert stopped(process) == 0

    assert story(outbox)[-2:] == ["step load", "complete"]


def test_ignored_signal_stays_ignored(outbox: Path) -> None:
    """Who ignores SIGTERM does so in a block, too."""
    with script(IGNORED, outbox) as process:
        assert said(process) == "ready"
        assert process.wait(timeout=30) == 0

    assert story(outbox)[-1] == "complete"


def test_event_loop_that_cancels_its_task_cancels_the_job(outbox: Path) -> None:
    """A handler of asyncio works as ever."""
    with script(ASYNCIO, outbox) as process:
        assert stopped(process) != 0

    assert story(outbox) == ["start", "start load", "cancel"]


def test_forked_child_that_is_terminated_cancels_nothing(outbox: Path) -> None:
    """A worker that is ended, however early, ends, and cancels nothing."""
    with script(FORKED_CHILD, outbox) as process:
        assert process.wait(timeout=30) == 0

    assert story(outbox) == ["start", "start load", "step load", "complete"]


def test_only_open_jobs_are_cancelled(outbox: Path) -> None:
    """A job that has ended is not cancelled with the one around it."""
    with script(NESTED, outbox) as process:
        assert stopped(process) == -signal.SIGTERM

    cancelled = [e for e in recorded(outbox) if e["kind"] == "cancel"]
    assert [event["provider_job_id"] for event in cancelled] == ["job"]


def test_signal_is_as_it_was_after_the_block(outbox: Path) -> None:
    """Nothing stays behind."""
    with script(AFTERWARDS, outbox) as process:
        assert said(process) == "True"
        assert stopped(process) == -signal.SIGTERM

    assert story(outbox) == ["start", "complete"]


def test_attached_place_that_is_stopped_leaves_the_job_running(outbox: Path) -> None:
    """A place that is taken away is not the end of the job."""
    with script(ATTACHED, outbox) as process:
        assert stopped(process) == -signal.SIGTERM

    assert story(outbox) == ["start load"]


@pytest.mark.parametrize("body", [CALLS_THE_ONE_BEFORE, ENDS_ELSEWHERE])
def test_handler_of_an_earlier_block_ends_the_process_once(
    body: str, outbox: Path
) -> None:
    """It may still be installed, or be called by the one in its place."""
    with script(body, outbox) as process:
        assert stopped(process) == -signal.SIGTERM

    assert story(outbox)[-2:] == ["start", "cancel"]


def test_strict_report_that_fails_does_not_swallow_the_signal(outbox: Path) -> None:
    """Where the outbox cannot be written, the process ends all the same."""
    with script(STRICT, outbox) as process:
        assert stopped(process) == -signal.SIGTERM


@pytest.mark.parametrize("when", ["before", "own handler before", "within the block"])
def test_handler_set_in_c_stays(outbox: Path, when: str) -> None:
    """What `faulthandler.register()` does goes on before, in and after the block."""
    command = [sys.executable, "-c", BEGIN + SET_IN_C, str(outbox), when]
    subprocess.run(command, check=True, timeout=60)

    assert story(outbox) == ["start", "complete"]


@pytest.mark.parametrize(
    "error", ["ValueError", "RuntimeError", "AttributeError", "OSError"]
)
def test_job_runs_where_no_handler_may_be_set(outbox: Path, error: str) -> None:
    """A program that embeds Python may forbid it; the job is not watched there."""
    command = [sys.executable, "-c", BEGIN + NOT_ALLOWED, str(outbox), error]
    subprocess.run(command, check=True, timeout=60)

    assert story(outbox) == ["start", "start load", "step load", "complete"]


def test_job_runs_in_a_sub_interpreter(outbox: Path) -> None:
    """A sub-interpreter may neither set handlers nor start threads that last."""
    command = [sys.executable, "-c", SUB_INTERPRETER, str(outbox)]
    run = subprocess.run(command, check=True, timeout=60, capture_output=True)

    assert run.stdout == b"worked\n"
    assert run.stderr == b""
    assert story(outbox) == ["start", "start load", "step load", "complete"]
