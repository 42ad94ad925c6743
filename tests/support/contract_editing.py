"""Edits of a parsed contract by path."""

from typing import Any

REMOVED = object()
"""Value for `edit()` that removes the member."""


def edit(document: dict[str, Any], path: str, value: object) -> None:
    """Set or remove the member at `path`, a list of names separated by `|`.

    Missing parents are created; the name `+` appends to a list.
    """
    *parents, last = path.split("|")
    node: Any = document
    for name in parents:
        node = node[int(name)] if isinstance(node, list) else node.setdefault(name, {})
    if value is REMOVED:
        del node[int(last) if isinstance(node, list) else last]
    elif last == "+":
        node.append(value)
    elif isinstance(node, list):
        node[int(last)] = value
    else:
        node[last] = value
