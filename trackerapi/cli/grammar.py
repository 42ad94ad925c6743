"""The grammar of the command line as completion needs it, read from its parser."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from trackerapi.events.event import KINDS

FILES: Final = "files"
FOLDERS: Final = "folders"
WORDS: Final = "words"
ANYTHING: Final = "anything"
NOTHING: Final = "nothing"

_BY_METAVAR: Final = {
    "FILE": (FILES, ()),
    "SCRIPT": (FILES, ()),
    "DIR": (FOLDERS, ()),
    "KIND": (WORDS, KINDS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word that may come next.

    Attributes:
        text: The word.
        meaning: One line about it.
    """

    text: str
    meaning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option of a command.

    Attributes:
        flags: Its spellings.
        meaning: One line about it.
        value: What follows it: files, folders, words, anything, or nothing.
        words: The words that may follow it.
    """

    flags: tuple[str, ...]
    meaning: str
    value: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command, or a group of them.

    Attributes:
        path: Its words; none of the whole command line.
        options: In the order of its help.
        words: Its own commands, or the words that its arguments can be.
        takes_files: Whether its arguments are names of files.
    """

    path: tuple[str, ...]
    options: tuple[Option, ...]
    words: tuple[Word, ...]
    takes_files: bool = False

    @property
    def name(self) -> str:
        """Its words with blanks between them."""
        return " ".join(self.path)


def commands_of(
    parser: argparse.ArgumentParser, path: tuple[str, ...] = ()
) -> Iterator[Command]:
    """Walk a parser: its command, and those below it."""
    options: list[Option] = []
    words: list[Word] = []
    takes_files = False
    below: dict[str, argparse.ArgumentParser] = {}
    # argparse has no other way to say what it holds.
    for action in parser._actions:  # noqa: SLF001
        value, choices = _value_of(action)
        if action.nargs == argparse.PARSER:
            below |= _parsers_of(action)
            words += _words_with_help(action)
        elif action.option_strings:
            option = Option(
                flags=tuple(action.option_strings),
                meaning=_one_line(action.help),
                value=value,
                words=choices,
            )
            options.append(option)
        else:
            words.extend(Word(text=choice) for choice in choices)
            takes_files = takes_files or value == FILES
    yield Command(
        path=path,
        options=tuple(options),
        words=tuple(words),
        takes_files=takes_files,
    )
    for name, parser_below in below.items():
        yield from commands_of(parser_below, (*path, name))


def _parsers_of(commands: Any) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of a group's commands."""
    parsers: dict[str, argparse.ArgumentParser] = commands.choices
    return parsers


def _words_with_help(commands: Any) -> list[Word]:
    """Return the commands of a group, each with its line in the group's help."""
    return [
        Word(text=entry.dest, meaning=_one_line(entry.help))
        for entry in commands._choices_actions  # noqa: SLF001
    ]


def _value_of(action: argparse.Action) -> tuple[str, tuple[str, ...]]:
    """Return what stands for an action on the command line, and its words."""
    if action.nargs == 0:
        return NOTHING, ()
    if action.choices is not None:
        return WORDS, tuple(map(str, action.choices))
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    return _BY_METAVAR.get(metavar, (ANYTHING, ()))


def _one_line(text: str | None) -> str:
    return " ".join((text or "").replace("%%", "%").split())
