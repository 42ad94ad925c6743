"""Ways in which a tracker fails, and what a script then gets to see of it."""

from typing import Final, Literal

from trackerapi.errors import (
    AuthenticationError,
    BackendError,
    BackendRejected,
    BackendUnavailable,
    Exchange,
    OutboxError,
)

Fault = Literal["timeout", "refused", "key", "customer", "disk"]

FAULTS: Final[tuple[Fault, ...]] = ("timeout", "refused", "key", "customer", "disk")
SILENT: Final[frozenset[Fault]] = frozenset({"timeout", "refused", "key"})
"""Faults with which nothing is delivered."""

BASE_URL: Final = "https://tracker.invalid"
"""Address of the tracker in memory; by RFC 2606 nobody has it."""


def check_fault(fault: str) -> None:
    """Refuse what is no fault.

    Raises:
        ValueError: If it is none.
    """
    if fault not in FAULTS:
        raise ValueError(f"a fault is one of {', '.join(FAULTS)}, got {fault!r}")


def error_of(fault: Fault) -> BackendError:
    """Return what a request runs into."""
    if fault == "timeout":
        return BackendUnavailable("no answer in time", _exchange(None))
    if fault == "refused":
        reason = (
            "cannot connect (Connection refused); is the address right and the "
            "backend up?"
        )
        return BackendUnavailable(reason, _exchange(None, was_sent=False))
    if fault == "key":
        return AuthenticationError("401: the key is not valid", _exchange(401))
    return rejected(404, "unknown-customer", "Unknown customer")


def rejected(status: int, name: str, detail: str) -> BackendRejected:
    """Return the refusal of a request for its content.

    Args:
        status: HTTP status of the answer.
        name: Last part of the problem's type, such as `unknown-job`.
        detail: One sentence for the caller.
    """
    return BackendRejected(f"{status}: {detail}", _exchange(status, detail, name))


def unwritable() -> OutboxError:
    """Return what a full disk makes of a record."""
    return OutboxError("the outbox cannot be written: No space left on device")


def _exchange(
    status: int | None, detail: str = "", name: str = "", *, was_sent: bool = True
) -> Exchange:
    problem = {"status": status, "detail": detail} if status else {}
    if name:
        problem["type"] = f"urn:trackerapi:problem:{name}"
    return Exchange(
        method="POST",
        url=f"{BASE_URL}/jobs",
        status=status,
        problem=problem,
        was_sent=was_sent,
    )
