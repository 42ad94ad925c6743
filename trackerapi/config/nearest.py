"""The known name that a misspelt one is nearest to."""

import difflib
from collections.abc import Iterable
from typing import Final, Protocol

_CUTOFF: Final = 0.6


class Named(Protocol):
    """A job or step of a configuration."""

    @property
    def tag(self) -> str:
        """Its tag."""
        ...

    @property
    def name(self) -> str:
        """Its display name."""
        ...


def nearest_tag(items: Iterable[Named], name: str) -> str | None:
    """Return the tag of the item whose tag or display name is like `name`."""
    items = tuple(items)
    tag_of = {item.name.lower(): item.tag for item in items}
    tag_of |= {item.tag.lower(): item.tag for item in items}
    near = difflib.get_close_matches(name.lower(), tag_of, n=1, cutoff=_CUTOFF)
    return tag_of[near[0]] if near else None
