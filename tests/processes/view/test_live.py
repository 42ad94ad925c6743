"""The live view of real processes on a terminal."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.terminal import Terminal, run_piped

LOOP = """
with tracker, run() as job:
    with job.step("load", total=4) as step:
        step.advance(3)
        wait()
    job.skip("segment")
"""

PRINTS = """
with tracker, run() as job, job.step("load"):
    print("first")
    wait()
    print("one\\ntwo")
    print("half a ", end="", flush=True)
    wait()
    print("line")
    print("to stderr", file=sys.stderr)
    sys.__stdout__.write("kept stream\\n")
    os.write(1, b"by descriptor\\n")
    wait()
    subprocess.run(["echo", "of a child"], check=True)
print("after")
"""

VIEW = "delivery:"


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    """Return a folder for an outbox."""
    return tmp_path / "outbox"


@pytest.fixture
def prints(outbox: Path) -> Iterator[Terminal]:
    """Run `PRINTS` on a terminal; return the terminal."""
    with Terminal(PRINTS, outbox) as terminal:
        yield terminal


def test_view_shows_the_job_and_its_steps(outbox: Path) -> None:
    """The view shows the estimated percentage and the counts of each step."""
    with Terminal(LOOP, outbox) as terminal:
        rows = terminal.until_text("3 of 4", "18.75", VIEW)
        assert rows[0].startswith("Imaging  running  own estimate 18.75 %, ")
        assert rows[0].endswith("study-1")
        assert rows[1].split()[:3] == ["Load", "[images]", "running"]
        assert "━ " in rows[1]
        assert rows[1].endswith(" 75 % 3 of 4")
        assert rows[2].split() == ["Segment", "pending"]
        assert rows[3].startswith("delivery: 0 delivered, ")
        terminal.go_on()

        assert terminal.end() == 0
        left = terminal.lines
        assert left[0].startswith("Imaging  succeeded  100 %")
        assert [row.split()[-2:] for row in left[2:]] == [["Segment", "skipped"]]


def test_prints_appear_above_the_view(prints: Terminal) -> None:
    """Prints of the job are neither lost, changed nor reordered."""
    prints.until_text("first", VIEW)
    prints.go_on()
    rows = prints.until(lambda rows: "half a" in rows and rows[-1].startswith(VIEW))
    assert rows[:4] == ["first", "one", "two", "half a"]
    assert rows[4].startswith("Imaging  running")
    prints.go_on()
    prints.until_text("by descriptor", VIEW)
    prints.go_on()

    assert prints.end() == 0
    ours = ("Imaging", "  Load", "  Segment", VIEW)
    assert [line for line in prints.lines if not line.startswith(ours)] == [
        "first",
        "one",
        "two",
        "half a line",
        "to stderr",
        "kept stream",
        "by descriptor",
        "of a child",
        "after",
    ]


def test_piped_stdout_stays_as_it_is(outbox: Path) -> None:
    """With stdout in a pipe, the view is on stderr, and stdout is unchanged."""
    script = """
with tracker, run() as job, job.step("load"):
    print("text")
    os.write(1, bytes(range(256)))
    sys.stdout.buffer.write(b"\\xff\\r\\n")
    print("end", end="")
    wait()
print([vars(stream).get("write") for stream in (sys.stdout, sys.stderr)])
"""
    reading, writing = os.pipe()
    with Terminal(script, outbox, stdout=writing) as terminal:
        os.close(writing)
        terminal.until_text(VIEW)
        terminal.go_on()
        assert terminal.end() == 0
        with os.fdopen(reading, "rb") as pipe:
            shown = pipe.read()
    silent = run_piped(script.replace("wait()", ""), outbox.with_name("silent"))

    assert shown == silent.stdout
    assert shown.endswith(b"[None, None]\n")


def test_several_jobs_are_shown_at_once(outbox: Path) -> None:
    """Jobs are shown in the order of their start; an ended job is shown on top."""
    script = """
with tracker, run("study-1") as one, run("study-2") as two:
    one.step("load").start()
    two.step("segment").start()
    wait()
    one.complete()
    wait()
"""
    with Terminal(script, outbox) as terminal:
        rows = terminal.until_text("study-1", "study-2", VIEW)
        heads = [row.split()[-1] for row in rows if row.startswith("Imaging")]
        assert heads == ["study-1", "study-2"]
        terminal.go_on()
        rows = terminal.until_text("succeeded", VIEW)
        assert rows[0].startswith("Imaging  succeeded")
        terminal.until(lambda rows: "study-2" in "".join(rows))
        terminal.go_on()

        assert terminal.end() == 0


ENDINGS = {
    "exception": ("raise ValueError('of the job')", 1, "failed"),
    "exit": ("sys.exit(3)", 3, "failed"),
    "ctrl-c": ("signal.raise_signal(signal.SIGINT)", -signal.SIGINT, "cancelled"),
    "sigterm": ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, "interrupted"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_terminal_is_left_in_order(outbox: Path, ending: str) -> None:
    """After each kind of end, the view is removed and the job has a last line."""
    how, exit_code, status = ENDINGS[ending]
    script = f"""
