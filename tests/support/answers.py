"""Answers of a backend, and the same answers with one member spoilt, from the contract.

An answer is the sample of its schema in which one value was replaced. The schemas of
the contract say, by a validator that has nothing to do with the library, whether the
result is still an answer.
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
"""What takes the place of a member, one after the other."""

WRONG_TEXTS: Final = ("NaN", "Infinity", "-Infinity", "1e999", '"\\ud800"', "{", "01")
"""Likewise, as bytes that no JSON writer makes of a value."""

UNUSABLE: Final = (DEEP, 10**300, 1e300)
"""Of these, what JSON Schema may admit and no reader can use."""

MARK: Final = "the-place-of-a-text"
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Spoilt:
    """An answer with one value replaced.

    Attributes:
        path: Members and places that lead to the value.
        text: The answer as JSON, or nearly.
        is_ours: Whether the contract admits it.
    """

    path: Path
    text: str
    is_ours: bool

    def __str__(self) -> str:
        return f"{'/'.join(map(str, self.path))}: {self.text[:200]}"


@cache
def contract() -> Contract:
    """Return the contract as it is checked in."""
    return read_contract(ROOT / CONTRACT_PATH)


def answer(schema: str) -> Any:
    """Return an answer of a named schema with all its members."""
    return sample(contract(), contract().schemas[schema], full=True)


def spoilt(schema: str, whole: Any = None) -> Iterator[Spoilt]:
    """Walk the answers of a schema in which one value was replaced or left out.

    Args:
        schema: Name in the contract.
        whole: The answer to begin with; the sample of the schema by default.
    """
    is_valid = validator(schema).is_valid
    whole = answer(schema) if whole is None else whole
    assert is_valid(whole), whole
    for path in places(whole):
        for wrong in WRONG_VALUES:
            changed = replaced(whole, path, wrong)
            is_ours = wrong not in UNUSABLE and is_valid(changed)
            yield Spoilt(path, json.dumps(changed), is_ours)
        marked = json.dumps(replaced(whole, path, MARK))
        for text in WRONG_TEXTS:
            yield Spoilt(path, marked.replace(f'"{MARK}"', text), is_ours=False)
        if isinstance(path[-1], str):
            changed = replaced(whole, path, None, is_removed=True)
            yield Spoilt(path, json.dumps(changed), is_valid(changed))


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Walk the paths to all values inside `value`."""
    if isinstance(value, dict):
        inner: Any = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    else:
        return
    for name, each in inner:
        yield (*path, name)
        yield from places(each, (*path, name))


def replaced(whole: Any, path: Path, value: Any, *, is_removed: bool = False) -> Any:
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
