"""The plugin for pytest: the fixture `trackerapi`.

Loaded by each pytest where trackerapi is installed, so nothing else is imported before
a test asks for the fixture.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from trackerapi.testing.fake import FakeTracker

EVERYWHERE: Final = "trackerapi_everywhere"
"""Option of pytest's configuration file."""

OUTBOX: Final = ".trackerapi-outbox"
"""Folder below `tmp_path` for what other processes report; made when one does."""


@pytest.fixture
def trackerapi(tmp_path: Path) -> "Iterator[FakeTracker]":
    """Keep in memory what jobs report; nothing reaches a network or the user's outbox.

    See `trackerapi.testing.FakeTracker`.
    """
    from trackerapi.testing.memory_parts import recording

    with recording(tmp_path / OUTBOX) as tracker:
        yield tracker


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option."""
    parser.addini(
        EVERYWHERE,
        "Keep each TrackerApi of the process away from network and disk, also those "
        "that modules make while they are imported; without the fixture they do "
        "nothing.",
        type="bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Put the parts for tests in from the start, if that is wanted."""
    if config.getini(EVERYWHERE):
        from trackerapi.testing.memory_parts import STAGE

        STAGE.open()
        config.add_cleanup(STAGE.close)
