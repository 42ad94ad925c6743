"""Plain progress lines of real processes on stderr."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.terminal import run_piped

SCRIPT = """
print("hello")
os.write(1, bytes(range(256)))
print("half", end="")
print("to stderr", file=sys.stderr)
with run() as job:
    for _ in job.track(range(3), step="load"):
        print("item", flush=True)
    job.skip("segment")
sys.stdout.buffer.write(b"\\xff")
sys.exit(7)
"""


def view_statuses(stderr: bytes) -> list[str]:
    """Return step or job status of each view line, without numbers and times."""
    lines = [line for line in stderr.decode().splitlines() if line]
    ours = [line for line in lines if line.startswith("trackerapi: imaging ")]
    return [
        line.split(": ")[2].partition(",")[0].partition(" after")[0] for line in ours
    ]


@pytest.mark.parametrize("progress", ["auto", "live", "plain"])
def test_stdout_and_exit_code_stay_as_they_are(tmp_path: Path, progress: str) -> None:
    """The view changes neither stdout nor the exit status; it adds stderr lines."""
    without = run_piped(SCRIPT, tmp_path / "without")
    shown = run_piped(SCRIPT, tmp_path / "with", TRACKERAPI_PROGRESS=progress)

    assert (shown.stdout, shown.returncode) == (without.stdout, without.returncode)
    assert (without.stderr, without.returncode) == (b"to stderr\n", 7)
    assert b"\x1b" not in shown.stderr
    left = [line for line in shown.stderr.splitlines() if b"trackerapi: " not in line]
    assert left == [b"to stderr"]


def test_steps_and_the_end_are_printed_without_close(tmp_path: Path) -> None:
    """Without `close()`, the lines of the last steps and of the job are printed."""
    done = run_piped(SCRIPT, tmp_path, TRACKERAPI_PROGRESS="plain")

    assert view_statuses(done.stderr)[-3:] == [
        "load done",
        "segment skipped",
        "succeeded",
    ]


def test_nothing_foreign_is_loaded_for_lines(tmp_path: Path) -> None:
    """Plain lines load neither rich, tqdm nor httpx."""
    script = """
with tracker, run() as job:
    job.step("load").done()
foreign = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names
print(sorted(foreign & {"rich", "tqdm", "httpx"}))
"""
    done = run_piped(script, tmp_path, TRACKERAPI_PROGRESS="auto")

    assert done.stdout == b"[]\n"
    assert view_statuses(done.stderr)[-1] == "succeeded"


def test_off_is_the_default_and_prints_nothing(tmp_path: Path) -> None:
    """Without `TRACKERAPI_PROGRESS`, no view thread runs and no line is printed."""
    script = """
with tracker, run() as job:
    job.step("load").done()
print([t.name for t in threading.enumerate() if t.name == "trackerapi-view"])
"""
    done = run_piped(script, tmp_path)

    assert (done.stdout, done.stderr) == (b"[]\n", b"")


def test_forked_children_print_nothing(tmp_path: Path) -> None:
    """Steps and ends that forked children report are not printed."""
    script = """
with tracker, run() as job:
    for _ in range(3):
        child = os.fork()
        if not child:
            job.step("load").done()
            job.complete()
            os._exit(0)
        os.waitpid(child, 0)
    job.step("segment").done()
"""
    done = run_piped(script, tmp_path, TRACKERAPI_PROGRESS="plain")

    assert done.returncode == 0
    assert "load done" not in view_statuses(done.stderr)
    assert view_statuses(done.stderr).count("succeeded") == 1


def test_threads_share_one_view(tmp_path: Path) -> None:
    """Jobs of four threads print one end each, and the view thread ends."""
    script = """
def work(number):
    with run(f"study-{number}") as job:
        job.step("load").done()

threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
with tracker:
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print(sum(t.name == "trackerapi-view" for t in threading.enumerate()))
"""
    done = run_piped(script, tmp_path, TRACKERAPI_PROGRESS="plain")

    assert done.stdout == b"0\n"
    assert view_statuses(done.stderr).count("succeeded") == 4


def test_view_has_no_thread_between_jobs(tmp_path: Path) -> None:
    """The view thread ends after each job and starts again with the next job."""
    script = """
def is_resting():
    return all(t.name != "trackerapi-view" for t in threading.enumerate())

for name in ("one", "two"):
    with run(name) as job:
        job.step("load").done()
    while not is_resting():
        threading.Event().wait(0.01)
