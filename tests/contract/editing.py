"""Edits of a parsed contract, told by path."""

from typing import Any

GONE = object()
"""Value that means: take the member out."""


def edit(document: dict[str, Any], path: str, value: object) -> None:
    """Set the member at `path`, whose names `|` parts, or take it out."""
    *parents, last = path.split("|")
    node: Any = document
    for name in parents:
        node = node[int(name)] if isinstance(node, list) else node[name]
    if value is GONE:
        del node[last]
    elif isinstance(node, list):
        node[int(last)] = value
    else:
        node[last] = value
