"""Parsing of the command line of `trackerapi run`."""

import io
from contextlib import redirect_stdout

import pytest

from trackerapi.cli.main import build_parser
from trackerapi.cli.run.arguments import OPTIONS, RunUsageError, read
from trackerapi.cli.run.progress_pattern import Measure


@pytest.mark.parametrize(
    "before", [["--step", "load"], ["--step=load"], ["--step", "load", "--"]]
)
def test_options_end_where_the_command_begins(before: list[str]) -> None:
    """All words after the command name are passed to the command, options included."""
    arguments = read([*before, "convert", "--step", "x", "--", "-h"])

    assert arguments is not None
    assert arguments.step == "load"
    assert arguments.command == ["convert", "--step", "x", "--", "-h"]


def test_options_have_defaults() -> None:
    """Without options: no step, no job, no pattern, one attempt, both streams."""
    arguments = read(["true"])

    assert arguments is not None
    assert (arguments.step, arguments.job, arguments.progress) == (None, None, None)
    assert (arguments.attempts, arguments.watch, arguments.shows_arguments) == (
        1,
        "both",
        False,
    )


def test_all_options_are_read() -> None:
    """The parsed arguments have the value of each option."""
    where = ["--step", "load", "--job", "j-1"]
    look = ["--progress", "(\\d+)%", "--watch", "stderr"]
    arguments = read(
        [*where, *look, "--attempts", "3", "--show-arguments", "--", "true"]
    )

    assert arguments is not None
    assert arguments.progress is not None
    assert arguments.progress.measure("at 50%") == Measure(fraction=0.5)
    assert (arguments.step, arguments.job, arguments.watch) == ("load", "j-1", "stderr")
    assert (arguments.attempts, arguments.shows_arguments) == (3, True)


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_is_printed_only_before_the_command(word: str) -> None:
    """`--help` after the command name is passed to the command."""
    assert read(["--step", "x", word]) is None
    assert read(["true", word]) is not None


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "command to run is missing"),
        (["--"], "command to run is missing"),
        (["--step"], "--step: its value is missing"),
        (["--stop", "x", "true"], "unknown option: --stop"),
        (["-s", "true"], "unknown option: -s"),
        (["--show-arguments=no", "true"], "unknown option"),
        (["--step", " ", "true"], "--step: must not be blank"),
        (["--attempts", "0", "true"], "--attempts: not 1 to 1000: '0'"),
        (["--attempts", "x", "true"], "--attempts: not 1 to 1000: 'x'"),
        (["--attempts", "1001", "true"], "--attempts: not 1 to 1000"),
        (["--watch", "stdin", "true"], "--watch: not one of both, stdout, stderr"),
        (["--progress", "(\\d+)%", "true"], "--progress needs --step"),
        (["--step", "x", "--progress", "(", "true"], "not a regular expression"),
        (["--step", "x", "--progress", "a", "true"], "it needs one group"),
    ],
)
def test_invalid_options_are_rejected(words: list[str], reason: str) -> None:
    """Missing, unknown and invalid options raise RunUsageError with the reason."""
    with pytest.raises(RunUsageError, match=reason.replace("(", "\\(")):
        read(words)


def test_help_lists_each_option() -> None:
    """The help contains each option of `OPTIONS` with the name of its value."""
    text = build_run_help()

    for option in OPTIONS:
        assert f"{option.name} {option.value or ''}".strip() in text


def build_run_help() -> str:
    """Return the help of `trackerapi run`."""
    with redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit):
        build_parser(["run"]).parse_args(["run", "--help"])
    return out.getvalue()
