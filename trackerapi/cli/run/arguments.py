"""The command line of `trackerapi run`: what is wanted, read without a parser.

`commands/run.py` describes the same options for `--help`; a test holds them equal.
"""

import sys

# Type checkers take this name for `typing.TYPE_CHECKING`, whose import would take
# longer than all the rest of the way to the command.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trackerapi.cli.run.progress_pattern import ProgressPattern

USAGE = 2
MOST_ATTEMPTS = 1000
STREAMS = ("both", "stdout", "stderr")

VALUED = ("--step", "--job", "--progress", "--watch", "--attempts")
"""Options that take a value."""

FLAG = "--show-arguments"


class Misuse(Exception):
    """The command line cannot be meant as it is; the text says why."""


class Order:
    """What is wanted.

    Attributes:
        command: The command and its arguments.
        step: Tag or name of the step that it is; None for work of the job itself.
        job: Token or id of the job; None reads `TRACKERAPI_JOB`.
        progress: Finds in its output how far it is; None for nothing.
        watch: Which of its streams are looked at: one of `STREAMS`.
        attempts: How often it may be run, 1 or more.
        shows_arguments: Whether the provider is told its arguments too.
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
        """Take what the options say.

        Args:
            given: Values by the names of the options; None stands for "not given".
            command: The command and its arguments.

        Raises:
            Misuse: If a value cannot be meant.
        """
        for name in VALUED:
            value = given.get(name)
            if value is not None and not value.strip():
                raise Misuse(f"{name}: must not be blank")
        if not command:
            raise Misuse("the command to run is missing")
        self.command = list(command)
        self.step = given.get("--step")
        self.job = given.get("--job")
        self.attempts = _attempts(given.get("--attempts"))
        self.progress = _pattern(given.get("--progress"))
        self.watch = given.get("--watch") or STREAMS[0]
        self.shows_arguments = given.get(FLAG) is not None
        if self.watch not in STREAMS:
            raise Misuse(f"--watch: not one of {', '.join(STREAMS)}: {self.watch!r}")
        if self.progress is not None and self.step is None:
            raise Misuse("--progress needs --step: only steps have progress")


def read(arguments: "Sequence[str]") -> Order | None:
    """Return what is wanted; None if help is.

    Args:
        arguments: What stands behind `run`. Options end at `--` or at the first word
            that is none.

    Raises:
        Misuse: If it cannot be read.
    """
    given: dict[str, str | None] = {}
    place = 0
    while place < len(arguments) and arguments[place][:1] == "-":
        word = arguments[place]
        place += 1
        name, equals, value = word.partition("=")
        if word == "--":
            break
        if word in ("-h", "--help"):
            return None
        if word == FLAG:
            given[FLAG] = ""
        elif name not in VALUED:
            raise Misuse(f"unknown option: {word}")
        elif equals:
            given[name] = value
        elif place < len(arguments):
            given[name] = arguments[place]
            place += 1
        else:
            raise Misuse(f"{name}: its value is missing")
    return Order(given, arguments[place:])


def complain(mistake: Misuse) -> None:
    """Print what is wrong with the command line, in one line below the usage."""
    from trackerapi.errors import one_line

    if sys.stderr is not None:
        sys.stderr.write(
            "usage: trackerapi run [--step STEP] [--job ID] [OPTIONS] -- COMMAND ...\n"
            f"trackerapi run: error: {one_line(str(mistake))}\n"
        )


def _attempts(text: str | None) -> int:
    if text is None:
        return 1
    is_number = text.isascii() and text.isdigit() and len(text) <= 4
    if not is_number or not 1 <= int(text) <= MOST_ATTEMPTS:
        raise Misuse(f"--attempts: not 1 to {MOST_ATTEMPTS}: {text!r}")
    return int(text)


def _pattern(text: str | None) -> "ProgressPattern | None":
    if text is None:
        return None
    from trackerapi.cli.run.progress_pattern import ProgressPattern

    try:
        return ProgressPattern(text)
    except ValueError as error:
        raise Misuse(f"--progress: {error}") from None