"""
    done = run_piped(script, tmp_path, TRACKERAPI_PROGRESS="plain")

    assert done.returncode == 0
    assert view_statuses(done.stderr).count("succeeded") == 2


@pytest.mark.parametrize(
    "breaking",
    [
        "os.close(2)",
        "sys.stderr.close()",
        "sys.stderr = None",
        "r, w = os.pipe(); os.close(r); os.dup2(w, 2)",
        "r, w = os.pipe(); os.close(r); os.dup2(w, 2); "
        "signal.signal(signal.SIGPIPE, signal.SIG_DFL)",
    ],
    ids=["closed", "closed stream", "no stream", "broken pipe", "broken pipe, SIGPIPE"],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_broken_stderr_does_no_harm(tmp_path: Path, breaking: str, when: str) -> None:
    """A job runs although stderr breaks before it or during its steps."""
    early = breaking if when == "before" else ""
    late = breaking if when == "after" else ""
    script = f"""
{early}
tracker = TrackerApi("key", "http://127.0.0.1:9", mode="offline", outbox=sys.argv[1])
with tracker, run() as job:
    job.step("load").start()
    {late}
    job.step("load").done()
    job.step("segment").done()
print("done")
"""
    done = run_piped(script, tmp_path, TRACKERAPI_PROGRESS="plain")

    assert (done.stdout, done.returncode) == (b"done\n", 0)


def test_reader_that_does_not_read_blocks_nothing(tmp_path: Path) -> None:
    """A full pipe as stderr blocks neither the job nor the end of the process."""
    script = """
r, w = os.pipe()
os.dup2(w, 2)
os.set_blocking(w, False)
try:
    while True: os.write(w, b"x" * 4096)
except BlockingIOError:
    os.set_blocking(w, True)
with tracker, run() as job:
    job.step("load").done()
print("done")
"""
    done = run_piped(script, tmp_path, TRACKERAPI_PROGRESS="plain")

    assert (done.stdout, done.returncode) == (b"done\n", 0)


def test_names_in_another_locale_do_no_harm(tmp_path: Path) -> None:
    """With an ASCII stderr, names are printed with escapes."""
    script = """
with tracker, run("Gr\\xf6\\xdfe") as job:
    job.step("load").done()
"""
    variables = {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    variables["PYTHONIOENCODING"] = "ascii"
    done = run_piped(script, tmp_path, TRACKERAPI_PROGRESS="plain", **variables)

    assert done.returncode == 0
    assert b"imaging Gr\\xf6\\xdfe: succeeded" in done.stderr


def test_sigterm_prints_that_the_job_was_interrupted(tmp_path: Path) -> None:
    """The view prints "interrupted" before SIGTERM ends the process."""
    script = """
with run() as job, job.step("load"):
    os.kill(os.getpid(), signal.SIGTERM)
"""
    done = run_piped(script, tmp_path, TRACKERAPI_PROGRESS="plain")

    assert done.returncode == -signal.SIGTERM
    assert view_statuses(done.stderr)[-1] == "interrupted"


def test_unknown_view_raises_when_the_tracker_is_made(tmp_path: Path) -> None:
    """An unknown `TRACKERAPI_PROGRESS` raises an error that lists the values."""
    done = run_piped("", tmp_path, TRACKERAPI_PROGRESS="fancy")

    assert b"TRACKERAPI_PROGRESS: not one of off, auto, live, plain" in done.stderr


def test_line_of_a_step_has_the_percentage_of_its_moment(tmp_path: Path) -> None:
    """The line of each step has the percentage right after this step."""
    script = """
import sys
from trackerapi import JobConfigManager, TrackerApi
steps = [{"tag": tag, "name": tag, "points": 1} for tag in ("a", "b", "c", "d")]
document = {"tag": "quick", "name": "Quick", "step_configurations": steps}
JobConfigManager(configs=[document])
outbox = sys.argv[1]
with TrackerApi("key", "http://127.0.0.1:9", mode="offline", outbox=outbox) as tracker:
    job = tracker.create_job("job", 142, "quick")
    for step in steps:
        job.send_event("step", step["tag"])
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env=os.environ | {"TRACKERAPI_PROGRESS": "plain"},
        capture_output=True,
        text=True,
        check=True,
    )

    percentages = dict(re.findall(r": (\w) done, (?:own estimate )?(.+)", done.stderr))
    assert percentages == {"a": "25.00 %", "b": "50.00 %", "c": "75.00 %", "d": "100 %"}
