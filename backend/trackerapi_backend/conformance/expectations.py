"""Expectations of checks: expected and received values, and reasons to skip a check."""

from __future__ import annotations

MAX_VALUE_LENGTH = 200


class Mismatch(Exception):
    """Difference between the contract and a response; the text has both values."""

    def __init__(self, what: str, expected: object, got: object) -> None:
        super().__init__(f"{what}: expected {_shown(expected)}, got {_shown(got)}")


class Skipped(Exception):
    """Reason why a check is skipped; its text names the missing condition."""


class KitError(Exception):
    """Reason why the whole kit cannot run; the message names the fix."""


UNEXPECTED_FORM = (LookupError, TypeError, ValueError, AttributeError)
"""Errors that a check raises if a response lacks an expected member."""


def expect(what: str, expected: object, got: object) -> None:
    """Compare a value of the backend with the expected value.

    Args:
        what: Name of the value, for the report.
        expected: Value by the contract.
        got: Value of the backend.

    Raises:
        Mismatch: If the values differ.
    """
    if expected != got:
        raise Mismatch(what, expected, got)


def expect_all(what: str, expected: dict[str, object], got: object) -> None:
    """Compare members of an object of the backend with the expected members.

    Raises:
        Mismatch: If a member differs or is missing, or `got` is not an object.
    """
    members = got if isinstance(got, dict) else {}
    for name, value in expected.items():
        expect(f"{name} of {what}", value, members.get(name, "no such member"))


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    short = text[:MAX_VALUE_LENGTH]
    return short if short == text else f"{short}…"
