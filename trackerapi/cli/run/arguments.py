"""Options of `trackerapi run`: the table of options, and the reader of command lines.

`help.py` makes the help from the same table. This module imports almost nothing: each
import delays the start of the user's command.
"""

import sys

# Type checkers treat this name like `typing.TYPE_CHECKING`. The import of `typing`
# would take longer than all other modules before the command starts.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trackerapi.cli.run.progress_pattern import ProgressPattern

USAGE = 2
"""Exit status for a usage error."""

MAX_ATTEMPTS = 1000
"""Maximum value of `--attempts`; a higher value is a usage error."""

STREAMS = ("both", "stdout", "stderr")
SYNOPSIS = "[--step STEP] [--job ID] [OPTIONS] -- COMMAND ..."


class Option:
    """An option of `trackerapi run`.

    Attributes:
        name: Name on the command line, such as `--step`.
        value: Placeholder of the value in the help; None for an option without value.
        text: Description in the help.
        choices: Allowed values; empty if `RunArguments` checks the value itself.
    """

    __slots__ = ("choices", "name", "text", "value")

    def __init__(
        self, name: str, value: str | None, text: str, choices: "Sequence[str]" = ()
    ) -> None:
        self.name, self.value = name, value
        self.text, self.choices = text, choices


OPTIONS = (
    Option("--step", "STEP", "tag or name of the step"),
    Option("--job", "ID", "id or token of the job"),
    Option("--progress", "REGEX", "pattern that finds the progress in the output"),
    Option(
        "--watch",
        "STREAM",
        f"stream in which --progress searches: {', '.join(STREAMS)}; {STREAMS[0]} by "
        "default",
        STREAMS,
    ),
    Option("--attempts", "N", "run the command until it succeeds, at most N times"),
    Option(
        "--show-arguments",
        None,
        "let the provider read the arguments of a command that failed; not for "
        "arguments with personal data",
    ),
)
_BY_NAME = {option.name: option for option in OPTIONS}


class RunUsageError(Exception):
    """Usage error in the command line of `trackerapi run`; the text is the reason."""


class RunArguments:
    """Valid arguments of `trackerapi run`.

    Attributes:
        command: Name or path of the program, and its arguments.
        step: Tag or name of the step; None if the command is reported on the job, not
            on a step.
        job: Token or id of the job; None for the value of `TRACKERAPI_JOB`.
        progress: Pattern that finds the progress in the output; None without
            `--progress`.
        watch: Streams in which the pattern is searched: one of `STREAMS`.
        attempts: Maximum number of runs, 1 to `MAX_ATTEMPTS`.
        shows_arguments: Whether the provider may read the arguments of the command.
    """

    __slots__ = (
        "attempts",
        "command",
        "job",
        "progress",
        "shows_arguments",
        "step",
        "watch",
    )

    def __init__(
        self, given: "Mapping[str, str | None]", command: "Sequence[str]"
    ) -> None:
        """Check the values of the options.

        Args:
            given: Value of each given option by its name; empty for an option without
                a value. A missing option is absent or None.
            command: Name or path of the program, and its arguments.

        Raises:
            RunUsageError: If the command is missing, or a value is not valid.
        """
        for option in OPTIONS:
            _check(option, given.get(option.name))
        if not command:
            raise RunUsageError("the command to run is missing")
        self.command = list(command)
        self.step = given.get("--step")
        self.job = given.get("--job")
        self.attempts = _attempts(given.get("--attempts"))
        self.progress = _pattern(given.get("--progress"))
        self.watch = given.get("--watch") or STREAMS[0]
        self.shows_arguments = given.get("--show-arguments") is not None
        if self.progress is not None and self.step is None:
            raise RunUsageError("--progress needs --step: only steps have progress")


def read(words: "Sequence[str]") -> RunArguments | None:
    """Read the command line; return None if it asks for help.

    Args:
        words: Words after `run`. The options end at `--`, or before the first word that
            does not begin with a hyphen.

    Raises:
        RunUsageError: If the command line is wrong.
    """
    given: dict[str, str | None] = {}
    index = 0
    while index < len(words) and words[index][:1] == "-":
        word = words[index]
        index += 1
        name, equals, value = word.partition("=")
        option = _BY_NAME.get(name)
        if word == "--":
            break
        if word in ("-h", "--help"):
            return None
        if option is None or (option.value is None and equals):
            raise RunUsageError(f"unknown option: {word}")
        if option.value is None or equals:
            given[name] = value
        elif index < len(words):
            given[name] = words[index]
            index += 1
        else:
            raise RunUsageError(f"{name}: its value is missing")
    return RunArguments(given, words[index:])


def print_usage_error(error: RunUsageError) -> None:
    """Print the usage and an error on stderr, one line each."""
    from trackerapi.errors import one_line

    if sys.stderr is not None:
        sys.stderr.write(
            f"usage: trackerapi run {SYNOPSIS}\n"
            f"trackerapi run: error: {one_line(str(error))}\n"
        )


def _check(option: Option, value: str | None) -> None:
    """Raise `RunUsageError` if a value is blank or outside the allowed values."""
    if option.value is None or value is None:
        return
    if not value.strip():
        raise RunUsageError(f"{option.name}: must not be blank")
    if option.choices and value not in option.choices:
        choices = ", ".join(option.choices)
        raise RunUsageError(f"{option.name}: not one of {choices}: {value!r}")


def _attempts(text: str | None) -> int:
    if text is None:
        return 1
    is_number = text.isascii() and text.isdigit() and len(text) <= 4
    if not is_number or not 1 <= int(text) <= MAX_ATTEMPTS:
        raise RunUsageError(f"--attempts: not 1 to {MAX_ATTEMPTS}: {text!r}")
    return int(text)


def _pattern(text: str | None) -> "ProgressPattern | None":
    if text is None:
        return None
    from trackerapi.cli.run.progress_pattern import ProgressPattern

    try:
        return ProgressPattern(text)
    except ValueError as error:
        raise RunUsageError(f"--progress: {error}") from None
