"""Run of the kit: selected checks, one after another, each with its outcome."""

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

# The last two groups also report what the responses to all other checks had wrong.
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
        reason: What was expected and what was got, or why the check was skipped.
    """

    check: Check
    result: str
    reason: str = ""


def all_checks() -> list[Check]:
    """Return all checks in the order in which they run."""
    return [check for group in GROUPS for check in group.checks]


def is_selected(name: str, selected: Collection[str]) -> bool:
    """Return whether a check has one of the names or belongs to a group of them."""
    group = name.partition("/")[0]
    return not selected or name in selected or group in selected


def run_checks(session: Session, selected: Collection[str] = ()) -> Iterator[Outcome]:
    """Run checks and yield their outcomes; all checks without a selection."""
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
