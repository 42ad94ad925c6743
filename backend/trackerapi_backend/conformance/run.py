"""Runner of the conformance kit: selected checks in order, and their outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trackerapi_backend.conformance.checks import (
    configurations,
    customers,
    erasure,
    events,
    health,
    jobs,
    keys,
    limits,
    links,
    lists,
    operations,
    problems,
    projection,
    streams,
    tenancy,
    tokens,
)
from trackerapi_backend.conformance.expectations import (
    UNEXPECTED_FORM,
    Mismatch,
    Skipped,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from trackerapi_backend.conformance.group import Check
    from trackerapi_backend.conformance.session import Session

# The last two groups also report faults in the responses to all earlier checks.
GROUPS = (
    *(health.group, keys.group, customers.group, configurations.group, jobs.group),
    *(events.group, projection.group, limits.group, lists.group, tokens.group),
    *(links.group, tenancy.group, streams.group, erasure.group),
    *(problems.group, operations.group),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a check.

    Attributes:
        result: `pass`, `fail` or `skip`.
        reason: Expected and received value of a failed check, or cause of a skip;
            empty for `pass`.
    """

    check: Check
    result: str
    reason: str = ""


def all_checks() -> list[Check]:
    """Return all checks in the order in which they run."""
    return [check for group in GROUPS for check in group.checks]


def is_selected(name: str, selected: Collection[str]) -> bool:
    """Return whether a check or its group is selected.

    An empty selection contains all checks.
    """
    group = name.partition("/")[0]
    return not selected or name in selected or group in selected


def run_checks(session: Session, selected: Collection[str] = ()) -> Iterator[Outcome]:
    """Run the selected checks and yield their outcomes; see `is_selected()`."""
    for check in all_checks():
        if is_selected(check.name, selected):
            yield _outcome(check, session)


def _outcome(check: Check, session: Session) -> Outcome:
    try:
        check.run(session)
    except Mismatch as mismatch:
        return Outcome(check, "fail", str(mismatch))
    except Skipped as skipped:
        return Outcome(check, "skip", str(skipped))
    except UNEXPECTED_FORM as error:
        reason = f"a response has an unexpected form ({error!r})"
        return Outcome(check, "fail", reason)
    return Outcome(check, "pass")
