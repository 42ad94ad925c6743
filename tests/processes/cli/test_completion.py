"""Completion scripts that `trackerapi completion` prints, in real shells."""

import argparse
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.debian import need
from tests.support.leftovers import PATIENCE_SECONDS, Machine
from trackerapi.cli import entry
from trackerapi.cli.exit_statuses import FINE, UNAVAILABLE, USAGE
from trackerapi.cli.main import build_parser
from trackerapi.version import __version__

SHELLS: Final = ("bash", "zsh", "fish")

COMPLETE_IN_BASH: Final = """
source "$SCRIPT"
COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMP_TYPE=9
_python_argcomplete "$1" 2> /dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""

COMMAND: Final = f"""#!/bin/sh
[ -n "$_ARGCOMPLETE" ] || {{ printf 'ran <%s>.' "$*"; exit; }}
exec {sys.executable} -W error -P -m trackerapi "$@"
"""
"""Shell script named `trackerapi`: answers completion, else prints its arguments."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command or command group: its words, its options and its subcommands."""

    path: tuple[str, ...]
    flags: frozenset[str]
    subcommands: frozenset[str]


def commands_of(parser: Any, path: tuple[str, ...] = ()) -> Iterator[Command]:
    """Yield the command of a parser and all its subcommands, recursively."""
    flags = {flag for action in parser._actions for flag in action.option_strings}
    groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    below = {name: one for group in groups for name, one in group.choices.items()}
    yield Command(path, frozenset(flags), frozenset(below))
    for name, one in below.items():
        yield from commands_of(one, (*path, name))


