"""Metadata of events: `shape_metadata()` converts any mapping for the contract."""

import json
import math
import sys
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.contract_document import validator
from trackerapi import TrackerApi, TrackerJob
from trackerapi.events.metadata import (
    CHANGED_KEY,
    MAX_BYTES,
    MAX_INTEGER,
    MAX_KEYS,
    shape_metadata,
)

METADATA = validator("Metadata")


class Hostile:
    """Object whose `str()` and `repr()` raise RuntimeError."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class Proxy:
    """Lazy proxy without an object: reading `__class__` raises RuntimeError."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        raise RuntimeError("working outside of a context")


class Growing(dict[str, Any]):
    """Mapping that grows during each iteration, as if another thread changed it."""

    def items(self) -> Any:
        """Yield the pairs, and add a key before each pair."""
        for pair in super().items():
            self[f"key {len(self)}"] = 1
            yield pair


class Unreadable(Mapping[str, Any]):
    """Mapping whose length, keys and values raise OSError."""

    def __getitem__(self, key: str) -> Any:
        raise OSError("gone")

    def __iter__(self) -> Iterator[str]:
        raise OSError("gone")

    def __len__(self) -> int:
        raise OSError("gone")


class HostileText(str):
    """Text whose `encode()` raises RuntimeError."""

    def encode(self, *_given: Any) -> bytes:
        """Raise RuntimeError."""
        raise RuntimeError("no")


class HostileNumber(float):
    """Number whose `float()` raises RuntimeError."""

    def __float__(self) -> float:
        raise RuntimeError("no")


class HostileList(list[Any]):
    """List whose items cannot be read: RuntimeError."""

    def __getitem__(self, key: Any) -> Any:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("no")


class Colour(Enum):
    """Enumeration whose members are not JSON values."""

    RED = "red"


class Level(IntEnum):
    """Enumeration of integers."""

    HIGH = 3


class Mode(StrEnum):
    """Enumeration of strings."""

    FAST = "fast"


Point = namedtuple("Point", "x y")


def cyclic(fan_out: int) -> list[Any]:
    """Return a list that contains itself `fan_out` times."""
    knot: list[Any] = []
    knot.extend([knot] * fan_out)
    return knot


