"""What the command line of `trackerapi run` means."""

import pytest

from trackerapi.cli.main import build_parser
from trackerapi.cli.run.arguments import FLAG, VALUED, Misuse, read
from trackerapi.cli.run.progress_pattern import Measure


@pytest.mark.parametrize(
    "before", [["--step", "load"], ["--step=load"], ["--step", "load", "--"]]
)
def test_options_end_where_the_command_begins(before: list[str]) -> None:
    """What follows belongs to the command, whatever it looks like."""
    order = read([*before, "convert", "--step", "x", "--", "-h"])

    assert order is not None
    assert order.step == "load"
    assert order.command == ["convert", "--step", "x", "--", "-h"]


def test_options_have_defaults() -> None:
    """A command alone is run once, is no step, and is not looked at."""
    order = read(["true"])

    assert order is not None
    assert (order.step, order.job, order.progress) == (None, None, None)
    assert (order.attempts, order.watch, order.shows_arguments) == (1, "both", False)


def test_all_options_are_taken() -> None:
    """Each option arrives where it belongs."""
    where = ["--step", "load", "--job", "j-1"]
    look = ["--progress", "(\\d+)%", "--watch", "stderr"]
    order = read([*where, *look, "--attempts", "3", "--show-arguments", "--", "true"])

    assert order is not None
    assert order.progress is not None
    assert order.progress.measure("at 50%") == Measure(fraction=0.5)
    assert (order.step, order.job, order.watch) == ("load", "j-1", "stderr")
    assert (order.attempts, order.shows_arguments) == (3, True)


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_is_asked_for_before_the_command_only(word: str) -> None:
    """The command's own `--help` is the command's."""
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
def test_what_cannot_be_meant_is_refused(words: list[str], reason: str) -> None:
    """A mistake is told before anything is run."""
    with pytest.raises(Misuse, match=reason.replace("(", "\\(")):
        read(words)


def test_help_tells_of_the_options_that_are_read() -> None:
    """The parser that prints the help and the one that reads agree."""
    run_parser = build_parser(["run"])
    told = run_parser.parse_args(["run"]).__dict__.keys() - {"run", "words"}

    assert {f"--{name.replace('_', '-')}" for name in told} >= {*VALUED, FLAG}
    assert len(told - {"whole_parser"}) == len(VALUED) + 1
