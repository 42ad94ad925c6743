"""Edits of a parsed contract, told by path."""

from typing import Any

GONE = object()
"""Value that means: take the member out."""


def edit(document: dict[str, Any], path: str, value: object) -> None:
    """Set the member at `path`, whose names `|` parts, or take it out.

    Members on the way are made where they are missing; `+` adds to a list.
    """
    *parents, last = path.split("|")
    node: Any = document
    for name in parents:
        node = node[int(name)] if isinstance(node, list) else node.setdefault(name, {})
    if value is GONE:
        del node[int(last) if isinstance(node, list) else last]
    elif last == "+":
        node.append(value)
    elif isinstance(node, list):
        node[int(last)] = value
    else:
        node[last] = value
