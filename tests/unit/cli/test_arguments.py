"""Arguments that each command rejects: blank, too long, with control characters."""

import sys

import pytest

from tests.support.command_lines import HOSTILE, command_lines, status_of
from trackerapi import generate_json_schemas
from trackerapi.cli.exit_statuses import USAGE
from trackerapi.cli.main import build_parser, main


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_each_argument_refuses_a_blank_value(
    blank: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blank value exits with USAGE; the last line on stderr names the argument."""
    lines = list(command_lines(blank))
    assert len(lines) > 80
    for line, name in lines:
        status = status_of(monkeypatch, line)
        printed = capsys.readouterr()
        assert (status, printed.out) == (USAGE, ""), line
        assert name in printed.err.splitlines()[-1], line


def test_two_dashes_are_a_text_or_a_usage_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`--option=--` is a usage error; since Python 3.13, the value may be a text."""
    named = 0
    for line, name in command_lines("--"):
        if name.startswith("--"):
            at = line.index(name)
            joined = [*line[:at], f"{name}=--", *line[at + 2 :]]
            value, last = option_or_error(capsys, joined)
            assert "--" in value or last, joined
            named += name in last
    assert named > 50 or sys.version_info >= (3, 13)


def option_or_error(
    capsys: pytest.CaptureFixture[str], line: list[str]
) -> tuple[list[object], str]:
    """Parse a command line; return the values of the options, or the last error."""
    try:
        return [*vars(build_parser().parse_args(line)).values()], ""
    except SystemExit:
        return [], capsys.readouterr().err.splitlines()[-1]


def test_free_text_may_be_blank() -> None:
    """`--message` and `--detail` may be empty, and `job fail` needs no text."""
    for line in (["event", "info", "--message", "", "--detail", ""], ["job", "fail"]):
        build_parser().parse_args(line)


def test_schema_command_shortens_its_errors(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`generate_json_schemas` prints printable errors of less than 1,000 characters."""
    with pytest.raises(SystemExit):
        generate_json_schemas.main(["-x", HOSTILE])

    printed = capsys.readouterr().err
    assert all(each.isprintable() for each in printed.splitlines())
    assert len(printed) < 1_000


def test_empty_config_path_is_a_usage_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An empty `--config`, as from an unset variable, is a usage error."""
    with pytest.raises(SystemExit) as end:
        main(["check", "job.py", "--config", ""])

    assert end.value.code == USAGE
    printed = capsys.readouterr().err
    assert printed.endswith("error: argument --config: must not be blank\n")
