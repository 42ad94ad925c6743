"""Names of a module, function or class, and what they stand for at a moment."""

from collections.abc import Iterable

from trackerapi.checking.values import Value, either


class Scope:
    """The names of a module, function or class.

    Attributes:
        names: What each name stands for now.
        parent: The scope around it; None for a module.
        is_class: Whether functions inside do not see its names.
        shared: Names that belong to a scope around it, by `global` or `nonlocal`.
    """

    def __init__(
        self, parent: "Scope | None" = None, *, is_class: bool = False
    ) -> None:
        self.names: dict[str, Value] = {}
        self.parent, self.is_class = parent, is_class
        self.shared: set[str] = set()

    def find(self, name: str) -> Value | None:
        """Return what a name stands for; None if no scope has it."""
        if name in self.names and name not in self.shared:
            return self.names[name]
        around = self.around()
        return around.find(name) if around else None

    def assign(self, name: str, value: Value) -> None:
        """Let a name stand for a value."""
        if name not in self.shared:
            self.names[name] = value
            return
        # When the others read it is not known, so that what it was stays possible.
        owner = self.around()
        while owner is not None:
            if name in owner.names or owner.parent is None:
                before = owner.names.get(name, frozenset())
                owner.names[name] = either([before, value])
                return
            owner = owner.around()

    def around(self) -> "Scope | None":
        """Return the scope around whose names are seen; None for a module."""
        scope = self.parent
        while scope is not None and scope.is_class:
            scope = scope.parent
        return scope


def joined(ways: Iterable[dict[str, Value]]) -> dict[str, Value]:
    """Return the names after several ways through a script have met again."""
    names: dict[str, list[Value]] = {}
    for way in ways:
        for name, value in way.items():
            names.setdefault(name, []).append(value)
    return {name: either(values) for name, values in names.items()}
