"""Answers of a backend from the contract, and answers with one changed value.

A changed answer is the sample of its schema with one value replaced or removed. A
JSON Schema validator, independent of the library, decides whether the contract admits
the result.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from scripts.contract.document import Contract, read_contract
from scripts.project import CONTRACT_PATH, ROOT
from tests.support.contract_document import validator
from tests.support.contract_samples import sample

DEEP: Final = json.loads("[" * 40 + "]" * 40)
WRONG_VALUES: Final[tuple[Any, ...]] = (
    None,
    True,
    7,
    -7,
    0.5,
    10**15,
    10**17,
    10**300,
    1e300,
    "text",
    "",
    "2026-11-29T06:00:00",
    "2026-11-29",
    "9999-12-31T23:59:59.999999Z",
    "2026-11-29T06:00:00.123456789+05:30",
    [],
    [None],
    {},
    {"a": 1},
    DEEP,
)
"""Values that replace each value of an answer."""

WRONG_TEXTS: Final = ("NaN", "Infinity", "-Infinity", "1e999", '"\\ud800"', "{", "01")
"""Texts that replace each value: invalid JSON, or JSON that no writer produces."""

UNUSABLE: Final = (DEEP, 10**300, 1e300)
"""Values of `WRONG_VALUES` that JSON Schema may admit and the library must reject."""

MARK: Final = "the-place-of-a-text"
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class ChangedAnswer:
    """An answer with one value replaced.

    Attributes:
        path: Member names and array indexes that lead to the value.
        text: The answer as JSON, valid or not.
        is_admitted: Whether the contract admits it.
    """

    path: Path
    text: str
    is_admitted: bool

    def __str__(self) -> str:
        return f"{'/'.join(map(str, self.path))}: {self.text[:200]}"


@cache
def contract() -> Contract:
    """Return the contract of the work tree."""
    return read_contract(ROOT / CONTRACT_PATH)


def answer(schema: str) -> Any:
    """Return an answer of a named schema with all members."""
    return sample(contract(), contract().schemas[schema], full=True)


def changed_answers(schema: str, whole: Any = None) -> Iterator[ChangedAnswer]:
    """Yield the answers of a schema with one value replaced or removed.

    Args:
        schema: Name of the schema in the contract.
        whole: Answer to change; the sample of the schema if None.
    """
    is_valid = validator(schema).is_valid
    whole = answer(schema) if whole is None else whole
    assert is_valid(whole), whole
    for path in paths_in(whole):
        for wrong in WRONG_VALUES:
            changed = replace(whole, path, wrong)
            is_admitted = wrong not in UNUSABLE and is_valid(changed)
            yield ChangedAnswer(path, json.dumps(changed), is_admitted)
        marked = json.dumps(replace(whole, path, MARK))
        for text in WRONG_TEXTS:
            yield ChangedAnswer(
                path, marked.replace(f'"{MARK}"', text), is_admitted=False
            )
        if isinstance(path[-1], str):
            changed = replace(whole, path, None, is_removed=True)
            yield ChangedAnswer(path, json.dumps(changed), is_valid(changed))


def paths_in(value: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the paths to all values inside `value`."""
    if isinstance(value, dict):
        inner: Any = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    else:
        return
    for name, each in inner:
        yield (*path, name)
        yield from paths_in(each, (*path, name))


def replace(whole: Any, path: Path, value: Any, *, is_removed: bool = False) -> Any:
    """Return a copy of `whole` with the value at `path` replaced or removed."""
    changed: Any = json.loads(json.dumps(whole))
    holder = changed
    for name in path[:-1]:
        holder = holder[name]
    if is_removed:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    return changed
