"""Faults of the tracker in memory, and the errors that each fault raises."""

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
"""Faults that stop all delivery."""

BASE_URL: Final = "https://tracker.invalid"
"""Address of the tracker in memory; RFC 2606 keeps the name free of real hosts."""


def check_fault(fault: str) -> None:
    """Check the name of a fault.

    Raises:
        ValueError: If the fault is unknown.
    """
    if fault not in FAULTS:
        raise ValueError(f"a fault is one of {', '.join(FAULTS)}, got {fault!r}")


def error_of(fault: Fault) -> BackendError:
    """Return the error of a request during a fault."""
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
    """Return the error of a request that is rejected for its content.

    Args:
        status: HTTP status of the answer.
        name: Last part of the problem's type, such as `unknown-job`.
        detail: Reason in words, for the message and the problem details.
    """
    return BackendRejected(f"{status}: {detail}", _exchange(status, detail, name))


def unwritable() -> OutboxError:
    """Return the error that recording on a full disk raises."""
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
