"""Groups of checks: a check has a name, a title and a function."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from trackerapi_backend.conformance.session import Session

    Run = Callable[[Session], None]


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: `<group>/<name>`, for `--only` and reports.
        title: Fact about the backend, which is false if the check fails.
        run: Function that raises `Mismatch` or `Skipped`.
    """

    name: str
    title: str
    run: Run


@dataclass(frozen=True, slots=True)
class Group:
    """Checks of one subject; `run_checks()` keeps their order."""

    name: str
    checks: list[Check] = field(default_factory=list)

    def add(self, name: str, title: str, run: Run) -> None:
        """Add a check."""
        self.checks.append(Check(f"{self.name}/{name}", title, run))

    def check(self, name: str) -> Callable[[Run], Run]:
        """Add the decorated function, with its docstring as the title."""

        def add(run: Run) -> Run:
            self.add(name, (run.__doc__ or "").partition("\n")[0].rstrip("."), run)
            return run

        return add
