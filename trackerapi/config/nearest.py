"""Nearest known name for a misspelt name, tag or key."""

import difflib
from collections.abc import Iterable, Mapping
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
    return _nearest(tag_of, name)


def nearest_name(known: Iterable[str], name: str) -> str | None:
    """Return the known name that resembles `name` most.

    None if no known name is similar enough. Case does not matter.
    """
    return _nearest({each.lower(): each for each in known}, name)


def _nearest(known: Mapping[str, str], name: str) -> str | None:
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=_CUTOFF)
    return known[near[0]] if near else None
