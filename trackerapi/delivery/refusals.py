"""Answers that are final for one record, and the command that fixes each of them.

Final is a refusal for the content of the record alone: the record is held under the
reason, and later records go on. Everything else may succeed later and is tried again.
"""

import shlex
from collections.abc import Mapping
from typing import Any, Final, cast

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
_TOO_LONG: Final = frozenset({TOO_LARGE, 414, 431})

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


def shell_word(text: str) -> str:
    """Return a text as one word of a shell command, always in quotes."""
    quoted = shlex.quote(text)
    return f"'{text}'" if quoted == text else quoted


def fix_for_job(provider_job_id: str, problem: Mapping[str, Any]) -> str:
    """Return what to do about a job that was refused, with the command to run."""
    job = shell_word(provider_job_id)
    retry = f"trackerapi outbox retry --job {job} [--customer-id N]"
    drop = f"to give them up: trackerapi outbox drop --job {job}"
    status = problem.get("status")
    if status == _ERASED:
        return drop
    if status in _TOO_LONG:
        return f"to send them under a larger limit: {retry}; {drop}"
    if status == _CONFLICT and _has_pointer(problem, "/tag"):
        return f"to add them to the job under its own tag: {retry} --tag TAG; {drop}"
    if status == _UNKNOWN or _has_pointer(problem, "/customer_id"):
        return f"to send them for the right customer: {retry}"
    return f"to send them once this is fixed: {retry} [--tag TAG]; {drop}"


def _has_pointer(problem: Mapping[str, Any], pointer: str) -> bool:
    errors = problem.get("errors")
    if not isinstance(errors, list):
        return False
    return any(
        isinstance(each, dict)
        and cast("dict[str, Any]", each).get("pointer") == pointer
        for each in cast("list[object]", errors)
    )
