"""Command lines of all commands, each with a test value for one argument."""

import argparse
from collections.abc import Iterator

import pytest

from trackerapi.cli.entry import main as enter
from trackerapi.cli.main import build_parser

FREE_TEXT = {"--remarks", "--customer-text", "--detail", "--reason", "--message"}
"""Options for free text: commands accept any value."""


HOSTILE = "\x1b[31m\r\n\u202e" + "x" * 100_000


def arguments_of(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[argparse.ArgumentParser, argparse.Action]]:
    """Yield each argument that takes a value, with the parser of its command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from arguments_of(below)
        elif action.nargs not in {0, argparse.REMAINDER}:
            yield parser, action


def command_lines(value: str) -> Iterator[tuple[list[str], str]]:
    """Yield command lines with `value` for one argument, and the argument's name."""
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
