"""docs/reference.md names each public member; README.md names each setting."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

import trackerapi
from trackerapi import AsyncTrackerApi, TrackerApi

REFERENCE: Final = Path(__file__).parents[2] / "docs" / "reference.md"

OFF: Final[dict[str, Any]] = {
    "api_key": "key",
    "base_url": "http://127.0.0.1:9",
    "mode": "off",
}

INSTANCES: Final[dict[str, Callable[[], object]]] = {
    "TrackerApi": lambda: TrackerApi(**OFF),
    "TrackerJob": lambda: TrackerApi(**OFF).job("one"),
    "TrackerStep": lambda: TrackerApi(**OFF).job("one").step("load"),
    "AsyncTrackerApi": lambda: AsyncTrackerApi(**OFF),
    "AsyncTrackerJob": lambda: AsyncTrackerApi(**OFF).job("one"),
    "AsyncTrackerStep": lambda: AsyncTrackerApi(**OFF).job("one").step("load"),
    "JobConfigManager": trackerapi.JobConfigManager,
    "step": lambda: trackerapi.step("load"),
    "TrackerError": trackerapi.TrackerError,
    "ConfigError": lambda: trackerapi.ConfigError("reason"),
    "SettingsError": lambda: trackerapi.SettingsError("reason", "setting"),
    "UnknownStepError": lambda: trackerapi.UnknownStepError("load"),
    "OutboxError": trackerapi.OutboxError,
    "BackendError": lambda: trackerapi.BackendError("reason"),
    "BackendUnavailable": lambda: trackerapi.BackendUnavailable("reason"),
    "AuthenticationError": lambda: trackerapi.AuthenticationError("reason"),
    "BackendRejected": lambda: trackerapi.BackendRejected("reason"),
}
"""Functions that create an object, for classes with attributes of instances."""


def sections() -> dict[str, str]:
    """Return the text of each section, by each name in its heading."""
    found: dict[str, str] = {}
    for section in REFERENCE.read_text().split("\n## ")[1:]:
        heading, _, text = section.partition("\n")
        found |= dict.fromkeys(re.findall(r"`(\w+)`", heading), text)
    return found


def members_in(name: str) -> set[str]:
    """Return the members that the section of a class lists."""
    text = sections()[name]
    same_as = re.search(r"members are those of\s+`(\w+)`", text)
    if same_as:
        return members_in(same_as[1])
    return set(re.findall(r"^\| `(\w+)(?:\(\))?` \|", text, re.MULTILINE))


def members_of(name: str) -> set[str]:
    """Return the public members of a class, without those of Python's own classes."""
    kind = getattr(trackerapi, name)
    members = set(dir(INSTANCES[name]() if name in INSTANCES else kind))
    members -= set(dir(Exception if issubclass(kind, Exception) else object))
    return {member for member in members if not member.startswith("_")}


def test_reference_names_each_export() -> None:
    """The headings of the page and `trackerapi.__all__` are the same names."""
    assert sections().keys() == set(trackerapi.__all__)


@pytest.mark.parametrize("name", trackerapi.__all__)
def test_docstring_of_an_export_has_an_example(name: str) -> None:
    """The docstring of each exported class and function has an example."""
    explained = inspect.getdoc(getattr(trackerapi, name)) or ""

    assert "\nExample:\n    " in explained


@pytest.mark.parametrize(
    "name",
    [name for name in trackerapi.__all__ if inspect.isclass(getattr(trackerapi, name))],
)
def test_reference_names_each_member(name: str) -> None:
    """The page lists exactly the public members of the class."""
    assert members_in(name) == members_of(name)


def test_readme_lists_each_setting_of_the_tracker() -> None:
    """The table of settings in README.md has each parameter of `TrackerApi`."""
    readme = (REFERENCE.parents[1] / "README.md").read_text()
    table = readme.partition("| argument of `TrackerApi` |")[2].partition("\n\n")[0]
    listed = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(listed) == sorted(inspect.signature(TrackerApi).parameters)
