"""Warnings of the library: kinds, sentences, and the log that each goes to once."""

import logging
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from trackerapi.errors import BackendError, one_line

_UNKNOWN: Final = 404
_CONFLICT: Final = 409
_ERASED: Final = 410
_TOO_LONG: Final = frozenset({413, 414, 431})

_MOST_NAMES: Final = 3
_MAX_LINE: Final = 2_000
"""Longest line of the log, in characters."""

_LOG: Final = logging.getLogger("trackerapi")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryProblem:
    """Something that keeps reports from the backend, told once per kind.

    Attributes:
        kind: unreachable, key-refused, job-refused, event-refused, job-unknown,
            not-taken, outbox-unwritable, outbox-full, outbox-deleted, left-behind,
            metadata, before-send, succeeded, step, event kind, job tag or internal.
        message: What happened and what to do, in one line.
    """

    kind: str
    message: str


ProblemCallback = Callable[[DeliveryProblem], object]


def log(level: int, message: str) -> None:
    """Write one printable line to the log, and harm nobody if that cannot be done.

    If the script has set up no logging, Python prints the bare message on stderr. The
    message then begins with `trackerapi: `, so that a reader knows its source.
    """
    # Where stderr is closed, logging raises into the job.
    with suppress(Exception):
        name = "" if _LOG.hasHandlers() else "trackerapi: "
        _LOG.log(level, "%s%s", name, one_line(message, _MAX_LINE))


class Problems:
    """Tells each problem once: to the log, and to the script if it wants to know.

    Safe to share between threads and across a fork.

    Args:
        on_problem: Called with each; what it raises is logged and goes no further.
    """

    def __init__(self, on_problem: ProblemCallback | None = None) -> None:
        self._on_problem = on_problem
        self._told: dict[tuple[str, ...], object] = {}

    def tell(self, kind: str, message: str, *subject: str, level: int = 0) -> None:
        """Tell a problem, unless it was told already.

        Args:
            kind: See `DeliveryProblem`.
            message: One line.
            subject: What tells two problems of a kind apart; by default nothing does.
            level: Level of the log; 0 for a warning.
        """
        # One atomic step of `dict` decides; a lock could be left locked by a fork.
        mine = object()
        if self._told.setdefault((kind, *subject), mine) is not mine:
            return
        message = one_line(message, _MAX_LINE)
        log(level or logging.WARNING, message)
        if self._on_problem is None:
            return
        try:
            self._on_problem(DeliveryProblem(kind=kind, message=message))
        except Exception as error:  # noqa: BLE001 - the author's code may raise anything
            log(logging.ERROR, f"on_problem raised {error!r}; the job goes on")

    def forget(self, kind: str) -> None:
        """Let a problem be told again after it was gone."""
        for told in [told for told in list(self._told) if told[0] == kind]:
            self._told.pop(told, None)


def unreachable(error: BackendError) -> str:
    """Return what to tell when the backend does not answer usably."""
    return f"the backend cannot be reached ({error}); events wait in the outbox"


def unwritable(error: OSError) -> str:
    """Return what to log when the outbox cannot be written."""
    name = f" {error.filename}" if error.filename else ""
    return one_line(f"the outbox{name} cannot be written: {error.strerror or error}")


def kept_in_memory(error: OSError, most: int) -> str:
    """Return what to log when records are kept in memory, at most so many."""
    return (
        f"{unwritable(error)}; events wait in memory, at most {most:,}; make room, or "
        "set TRACKERAPI_OUTBOX to a folder that can be written"
    )


def key_refused(error: BackendError, folder: Path | None = None) -> str:
    """Return the message about a key that the backend does not accept.

    Args:
        error: The refusal.
        folder: The outbox folder; None leaves it unnamed.
    """
    where = urlsplit(error.url)
    backend = (
        f"the backend at {where.scheme}://{where.netloc}"
        if error.url
        else ("the backend")
    )
    reason = f"HTTP {error.reason}" if error.status else error.reason
    request = f"; request {error.request_id}" if error.request_id else ""
    return (
        f"{backend} refused the API key ({reason}{request}). Events are kept in "
        f"{folder or 'the outbox'}; set a valid TRACKERAPI_API_KEY or "
        "TRACKERAPI_API_KEY_FILE and run `trackerapi sync`"
    )


def refused_job(provider_job_id: str, reason: str, problem: Mapping[str, Any]) -> str:
    """Return the message about a job that was refused, with its fix."""
    return (
        f"the backend refused job {provider_job_id!r} ({reason}). The script goes on; "
        "its reports are kept on this machine; " + fix_for_job(provider_job_id, problem)
    )


def failing_record(provider_job_id: str, reason: str) -> str:
    """Return the message about a record that is set aside and sent again later."""
    return (
        f"a record of job {provider_job_id!r} waits: {reason}; it is sent "
        "again from time to time"
    )


def unusable(path: Path, error: OSError) -> str:
    """Return the message about an outbox file that is set aside."""
    culprit = error.filename or str(path)
    hint = "repair or remove that file"
    if isinstance(error, PermissionError):
        hint = f"give it to this user: sudo chown $(id -un) {culprit}"
    return (
        f"outbox file {path.name} is set aside, other records are delivered: "
        f"{culprit} cannot be used ({error.strerror or error}); {hint}"
    )


def not_delivered(
    count: int,
    folder: Path,
    awaited: Collection[str],
    failing: Sequence[str] = (),
    unconfirmed: str = "",
) -> str:
    """Return the message about records that are left at the end of a process.

    Args:
        count: How many there are.
        folder: Where they stay.
        awaited: Ids of jobs of some records that the backend does not know.
        failing: Why the backend does not take some records.
        unconfirmed: Address of the backend if no backend has accepted address and key.
    """
    stay, them = f"{count:,} records stay", "them"
    if count == 1:
        stay, them = "1 record stays", "it"
    hint = ""
    if awaited:
        ids = sorted(awaited)
        names = ", ".join(map(repr, ids[:_MOST_NAMES]))
        more = ", ..." if len(ids) > _MOST_NAMES else ""
        hint = (
            f"; the backend does not know job {names}{more}; if an id is misspelt: "
            f"trackerapi outbox drop --job {shell_word(ids[0])}"
        )
    elif failing:
        hint = f"; {failing[0]}"
    elif unconfirmed:
        hint = (
            f"; if {unconfirmed} or the API key is wrong, set the right one and run "
            "`trackerapi outbox claim` first"
        )
    return (
        f"not delivered yet: {stay} in {folder}; the next process that reports there, "
        f"or `trackerapi sync`, delivers {them}{hint}"
    )


def lost(count: int, reason: str) -> str:
    """Return the message about records that were in memory alone at the end."""
    records = "1 record was" if count == 1 else f"{count:,} records were"
    return (
        f"{records} lost: the outbox could not be written ({reason}); set "
        "TRACKERAPI_OUTBOX to a folder that can be written"
    )


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