COMMANDS: Final = tuple(commands_of(build_parser()))


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one completion script per shell, named like the shell."""
    folder = tmp_path_factory.mktemp("scripts")
    for shell in SHELLS:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "trackerapi", "completion", shell],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        (folder / shell).write_text(done.stdout)
    command = folder / "bin" / "trackerapi"
    command.parent.mkdir()
    command.write_text(COMMAND)
    command.chmod(0o755)
    # A second program has a name with a unique beginning.
    program = command.with_name("zq-render")
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return folder


def environment(scripts: Path, **variables: str) -> dict[str, str]:
    """Return environment variables of a shell that finds `COMMAND` first."""
    path = f"{scripts / 'bin'}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(scripts), **variables}


@pytest.mark.parametrize("shell", SHELLS)
def test_shell_can_read_its_script(scripts: Path, shell: str) -> None:
    """The shell's syntax check (`-n`) accepts the completion script."""
    done = subprocess.run(
        [need(shell, shell), "-n", str(scripts / shell)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def in_bash(scripts: Path, *words: str) -> list[str]:
    """Return the completions that bash offers for the last of `words`."""
    done = subprocess.run(
        [need("bash", "bash"), "--norc", "-uc", COMPLETE_IN_BASH, "bash", *words],
        env=environment(scripts, SCRIPT=str(scripts / "bash")),
        cwd=scripts,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def in_fish(scripts: Path, *words: str) -> list[str]:
    """Return the completions that fish offers for the last of `words`."""
    line = " ".join(words)
    done = subprocess.run(
        [
            need("fish", "fish"),
            "--no-config",
            "-c",
            f'source fish; complete -C "{line}"',
        ],
        env=environment(scripts),
        cwd=scripts,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.partition("\t")[0] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["jo"], ["job"]),
        (["job", "st"], ["start"]),
        (["job", "f"], ["fail", "finish"]),
        (["job", "start", "--cus"], ["--customer"]),
        (["job", "fail", "--cus"], ["--customer", "--customer-text"]),
        (["job", "start", "--finish", ""], ["auto", "explicit"]),
        (["event", "s"], ["skip", "start", "step"]),
        (["event", "step", "--metadata-"], ["--metadata-json"]),
        (["track", "--n"], ["--no-end", "--no-start", "--no-wait", "--null"]),
        (["outbox", "re"], ["replay", "retry"]),
        (["outbox", "import", "fis"], ["fish"]),
        (["check", "zs"], ["zsh"]),
        (["job", "start", "tag", "--config", "zs"], ["zsh"]),
        (["completion", ""], ["bash", "fish", "zsh"]),
        (["event", "step", "--message", ""], []),
        (["run", "--step", "x", "--", "zq-"], ["zq-render"]),
        (["run", "cat", "zs"], ["zsh"]),
        (["nonsense", "jo"], ["job"]),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_shell_offers_words_that_can_follow(
    scripts: Path, shell: str, words: list[str], offered: list[str]
) -> None:
    """The shell offers commands, options, values and files where they are allowed."""
    complete = {"bash": in_bash, "fish": in_fish}[shell]

    assert sorted(complete(scripts, "trackerapi", *words)) == offered


def test_bash_offers_values_behind_an_equals_sign(scripts: Path) -> None:
    """After `--finish=`, bash offers only the values of the option."""
    words = ["trackerapi", "job", "start"]

    assert in_bash(scripts, *words, "--finish=au") == ["auto"]
    assert in_bash(scripts, *words, "--finish=") == ["explicit", "auto"]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: " ".join(one.path))
def test_bash_knows_all_of_each_command(scripts: Path, command: Command) -> None:
    """Bash offers all options and subcommands of each command of the parser."""
    assert set(in_bash(scripts, "trackerapi", *command.path, "-")) == command.flags
    if command.subcommands:
        words = in_bash(scripts, "trackerapi", *command.path, "")
        assert set(words) == command.subcommands


@pytest.mark.parametrize(
    ("shell", "options", "begin"),
    [
        ("bash", ["--norc", "--noprofile", "-i"], "source ./bash"),
        ("zsh", ["-f", "-i"], "autoload -U compinit; compinit -D -u; source ./zsh"),
    ],
)
def test_typed_line_is_completed(
    scripts: Path, shell: str, options: list[str], begin: str
) -> None:
    """At a prompt, the Tab key completes command, option and value."""
    with at_prompt([need(shell, shell), *options], scripts) as terminal:
        terminal.type(f"{begin}; printf 'rea%s' dy.\n")
        terminal.read_up_to("ready.")
        terminal.type("trackerapi job st\t--fin\texp\t\n")
        shown = terminal.read_up_to(">.")

    assert "ran <job start --finish explicit>" in shown


@dataclass(frozen=True, slots=True)
class Terminal:
    """The test's end of a pseudo-terminal."""

    descriptor: int

    def type(self, text: str) -> None:
        """Write `text` to the terminal, as a keyboard does."""
        os.write(self.descriptor, text.encode())

    def read_up_to(self, mark: str) -> str:
        """Wait until the terminal shows `mark`; return the text read by this call."""
        shown = ""
        ends = time.monotonic() + PATIENCE_SECONDS
        while mark not in shown:
            left = ends - time.monotonic()
            assert left > 0, shown
            if select.select([self.descriptor], [], [], left)[0]:
                shown += os.read(self.descriptor, 65_536).decode()
        return shown


@contextmanager
def at_prompt(command: list[str], folder: Path) -> Iterator[Terminal]:
    """Run a shell on a new pseudo-terminal; kill the shell after the block."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment(folder, TERM="dumb"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as shell:
        os.close(theirs)
        try:
            yield Terminal(ours)
        finally:
            shell.kill()
            os.close(ours)


def test_unknown_shell_is_an_error(machine: Machine) -> None:
    """An unknown shell ends with status 2; the error lists the supported shells."""
    done = machine.run("completion", "tcsh")

    assert done.status == USAGE
    assert "'bash', 'zsh', 'fish'" in done.err


@pytest.fixture
def no_argcomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `import argcomplete` fail, as without the extra `completion`."""
    monkeypatch.delitem(sys.modules, "trackerapi.cli.completion_words", raising=False)
    monkeypatch.setitem(sys.modules, "argcomplete", None)


@pytest.mark.usefixtures("no_argcomplete")
def test_missing_argcomplete_is_named(machine: Machine) -> None:
    """Without the extra, `completion` is a usage error that names the extra."""
    done = machine.run("completion", "bash")

    assert done.status == USAGE
    assert done.out == ""
    assert done.err == (
        "trackerapi: completion needs argcomplete; in a checkout: "
        'pip install ".[completion]"\n'
    )


@pytest.mark.usefixtures("no_argcomplete")
def test_shell_gets_nothing_without_argcomplete(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without argcomplete, a completion ends with status 1 and prints nothing."""
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    monkeypatch.setenv("COMP_LINE", "trackerapi ")
    monkeypatch.setattr(sys, "argv", ["trackerapi"])

    assert entry.main() == UNAVAILABLE
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "extra", [{}, {"COMP_LINE": "trackerapi jo", "COMP_POINT": "13"}]
)
@pytest.mark.parametrize(
    ("words", "printed"),
    [(["run", "--", "echo", "done"], "done\n"), (["--version"], f"{__version__}\n")],
    ids=["run", "version"],
)
def test_inherited_variables_of_a_completion_stop_no_command(
    words: list[str], printed: str, extra: dict[str, str]
) -> None:
    """A command with arguments runs although `_ARGCOMPLETE` is set."""
    done = subprocess.run(
        [sys.executable, "-m", "trackerapi", *words],
        env={**os.environ, "_ARGCOMPLETE": "1", **extra},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (FINE, printed)
