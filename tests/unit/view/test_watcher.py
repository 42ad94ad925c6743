"""Which view is shown where."""

import io
import sys

import pytest

from trackerapi import SettingsError
from trackerapi.view.watcher import choose_view

ABLE = {"TERM": "xterm"}


class Tty(io.StringIO):
    """Says that it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.mark.parametrize(
    ("progress", "stream", "environment", "view"),
    [
        ("auto", Tty(), ABLE, "live"),
        ("live", Tty(), ABLE, "live"),
        ("plain", Tty(), ABLE, "plain"),
        ("auto", io.StringIO(), ABLE, "plain"),
        ("live", io.StringIO(), ABLE, "plain"),
        ("auto", Tty(), {"TERM": "dumb"}, "plain"),
        ("auto", Tty(), {}, "plain"),
        ("auto", None, ABLE, None),
    ],
)
def test_view_is_what_can_be_shown(
    progress: str,
    stream: io.StringIO | None,
    environment: dict[str, str],
    view: str | None,
) -> None:
    """A live view needs a terminal on which the cursor can move."""
    assert choose_view(progress, stream, environment) == view


def test_closed_stderr_is_no_place_for_a_view() -> None:
    """Daemons close it."""
    stream = Tty()
    stream.close()

    assert choose_view("auto", io.TextIOWrapper(io.BytesIO()), ABLE) == "plain"
    closed = io.TextIOWrapper(io.BytesIO())
    closed.close()
    assert choose_view("auto", closed, ABLE) is None


def test_without_rich_there_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only who asks for a live view is told what is missing."""
    monkeypatch.setitem(sys.modules, "rich", None)  # as if it were not there

    assert choose_view("auto", Tty(), ABLE) == "plain"
    with pytest.raises(SettingsError, match=r"pip install \"\.\[progress\]\""):
        choose_view("live", Tty(), ABLE)
