"""Final answers of the backend: a record is rejected for its own content.

A rejected record is held with the reason, and delivery continues with the next record.
After any other failure, a later attempt may succeed.
"""

from typing import Any, Final

from trackerapi.errors import BackendError, BackendRejected

TOO_LARGE: Final = 413
LARGE_BYTES: Final = 32 * 1024
"""Maximum size of a record that stays undelivered after a proxy's 413, in bytes.

A proxy that rejects such a small request rejects nearly all requests: the limit of the
proxy is wrong. A larger record is held.
"""

_UNKNOWN: Final = 404
_CONFLICT: Final = 409
_ERASED: Final = 410
_FINAL_FOR_EVENT: Final = frozenset({400, TOO_LARGE, 414, 422, 431})
_FINAL_FOR_JOB: Final = _FINAL_FOR_EVENT | {_UNKNOWN, _CONFLICT, _ERASED}

# Problem types about the address or the headers of a request, not about the content. A
# missing type means `about:blank` (RFC 9457), which adds nothing to the status.
_ABOUT_THE_ADDRESS: Final = frozenset(
    {None, "", "about:blank", "urn:trackerapi:problem:not-found"}
)
_ABOUT_THE_KEY: Final = "urn:trackerapi:problem:ambiguous-key"


def is_final_for_event(error: BackendError, size_bytes: int) -> bool:
    """Return whether a batch of one event is rejected for its content.

    Args:
        error: The answer to the batch.
        size_bytes: Size of the line of the event.
    """
    return _is_final(error, _FINAL_FOR_EVENT, size_bytes)


def is_final_for_job(error: BackendError, size_bytes: int) -> bool:
    """Return whether the creation of a job is rejected for its content.

    A 404 is final only if the problem type is about the content: the answer to a wrong
    path is a 404 too.

    Args:
        error: The answer to the creation.
        size_bytes: Size of the line of the creation.
    """
    if error.status == _UNKNOWN and error.problem.get("type") in _ABOUT_THE_ADDRESS:
        return False
    return _is_final(error, _FINAL_FOR_JOB, size_bytes)


def _is_final(error: BackendError, statuses: frozenset[int], size_bytes: int) -> bool:
    if error.status == TOO_LARGE and not error.problem:  # the answer of a proxy
        return size_bytes > LARGE_BYTES
    return (
        isinstance(error, BackendRejected)
        and error.status in statuses
        and bool(error.problem)
        and error.problem.get("type") != _ABOUT_THE_KEY
    )


def problem_of(error: BackendError) -> dict[str, Any]:
    """Return the reason of a rejection, as members of problem details."""
    return dict(error.problem) or {"status": error.status, "detail": error.reason}