with run() as job, job.step("load"):
    wait()
    {how}
"""
    with Terminal(script, outbox) as terminal:
        terminal.until_text(VIEW)
        terminal.go_on()

        assert terminal.end() == exit_code
        assert terminal.has_cursor
        assert VIEW not in "\n".join(terminal.shown)
        assert sum(f"Imaging  {status}" in line for line in terminal.lines) == 1
        assert ("ValueError: of the job" in terminal.lines) == (ending == "exception")


def test_process_that_ends_at_once_leaves_no_view(outbox: Path) -> None:
    """Without `close()`, the view is removed at the end of the process."""
    script = """
job = tracker.create_job("study-1", 142, "imaging")
job.send_event(kind="start", name="load")
wait()
"""
    with Terminal(script, outbox) as terminal:
        terminal.until_text(VIEW)
        terminal.go_on()

        assert terminal.end() == 0
        assert VIEW not in "\n".join(terminal.lines)
        assert terminal.lines[0].startswith("Imaging  running")


def test_killed_process_leaves_a_usable_terminal(outbox: Path) -> None:
    """After SIGKILL the cursor is visible: the view changes no terminal mode."""
    with Terminal(LOOP, outbox) as terminal:
        terminal.until_text(VIEW)
        terminal.process.kill()
        terminal.end()

        assert terminal.has_cursor
        assert b"\x1b[?" not in terminal.raw


def test_closed_terminal_does_no_harm(outbox: Path) -> None:
    """The job ends with status 0 although its terminal was closed."""
    with Terminal(LOOP, outbox) as terminal:
        terminal.until_text(VIEW)
        terminal.hang_up()
        terminal.go_on()

        assert terminal.process.wait(60) == 0


def test_forked_child_prints_without_a_view(outbox: Path) -> None:
    """A forked child prints to the terminal without the view's redirection."""
    script = """
with tracker, run() as job, job.step("load"):
    wait()
    child = os.fork()
    if not child:
        job.step("segment").start()
        print("of the child", vars(sys.stdout).get("write"), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""
    with Terminal(script, outbox) as terminal:
        terminal.until_text(VIEW)
        terminal.go_on()

        assert terminal.end() == 0
        assert "of the child None" in terminal.lines


@pytest.mark.parametrize(("columns", "rows"), [(30, 24), (100, 4), (12, 3)], ids=str)
def test_view_fits_into_any_window(outbox: Path, columns: int, rows: int) -> None:
    """In a small window, prints of the job are shown whole above the view."""
    script = LOOP.replace("wait()", "print('working'); wait(); print('worked')")
    with Terminal(script, outbox, columns=columns, rows=rows) as terminal:
        terminal.until(bool)
        terminal.go_on()

        assert terminal.end() == 0
        printed = [line for line in terminal.lines if "work" in line]
        assert printed == ["working", "worked"]


@pytest.mark.parametrize(
    ("variables", "has_color"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=str
)
def test_colors_can_be_switched_off(
    outbox: Path, variables: dict[str, str], has_color: bool
) -> None:
    """With NO_COLOR, the view prints no colour sequences."""
    with Terminal(LOOP, outbox, variables=variables) as terminal:
        terminal.until_text(VIEW)
        terminal.go_on()
        terminal.end()

        assert (b"\x1b[36m" in terminal.raw) == has_color


def test_ascii_terminal_gets_ascii(outbox: Path) -> None:
    """With ASCII output, bars are ASCII and other letters are printed as `?`."""
    script = LOOP.replace("run()", r"run('Gr\xf6\xdfe')")
    variables = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    with Terminal(script, outbox, variables=variables) as terminal:
        rows = terminal.until_text(VIEW, "3 of 4")
        terminal.go_on()

        assert terminal.end() == 0
        assert terminal.raw.isascii()
        assert rows[0].endswith("Gr??e")


@pytest.mark.parametrize("term", ["dumb", ""])
def test_terminal_without_a_cursor_gets_lines(outbox: Path, term: str) -> None:
    """With TERM dumb or empty, plain lines replace the live view."""
    with Terminal(LOOP, outbox, variables={"TERM": term}) as terminal:
        terminal.until_text("load running")
        terminal.go_on()

        assert terminal.end() == 0
        assert b"\x1b" not in terminal.raw


def test_without_rich_a_terminal_gets_lines(outbox: Path) -> None:
    """Without rich, plain lines replace the live view."""
    script = """
sys.modules["rich"] = None  # as if it were not there
tracker = TrackerApi("key", "http://127.0.0.1:9", mode="offline", outbox=sys.argv[1])
"""
    auto = {"TRACKERAPI_PROGRESS": "auto"}
    with Terminal(script + LOOP, outbox, variables=auto) as terminal:
        terminal.until_text("load running")
        terminal.go_on()

        assert terminal.end() == 0
        assert b"\x1b" not in terminal.raw


if (
    sys.platform == "darwin"
):  # macOS pseudo-terminals lose output that an ended process has written
    pytestmark = pytest.mark.skip("needs Linux pseudo-terminals")
