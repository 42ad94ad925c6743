"""Plugin for pytest: the fixture `trackerapi`.

pytest loads the plugin wherever trackerapi is installed. The plugin therefore imports
other modules only when a test uses the fixture.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from trackerapi.testing.fake import FakeTracker

EVERYWHERE: Final = "trackerapi_everywhere"
"""Name of the option in pytest's configuration file."""

OUTBOX: Final = ".trackerapi-outbox"
"""Name of the folder in `tmp_path` for the reports of other processes."""


@pytest.fixture
def trackerapi(tmp_path: Path) -> "Iterator[FakeTracker]":
    """Record the reports of jobs in memory, without network or the user's outbox.

    See `trackerapi.testing.FakeTracker`.
    """
    from trackerapi.testing.memory_parts import recording

    with recording(tmp_path / OUTBOX) as tracker:
        yield tracker


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option `trackerapi_everywhere`."""
    parser.addini(
        EVERYWHERE,
        "Keep each TrackerApi of the process away from network and disk, including "
        "objects that modules create during their import. Without the fixture, "
        "reports are discarded.",
        type="bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Install the parts in memory, before the import of tests, if the option is set."""
    if config.getini(EVERYWHERE):
        from trackerapi.testing.memory_parts import MEMORY_PARTS

        MEMORY_PARTS.install()
        config.add_cleanup(MEMORY_PARTS.uninstall)
