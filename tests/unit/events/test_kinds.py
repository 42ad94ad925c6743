"""Table of event kinds: no other module of the package lists kinds."""

import ast
from collections.abc import Iterator
from pathlib import Path

import trackerapi
from trackerapi.events.event import KINDS, kind_of, kinds_with
from trackerapi.settings.settings import SIGTERM_KINDS

PACKAGE = Path(trackerapi.__file__).parent

WORDS_OF_A_SETTING = {"cancel", "interrupt"}
"""Values of `on_sigterm`, which the settings and the signature of `TrackerApi` list."""


def listed_kinds() -> Iterator[tuple[str, set[object]]]:
    """Yield each literal of two or more kinds in the package, with its file name."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Set() | ast.Tuple() | ast.List():
                    members = node.elts
                case ast.Dict():
                    members = [key for key in node.keys if key is not None]
                case _:
                    continue
            words = [each.value for each in members if isinstance(each, ast.Constant)]
            if len(words) == len(members) > 1 and KINDS.keys() >= set(words):
                yield path.name, set(words)


def test_no_module_lists_kinds_of_its_own() -> None:
    """No module has a literal of two or more kinds, except values of `on_sigterm`."""
    assert [each for each in listed_kinds() if each[1] != WORDS_OF_A_SETTING] == []


def test_words_of_on_sigterm_are_kinds_of_the_job() -> None:
    """The values of `on_sigterm` are the kinds with `is_of_job` in the table."""
    assert set(SIGTERM_KINDS) == kinds_with("is_of_job") == WORDS_OF_A_SETTING


def test_word_of_the_author_has_the_effects_of_info() -> None:
    """`kind_of()` of an unknown kind returns the entry of `info`."""
    assert kind_of("unpacked") is KINDS["info"]


def test_conflated_and_droppable_kinds_change_nothing_that_lasts() -> None:
    """Conflated kinds are droppable, and no droppable kind ends an attempt."""
    for kind in KINDS.values():
        assert not (kind.is_droppable and kind.closes_attempt)
        assert not (kind.is_conflated and not kind.is_droppable)
        assert not (kind.needs_step and kind.is_of_job)
