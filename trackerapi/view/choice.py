"""Which view is shown: a live one, plain lines, or none."""

from collections.abc import Mapping
from typing import TextIO

from trackerapi.errors import SettingsError

_NO_CURSOR = frozenset({"", "dumb", "unknown"})


def chosen(
    progress: str, stream: TextIO | None, environment: Mapping[str, str]
) -> str | None:
    """Return `live`, `plain`, or None where there is nothing to write to.

    Args:
        progress: The setting: auto, live or plain.
        stream: The stderr of the process; None where it has none.
        environment: Variables, of which `TERM` says what the terminal can do.

    Raises:
        SettingsError: If a live view is asked for and rich is not installed.
    """
    if progress == "live" and not _has_rich():
        raise SettingsError(
            'a live view needs rich; in a checkout: pip install ".[progress]". '
            "Without it, use auto",
            "progress",
        )
    if stream is None:
        return None
    try:
        is_terminal = stream.isatty()
    except (OSError, ValueError):  # closed
        return None
    can_move = environment.get("TERM", "") not in _NO_CURSOR
    if progress != "plain" and is_terminal and can_move and _has_rich():
        return "live"
    return "plain"


def _has_rich() -> bool:
    from importlib.util import find_spec

    return find_spec("rich") is not None
