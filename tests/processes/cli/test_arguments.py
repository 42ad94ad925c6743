"""Arguments that no command can use: blank ones, long ones, ones with controls."""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from trackerapi import generate_json_schemas
from trackerapi.cli.entry import main as enter
from trackerapi.cli.exit_statuses import FINE, USAGE
from trackerapi.cli.main import build_parser, main

PATIENCE_SECONDS = 90.0
FREE_TEXT = {"--remarks", "--customer-text", "--detail", "--reason", "--message"}
"""Options that may be blank: people read their text, and no command looks it up."""

HOSTILE = "\x1b[31m\r\n\u202e" + "x" * 100_000


def arguments_of(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[argparse.ArgumentParser, argparse.Action]]:
    """Iterate over the arguments that take a value, each with its command's parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from arguments_of(below)
        elif action.nargs not in {0, argparse.REMAINDER}:
            yield parser, action


def command_lines(value: str) -> Iterator[tuple[list[str], str]]:
    """Iterate over command lines with `value` for one argument, and its name."""
    for parser, action in arguments_of(build_parser()):
        if FREE_TEXT & {*action.option_strings}:
            continue
        line = [*parser.prog.split()[1:], *action.option_strings[:1], value]
        for other in parser._actions:
            if other.required and other is not action:
                some = next(iter(other.choices or ()), "1")
                line += [*other.option_strings[:1], some]
        name = next(iter(action.option_strings), action.metavar or action.dest)
        yield line, str(name)


def status_of(monkeypatch: pytest.MonkeyPatch, line: list[str]) -> int:
    """Run a command line in this process; return its exit status."""
    monkeypatch.setattr("sys.argv", ["trackerapi", *line])
    try:
        return enter()
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_each_argument_refuses_a_blank_value(
    blank: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each option and argument of each command is named, and nothing is done."""
    lines = list(command_lines(blank))
    assert len(lines) > 80
    for line, name in lines:
        status = status_of(monkeypatch, line)
        told = capsys.readouterr()
        assert (status, told.out) == (USAGE, ""), line
        assert name in told.err.splitlines()[-1], line


def test_free_text_may_be_blank() -> None:
    """A script whose text is empty still reports its event."""
    for line in (["event", "info", "--message", "", "--detail", ""], ["job", "fail"]):
        build_parser().parse_args(line)


@pytest.mark.parametrize(
    "line",
    [
        [HOSTILE],
        [f"--{HOSTILE}"],
        ["job", HOSTILE],
        ["event", "info", HOSTILE],
        ["job", "list", "--status", HOSTILE],
        ["job", "list", "--limit", HOSTILE],
        ["sync", "--timeout", HOSTILE],
        ["run", f"--{HOSTILE}"],
        ["run", "--watch", HOSTILE, "--", "true"],
        ["run", "--", HOSTILE],
        ["outbox", "show", HOSTILE],
        ["outbox", "import", HOSTILE],
        ["job", "show", HOSTILE],
    ],
    ids=lambda line: " ".join(line)[:20].encode("ascii", "replace").decode(),
)
def test_error_repeats_an_argument_shortened_and_printable(line: list[str]) -> None:
    """A terminal gets one short printable line, also for a hostile argument."""
    place = {
        "TRACKERAPI_BASE_URL": "http://127.0.0.1:9",
        "TRACKERAPI_API_KEY": "key",
    }
    # In a process of its own: `run` resets the signals of its process.
    done = subprocess.run(
        [sys.executable, "-m", "trackerapi", *line],
        env={**os.environ, **place},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert done.returncode != FINE
    assert all(each.isprintable() for each in done.stderr.splitlines())
    assert len(done.stderr) < 2_000


def test_schema_command_shortens_its_errors(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command that writes the JSON Schema has a parser of its own."""
    with pytest.raises(SystemExit):
        generate_json_schemas.main(["-x", HOSTILE])

    told = capsys.readouterr().err
    assert all(each.isprintable() for each in told.splitlines())
    assert len(told) < 1_000


def test_unset_variable_of_a_script_is_no_folder(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`--config "$UNSET"` does not stand for the current folder."""
    with pytest.raises(SystemExit) as end:
        main(["check", "job.py", "--config", ""])

    assert end.value.code == USAGE
    told = capsys.readouterr().err
    assert told.endswith("error: argument --config: must not be blank\n")
