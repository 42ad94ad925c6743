"""Arguments of the command line: blank, long and unprintable values."""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from trackerapi_backend.cli.main import build_parser, main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVER = {"uvicorn", "fastapi", "starlette", "jinja2", "alembic"}
HOSTILE = "\x1b[31m\r\n\u202e" + "x" * 100_000


def arguments_of(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[argparse.ArgumentParser, argparse.Action]]:
    """Yield each argument that takes a value, with the parser of its command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from arguments_of(below)
        elif action.nargs != 0:
            yield parser, action


def command_lines(value: str) -> Iterator[tuple[list[str], str]]:
    """Yield command lines with `value` for one argument, and the argument's name."""
    for parser, action in arguments_of(build_parser()):
        line = [*parser.prog.split()[1:], *action.option_strings[:1], value]
        for other in parser._actions:
            if other.required and other is not action:
                line += [*other.option_strings[:1], "1"]
        yield line, str(next(iter(action.option_strings), action.metavar))


def error_of(capsys: pytest.CaptureFixture[str], *line: str) -> tuple[int, str]:
    """Run a command line that fails; return its exit status and its stderr."""
    try:
        status = main(line)
    except SystemExit as end:
        status = int(end.code or 0)
    output = capsys.readouterr()
    assert output.out == ""
    return status, output.err


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_each_argument_rejects_a_blank_value(
    blank: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A blank value ends a command with status 2; the error names the argument."""
    lines = list(command_lines(blank))
    assert len(lines) > 25
    for line, name in lines:
        status, output = error_of(capsys, *line)
        assert status == 2, line
        assert name in output.splitlines()[-1], line


def test_each_option_rejects_two_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    """`--` as the value of an option ends a command with status 2."""
    options = [line for line, name in command_lines("--") if name.startswith("--")]
    assert len(options) > 25
    for line in options:
        at = line.index("--")
        joined = [*line[: at - 1], f"{line[at - 1]}=--", *line[at + 1 :]]
        for words in (line, joined):
            status, output = error_of(capsys, *words)
            assert status == 2, words
            assert f"argument {line[at - 1]}" in output.splitlines()[-1], words


@pytest.mark.parametrize(
    "line",
    [
        ("job", "erase", "--yes", "--provider-job-id"),
        ("customer", "create", "--reference"),
        ("customer", "create", "--name"),
        ("customer", "list", "--provider"),
        ("provider", "set", "--display-name"),
        ("key", "create", "--label"),
        ("key", "expire"),
    ],
    ids=" ".join,
)
def test_text_that_is_not_utf_8_is_rejected(
    line: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """A text with bytes that are not UTF-8 gets status 2 and its argument's name."""
    status, output = error_of(capsys, *line, "caf\udce9")
    assert status == 2
    name = line[-1] if line[-1].startswith("--") else line[-1].upper()
    assert f"argument {'KEY_ID' if name == 'EXPIRE' else name}: " in output


@pytest.mark.parametrize(
    "line",
    [
        (HOSTILE,),
        ("key", HOSTILE),
        ("dev", f"--{HOSTILE}"),
        ("dev", "--port", HOSTILE),
        ("dev", "--data-dir", HOSTILE),
        ("key", "create", "--label", "x", "--scope", HOSTILE),
        ("key", "create", "--label", "x", "--expires-at", HOSTILE),
        ("customer", "create", "--id", HOSTILE),
        ("migrate", "--database", HOSTILE),
        ("serve", "--database", "x.db", "--public-base-url", HOSTILE),
    ],
    ids=lambda line: " ".join(line)[:30].encode("ascii", "replace").decode(),
)
def test_error_repeats_an_argument_shortened_and_printable(
    line: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The error for a long unprintable argument is printable and short."""
    monkeypatch.chdir(tmp_path)

    status, output = error_of(capsys, *line)

    assert status != 0
    assert all(each.isprintable() for each in output.splitlines())
    assert len(output) < 2_000


@pytest.mark.parametrize(
    ("names", "absent"),
    [
        (set(), {"sqlalchemy", *SERVER}),
        ({"migrate", "key", "customer", "provider", "export", "import"}, SERVER),
    ],
    ids=["version", "commands"],
)
def test_commands_load_no_server(names: set[str], absent: set[str]) -> None:
    """A command that serves nothing loads neither the server nor the pages.

    `--version` loads no database either.
    """
    script = (
        "import sys\nfrom trackerapi_backend.cli.main import build_parser\n"
        f"build_parser({names})\nprint(*sys.modules)"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert not absent & set(loaded.stdout.split())


def test_each_argument_of_a_command_reaches_a_server() -> None:
    """The arguments that a command sends to a running server are complete."""
    parsers = {parser for parser, _action in arguments_of(build_parser())}
    sending = [each for each in parsers if each.get_default("command") is not None]
    assert len(sending) > 10
    for parser in sending:
        assert parser._actions == parser.own_arguments