def doubled(levels: int) -> list[Any]:
    """Return nested lists whose `repr()` has 2**levels parts."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value, value]
    return value


def nested(levels: int) -> dict[str, Any]:
    """Return `levels` mappings, each inside the one before."""
    value: dict[str, Any] = {"leaf": 1}
    for _ in range(levels - 1):
        value = {"inner": value}
    return value


def assert_recordable(values: dict[str, Any]) -> None:
    """Assert that `values` are small, strict JSON and match the contract."""
    text = json.dumps(values, allow_nan=False)
    assert len(text) <= MAX_BYTES
    METADATA.validate(json.loads(text))


JSON_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(-MAX_INTEGER, MAX_INTEGER)
    | st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9
    )
)
GOOD_KEYS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    min_size=1,
    max_size=9,
).filter(lambda key: key != CHANGED_KEY)
GOOD = st.dictionaries(
    GOOD_KEYS,
    JSON_LEAVES
    | st.lists(JSON_LEAVES, max_size=3)
    | st.dictionaries(GOOD_KEYS, JSON_LEAVES, max_size=3),
    max_size=8,
)

ANY_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**300, 10**305)
    | st.floats()
    | st.fractions()
    | st.decimals()
    | st.complex_numbers()
    | st.text()
    | st.text("\0\ud800\N{GRINNING FACE}", max_size=150)
    | st.binary()
    | st.datetimes()
    | st.uuids()
    | st.builds(Hostile)
    | st.just(Fraction(10**400))
    | st.builds(cyclic, st.integers(0, 3))
)
ANY_VALUES = st.recursive(
    ANY_LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.frozensets(st.integers(), max_size=3)
        | st.dictionaries(st.text() | st.integers() | st.builds(Hostile), inner)
    ),
    max_leaves=20,
)


@given(GOOD)
def test_good_metadata_is_unchanged(metadata: dict[str, Any]) -> None:
    """Valid metadata is recorded with the same values and types."""
    shaped = shape_metadata(metadata)

    assert shaped.changed == ()
    assert repr(shaped.values) == repr(metadata)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text() | st.integers() | st.builds(Hostile), ANY_VALUES))
def test_any_metadata_becomes_recordable(metadata: dict[Any, Any]) -> None:
    """Any mapping becomes metadata that the contract admits."""
    assert_recordable(shape_metadata(metadata).values)


@pytest.mark.parametrize(
    "metadata",
    [
        {Hostile(): Hostile()},
        {"key": {Hostile(): 1}},
        {"fraction": Fraction(10**400)},
        {"whole": 10**5000},
        {"wide": cyclic(1000)},
        {"doubled": doubled(64)},
        {"long": "x" * 10**6},
        {"wide": ["\N{GRINNING FACE}"] * 10**5},
        {"\N{GRINNING FACE}" * 100 + str(n): Hostile() for n in range(60)},
        {f"{n}": "\N{GRINNING FACE}" * 200 for n in range(60)},
        {f"key {n}": n for n in range(10_000)},
        nested(6),
        nested(500),
    ],
    ids=range(13),
)
def test_extreme_metadata_becomes_recordable(metadata: dict[Any, Any]) -> None:
    """Huge, deep, cyclic and raising values are shortened, and the change is noted."""
    shaped = shape_metadata(metadata)

    assert_recordable(shaped.values)
    assert shaped.changed
    assert CHANGED_KEY in shaped.values


@pytest.mark.parametrize(
    ("value", "recorded"),
    [
        (math.nan, None),
        (math.inf, None),
        (1e300, None),
        (2**53, "9007199254740992"),
        (-(2**53), "-9007199254740992"),
        (Decimal("1.10"), "1.10"),
        (b"bytes", "b'bytes'"),
        (Path("a/b"), "a/b"),
        (UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (datetime(2026, 11, 24, tzinfo=UTC), "2026-11-24 00:00:00+00:00"),
        (Colour.RED, "Colour.RED"),
        (Hostile(), "<Hostile>"),
        ("a\0b\ud800", "a\N{REPLACEMENT CHARACTER}b?"),
        ({"n": math.nan, "t": "kept"}, {"n": None, "t": "kept"}),
        ({1: 2}, {"1": 2}),
    ],
)
def test_value_that_json_cannot_hold_is_converted_and_named(
    value: object, recorded: object
) -> None:
    """The nearest JSON value is recorded, and `CHANGED_KEY` names the changed key."""
    shaped = shape_metadata({"Key": value, "Other": 1})

    assert shaped.values == {"Key": recorded, "Other": 1, CHANGED_KEY: ["Key"]}
    assert shaped.changed == ("Key",)


@pytest.mark.parametrize(
    ("value", "recorded"),
    [
        (True, True),
        (2**53 - 1, 2**53 - 1),
        (Level.HIGH, 3),
        (Mode.FAST, "fast"),
        (Fraction(1, 2), 0.5),
        ((1, 2), [1, 2]),
        (Point(1, 2), [1, 2]),
        (OrderedDict(a=1), {"a": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
    ],
)
def test_value_that_json_can_hold_is_no_change(value: object, recorded: object) -> None:
    """Tuples, enumerations and mappings become JSON values without a changed key."""
    shaped = shape_metadata({"Key": value})

    assert shaped.values == {"Key": recorded}
    assert shaped.changed == ()


def test_keys_beyond_the_limit_are_left_out_and_named() -> None:
    """Of 51 keys the first 49 stay, and `CHANGED_KEY` names the other two."""
    shaped = shape_metadata({f"key {n}": n for n in range(MAX_KEYS + 1)})

    assert len(shaped.values) == MAX_KEYS
    assert shaped.values["key 0"] == 0
    assert shaped.changed == ("key 49", "key 50")


def test_long_value_is_cut_so_that_the_others_stay() -> None:
    """A value of 20,000 characters is cut; the other value stays unchanged."""
    shaped = shape_metadata({"log": "x" * 20_000, "count": 5})

    assert shaped.values["count"] == 5
    assert shaped.values["log"].endswith("…")
    assert shaped.changed == ("log",)


def test_five_levels_stay_and_the_sixth_becomes_text() -> None:
    """Five levels of mappings stay unchanged; the sixth level becomes text."""
    assert shape_metadata(nested(5)).values == nested(5)
    assert isinstance(
        shape_metadata(nested(6)).values["inner"]["inner"]["inner"]["inner"]["inner"],
        str,
    )


@pytest.fixture
def job(tmp_path: Path) -> Iterator[TrackerJob]:
    """Return a job whose events stay in its outbox."""
    with TrackerApi(
        "key", "http://127.0.0.1:9", mode="offline", outbox=tmp_path / "outbox"
    ) as tracker:
        yield tracker.job("job")


@pytest.mark.parametrize(
    "metadata",
    [
        Growing(a=1),
        Unreadable(),
        {"proxy": Proxy()},
        {"nested": Growing(a=1)},
        {"nested": Unreadable()},
        {"deep": [{"x": Unreadable()}, (Proxy(),)]},
        {"text": HostileText("x")},
        {"number": HostileNumber(1)},
        {"list": HostileList([1])},
        {HostileText("x"): 1},
    ],
    ids=range(10),
)
def test_metadata_that_raises_does_not_reach_the_job(
    job: TrackerJob, metadata: Mapping[str, Any]
) -> None:
    """`send_event()` returns an id even if reading a value raises."""
    assert job.send_event(kind="info", name="load", metadata=metadata)
    assert_recordable(shape_metadata(metadata).values)


def test_proxy_without_an_object_is_no_metadata(job: TrackerJob) -> None:
    """Metadata whose class cannot be read raises TypeError that names `Proxy`."""
    with pytest.raises(TypeError, match="metadata must be a mapping, got Proxy"):
        job.send_event(kind="info", metadata=Proxy())  # type: ignore[arg-type]


@contextmanager
def changed_between_lines(shared: dict[str, Any]) -> Iterator[None]:
    """Change `shared` before each line of code, as another thread may."""

    def change(_frame: FrameType, event: str, _argument: object) -> Any:
        if event == "line" and shared.pop("toggled", None) is None:
            shared["toggled"] = 1
        return change

    before = sys.gettrace()
    sys.settrace(change)
    try:
        yield
    finally:
        sys.settrace(before)


@pytest.mark.parametrize(
    "within",
    [
        lambda shared: shared,
        lambda shared: {"nested": shared},
        lambda shared: {"nested": [shared]},
        lambda shared: {"nested": MappingProxyType(shared)},
        lambda shared: {"deep": {"a": {"b": {"c": {"d": shared}}}}},
    ],
    ids=["dict", "nested", "in a list", "proxy", "as text"],
)
def test_metadata_that_another_thread_changes_is_recorded(
    job: TrackerJob, within: Callable[[dict[str, Any]], Mapping[str, Any]]
) -> None:
    """`send_event()` returns an id if the metadata changes during the call."""
    shared: dict[str, Any] = {f"key {n}": n for n in range(20)}
    job.send_event(kind="info")  # Imports modules and opens the outbox.

    with changed_between_lines(shared):
        event_id = job.send_event(kind="info", metadata=within(shared))

    assert event_id


def test_text_of_a_class_that_raises_is_no_change() -> None:
    """Text of a subclass whose `encode()` raises is recorded unchanged."""
    shaped = shape_metadata({HostileText("Key"): HostileText("kept")})

    assert shaped.values == {"Key": "kept"}
    assert shaped.changed == ()
