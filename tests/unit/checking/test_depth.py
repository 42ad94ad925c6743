"""Static check of deeply nested scripts."""

import sys
from collections.abc import Callable

import pytest

from tests.support.checked_scripts import MY_JOB, findings_in

BEGIN = """
from trackerapi import TrackerApi
job = TrackerApi().create_job("1", 1, "my_job")
a = b = 1
"""
END = '\njob.step("say_helo").done()\n'


def branches(count: int) -> str:
    """Return an `if` with many `elif`, each of which sets a name."""
    tests = [f"if a == {n}:\n    name{n} = {n}\n" for n in range(count)]
    return "el".join(tests)


SOURCES: dict[str, tuple[int, Callable[[int], str]]] = {
    "elif": (250, branches),
    "many elif": (2_700, branches),
    "calls": (196, lambda count: "a" + ".b()" * count),
    "many calls": (1_300, lambda count: "a" + ".b()" * count),
    "calls of a job": (600, lambda count: "job" + ".step('say_bye').job" * count),
    "decorator": (1_300, lambda count: "@a" + ".b()" * count + "\ndef c(): ..."),
    "annotation": (2_700, lambda count: "def c(job: a" + ".b" * count + "): ..."),
    "attributes": (2_700, lambda count: "a" + ".b" * count),
    "items": (2_700, lambda count: "a" + "[0]" * count),
    "sum": (2_700, lambda count: " + ".join(["a"] * count)),
    "sum of texts": (2_700, lambda count: " + ".join(["'a'"] * count)),
    "power": (2_700, lambda count: " ** ".join(["a"] * count)),
    "negation": (2_700, lambda count: "not " * count + "a"),
    "sign": (2_700, lambda count: "-" * count + "a"),
    "conditions": (2_700, lambda count: "a if b else " * count + "a"),
    "lambdas": (2_700, lambda count: "lambda: " * count + "a"),
    "operands": (5_000, lambda count: " and ".join(["a"] * count)),
    "lists": (90, lambda count: "[" * count + "a" + "]" * count),
    "comprehensions": (90, lambda count: "[" * count + "a" + " for a in b]" * count),
    "loops": (
        19,
        lambda count: (
            "".join(" " * n + f"for a{n} in b:\n" for n in range(count))
            + " " * count
            + "a"
        ),
    ),
    "handles of handles": (
        2_000,
        lambda count: "x = job\n" + "x = x.step('say_bye').job\n" * count,
    ),
    "lists of lists": (2_000, lambda count: "x = [job]\n" + "x = [x]\n" * count),
    "bases of classes": (
        2_000,
        lambda count: "class C: ...\n" + "class C(C): ...\n" * count,
    ),
    "paths": (
        2_000,
        lambda count: (
            "from trackerapi import JobConfigManager\np0 = 'a'\n"
            + "".join(f"p{n} = p{n - 1} / p{n - 1}\n" for n in range(1, count))
            + f"JobConfigManager(p{count - 1})"
        ),
    ),
    "calls of functions that call twice": (
        40,
        lambda count: (
            "".join(
                f"def f{n}():\n    f{n + 1}()\n    f{n + 1}()\n" for n in range(count)
            )
            + f"def f{count}(): ...\nf0()"
        ),
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_mistake_behind_deep_code_is_found(name: str) -> None:
    """The check finds a mistake that follows deeply nested code."""
    count, source = SOURCES[name]
    text = BEGIN + source(count) + END
    found = findings_in(text, MY_JOB)

    line = text.rstrip().count("\n") + 1
    assert (line, "unknown-step") in [(one.line, one.code) for one in found]


@pytest.mark.skipif(
    sys.version_info[:2] == (3, 12), reason="Python 3.12 compiles 2,992 at most"
)
def test_five_thousand_branches_are_read() -> None:
    """The check reads 5,000 branches and does not change the recursion limit."""
    limit = sys.getrecursionlimit()
    found = findings_in(BEGIN + branches(5_000) + END, MY_JOB)

    assert "unknown-step" in {one.code for one in found}
    assert sys.getrecursionlimit() == limit
