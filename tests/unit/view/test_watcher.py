"""Choice of the view by stream, environment and setting."""

import io
import sys

import pytest

from trackerapi import SettingsError
from trackerapi.view.watcher import choose_view

ABLE = {"TERM": "xterm"}


class Tty(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
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
def test_live_view_needs_a_terminal_with_a_cursor(
    progress: str,
    stream: io.StringIO | None,
    environment: dict[str, str],
    view: str | None,
) -> None:
    """The view is `plain` if the stream is no terminal, or TERM is unset or `dumb`."""
    assert choose_view(progress, stream, environment) == view


def test_closed_stderr_has_no_view() -> None:
    """`choose_view()` returns None if stderr is closed."""
    stream = Tty()
    stream.close()

    assert choose_view("auto", io.TextIOWrapper(io.BytesIO()), ABLE) == "plain"
    closed = io.TextIOWrapper(io.BytesIO())
    closed.close()
    assert choose_view("auto", closed, ABLE) is None


def test_without_rich_the_view_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rich, `auto` is `plain`, and an explicit `live` raises SettingsError."""
    monkeypatch.setitem(sys.modules, "rich", None)  # `import rich` fails.

    assert choose_view("auto", Tty(), ABLE) == "plain"
    with pytest.raises(SettingsError, match=r"pip install \"\.\[progress\]\""):
        choose_view("live", Tty(), ABLE)
