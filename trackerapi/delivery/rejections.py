"""Answers of the backend that are final for one record.

Final is a refusal for the content of the record alone: the record is held under the
reason, and later records go on. Everything else may succeed later and is tried again.
"""

from typing import Any, Final

from trackerapi.errors import BackendError, BackendRejected

TOO_LARGE: Final = 413
LARGE_BYTES: Final = 32 * 1024
"""A record up to this size is not refused for its size by a proxy: that answers 413 to
whatever comes, and may be set right."""

_UNKNOWN: Final = 404
_CONFLICT: Final = 409
_ERASED: Final = 410
_FINAL_FOR_ANY: Final = frozenset({400, TOO_LARGE, 414, 422, 431})
_FINAL_FOR_JOBS: Final = _FINAL_FOR_ANY | {_UNKNOWN, _CONFLICT, _ERASED}

# Said of the address or the headers, whatever the content; RFC 9457 reads a problem
# without a type as `about:blank`, which says no more than the status.
_ABOUT_THE_ADDRESS: Final = frozenset(
    {None, "", "about:blank", "urn:trackerapi:problem:not-found"}
)
_ABOUT_THE_KEY: Final = "urn:trackerapi:problem:ambiguous-key"


def is_final_for_event(error: BackendError, size_bytes: int) -> bool:
    """Return whether a batch of one event is refused for its content."""
    return _is_final(error, _FINAL_FOR_ANY, size_bytes)


def is_final_for_job(error: BackendError, size_bytes: int) -> bool:
    """Return whether the creation of a job is refused for its content.

    A 404 counts only when its problem names the content: the answer of a wrong path
    is a 404 too.
    """
    if error.status == _UNKNOWN and error.problem.get("type") in _ABOUT_THE_ADDRESS:
        return False
    return _is_final(error, _FINAL_FOR_JOBS, size_bytes)


def _is_final(error: BackendError, statuses: frozenset[int], size_bytes: int) -> bool:
    if error.status == TOO_LARGE and not error.problem:  # of a proxy
        return size_bytes > LARGE_BYTES
    return (
        isinstance(error, BackendRejected)
        and error.status in statuses
        and bool(error.problem)
        and error.problem.get("type") != _ABOUT_THE_KEY
    )


def problem_of(error: BackendError) -> dict[str, Any]:
    """Return why a record is held, as members of problem details."""
    return dict(error.problem) or {"status": error.status, "detail": error.reason}
