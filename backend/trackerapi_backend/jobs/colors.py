"""Colours of a provider: contrast by the formula of WCAG 2, mixtures, dark variant."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

MIN_CONTRAST = 4.5
"""Minimum contrast of a text with its background (WCAG 2, level AA)."""
LIGHT_CARD = "#ffffff"
"""Background of texts on a light page: `--card` of the style sheet."""
DARK_CARD = "#151d1b"
"""Background of texts on a dark page: `--card` of the style sheet."""


def contrast(color: str, background: str) -> float:
    """Return the contrast of two colours such as `#0c6a60`, from 1 to 21."""
    dark, light = sorted((_luminance(color), _luminance(background)))
    return (light + 0.05) / (dark + 0.05)


def shown_contrast(color: str, background: str) -> float:
    """Return the contrast rounded down to two decimals.

    Otherwise 4.499 would be shown as 4.5, which would look sufficient.
    """
    return math.floor(100 * contrast(color, background)) / 100


def mixed(color: str, other: str, share: float) -> str:
    """Return a mixture of two colours, with a `share` of `other` from 0.0 to 1.0."""
    pairs = zip(_channels(color), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def readable(color: str, towards: str, backgrounds: Collection[str]) -> str:
    """Mix white or black into a colour until the colour is readable; return the result.

    Args:
        color: Colour to start from.
        towards: Colour to mix with: white or black.
        backgrounds: Colours with which the result has at least `MIN_CONTRAST`.
    """
    steps = (mixed(color, towards, percent / 100) for percent in range(101))
    return next(
        each
        for each in steps
        if all(contrast(each, below) >= MIN_CONTRAST for below in backgrounds)
    )


def dark_variant(accent: str) -> str:
    """Return the accent of a dark page for the accent of a light page."""
    return readable(accent, "#ffffff", [DARK_CARD])


def _channels(color: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(color.removeprefix("#")))


def _luminance(color: str) -> float:
    red, green, blue = (_linear(channel / 255) for channel in _channels(color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
