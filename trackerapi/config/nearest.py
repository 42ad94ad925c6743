"""Nearest known tag for a misspelt tag or display name."""

import difflib
from collections.abc import Iterable
from typing import Final, Protocol

_CUTOFF: Final = 0.6


class Named(Protocol):
    """A job or a step of a configuration."""

    @property
    def tag(self) -> str:
        """Tag of the item."""
        ...

    @property
    def name(self) -> str:
        """Display name of the item."""
        ...


def nearest_tag(items: Iterable[Named], name: str) -> str | None:
    """Return the tag of the item whose tag or name resembles `name` most.

    None if no tag or name is similar enough. Case does not matter.
    """
    items = tuple(items)
    tag_of = {item.name.lower(): item.tag for item in items}
    tag_of |= {item.tag.lower(): item.tag for item in items}
    near = difflib.get_close_matches(name.lower(), tag_of, n=1, cutoff=_CUTOFF)
    return tag_of[near[0]] if near else None
