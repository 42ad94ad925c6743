"""Problems of tracking: kinds, messages, and the log that gets each problem once.

Each kind is a constant, followed by the functions that write its messages. A message
gives cause, location and fix, in this order.

Long: one module contains the wording of all warnings.
"""

import logging
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from trackerapi.errors import BackendError, UnknownStepError, one_line

_UNKNOWN: Final = 404
_CONFLICT: Final = 409
_ERASED: Final = 410
_TOO_LONG: Final = frozenset({413, 414, 431})

_MAX_NAMES: Final = 3
"""Maximum number of job ids in one message; further ids are counted."""

_MAX_KEYS: Final = 5
"""Maximum number of metadata keys in one message; further keys are omitted."""

_MAX_ENTRY: Final = 60
"""Maximum length of a NO_PROXY entry in a message, in characters."""

_MAX_LINE: Final = 2_000
"""Maximum length of a log line, in characters."""

_LOG: Final = logging.getLogger("trackerapi")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryProblem:
    """A problem that keeps reports from the backend, or changes or drops reports.

    Attributes:
        kind: unreachable, key-refused, job-refused, event-refused, job-unknown,
            not-taken, outbox-unwritable, outbox-full, outbox-deleted, outbox-cut,
            left-behind, metadata, before-send, succeeded, step, event kind, job tag
            or internal. `docs/problems.md` explains each of them.
        message: Cause, location and fix, in one line.

    Example:
        def on_problem(problem):
            if problem.kind == "key-refused":
                page_an_operator(problem.message)

        tracker = TrackerApi(on_problem=on_problem)
    """

    kind: str
    message: str


ProblemCallback = Callable[[DeliveryProblem], object]


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A kind of problem.

    Attributes:
        name: Value of `DeliveryProblem.kind`; never changes.
        sentence: Cause and consequence, the same as in `docs/problems.md`.
        level: Level of the log.
    """

    name: str
    sentence: str
    level: int = logging.WARNING


def log(level: int, message: str) -> None:
    """Write one printable line to the log; raise nothing.

    If the script has not set up logging, Python prints the bare message on stderr. The
    message then begins with `trackerapi: `, so that a reader knows the source.
    """
    # With a closed stderr, `logging` would raise into the job.
    with suppress(Exception):
        name = "" if _LOG.hasHandlers() else "trackerapi: "
        _LOG.log(level, "%s%s", name, one_line(message, _MAX_LINE))


class Problems:
    """Reports each problem once: to the log, and to the script's `on_problem`.

    Safe to share between threads and across a fork.

    Args:
        on_problem: Function that gets each problem. Its exceptions are logged, and
            never reach the caller of `report()`.
    """

    def __init__(self, on_problem: ProblemCallback | None = None) -> None:
        self._on_problem = on_problem
        self._reported: dict[tuple[str, ...], object] = {}

    def report(
        self, kind: ProblemKind, message: str, *subject: str, level: int = 0
    ) -> None:
        """Log a problem and call `on_problem`, unless the problem was reported before.

        Args:
            kind: A constant of this module.
            message: One line.
            subject: Distinguishes problems of a kind, such as a job id. A problem
                without a subject is reported once for each kind.
            level: Level of the log; 0 for the level of the kind.
        """
        # `setdefault()` is atomic, and decides between threads that report at once. A
        # lock would be unsafe: another thread could have it at a fork, and the child
        # would wait for ever.
        mine = object()
        if self._reported.setdefault((kind.name, *subject), mine) is not mine:
            return
        message = one_line(message, _MAX_LINE)
        log(level or kind.level, message)
        if self._on_problem is None:
            return
        try:
            self._on_problem(DeliveryProblem(kind=kind.name, message=message))
        except Exception as error:  # noqa: BLE001 - the script's code may raise anything
            log(logging.ERROR, f"on_problem raised {error!r}; the job goes on")


UNREACHABLE: Final = ProblemKind(
    "unreachable",
    "The backend gives no usable answer; events stay in the outbox until it does.",
)


def unreachable(error: BackendError) -> str:
    """Return the message about a backend that gives no usable answer."""
    return f"the backend cannot be reached ({error}); events wait in the outbox"


KEY_REFUSED: Final = ProblemKind(
    "key-refused",
    "The backend refuses the API key; events stay in the outbox until a key is valid.",
    logging.ERROR,
)


def key_refused(error: BackendError, folder: Path | None = None) -> str:
    """Return the message about a key that the backend does not accept.

    Args:
        error: The refusal.
        folder: The outbox folder; None omits its path from the message.
    """
    where = urlsplit(error.url)
    backend = (
        f"the backend at {where.scheme}://{where.netloc}"
        if error.url
        else "the backend"
    )
    reason = f"HTTP {error.reason}" if error.status else error.reason
    request = f"; request {error.request_id}" if error.request_id else ""
    return (
        f"{backend} refused the API key ({reason}{request}). Events are kept in "
        f"{folder or 'the outbox'}; set a valid TRACKERAPI_API_KEY or "
        "TRACKERAPI_API_KEY_FILE and run `trackerapi sync`"
    )


JOB_REFUSED: Final = ProblemKind(
    "job-refused",
    "The backend refuses a job; the events of the job are held until it is created.",
    logging.ERROR,
)


def job_refused(provider_job_id: str, reason: str, problem: Mapping[str, Any]) -> str:
    """Return the message about a refused job, with the command that fixes it.

    Args:
        provider_job_id: Id of the job.
        reason: Cause of the refusal, in one sentence.
        problem: Members of the problem details (RFC 9457).
    """
    reason = reason.removesuffix(".")
    return (
        f"the backend refused job {provider_job_id!r} ({reason}). The script "
        "continues; the outbox holds the reports of the job; "
        + fix_for_job(provider_job_id, problem)
    )


EVENT_REFUSED: Final = ProblemKind(
    "event-refused",
    "The backend refuses an event for its content; the event is held.",
    logging.ERROR,
)


def event_refused(provider_job_id: str, reason: str, problem: Mapping[str, Any]) -> str:
    """Return the message about an event that was refused for its content.

    Args:
        provider_job_id: Id of the job.
        reason: Cause of the refusal, in one sentence.
        problem: Members of the problem details (RFC 9457).
    """
    fix = "`trackerapi outbox list` shows what is held"
    if problem.get("status") == _ERASED:
        fix = f"its reports are held; {fix_for_job(provider_job_id, problem)}"
    reason = reason.removesuffix(".")
    return f"the backend refused an event of job {provider_job_id!r}: {reason}; {fix}"


JOB_UNKNOWN: Final = ProblemKind(
    "job-unknown",
    "The backend does not know a job; its events stay in the outbox until it does.",
)


def job_unknown(provider_job_id: str) -> str:
    """Return the message about events of a job that the backend does not know."""
    return f"the backend does not know job {provider_job_id!r} yet; its events wait"


NOT_TAKEN: Final = ProblemKind(
    "not-taken",
    "The backend fails at a record, but not at others; the record is sent again later.",
)


def not_taken(provider_job_id: str, reason: str) -> str:
    """Return the message about a record that causes errors of the backend."""
    return (
        f"a record of job {provider_job_id!r} waits: {reason}; it is sent "
        "again from time to time"
    )


OUTBOX_UNWRITABLE: Final = ProblemKind(
    "outbox-unwritable",
    "The outbox cannot be written; events wait in memory, and are lost if the process "
    "ends first.",
)


def unwritable(error: OSError) -> str:
    """Return the reason why the outbox cannot be written."""
    name = f" {error.filename}" if error.filename else ""
    return one_line(f"the outbox{name} cannot be written: {error.strerror or error}")


def kept_in_memory(error: OSError, max_records: int) -> str:
    """Return the message about events that wait in memory.

    Args:
        error: Error of the write.
        max_records: Maximum number of records in memory.
    """
    return (
        f"{unwritable(error)}; events wait in memory, at most {max_records:,}; make "
        "room, or set TRACKERAPI_OUTBOX to a folder that can be written"
    )


def unheld(error: OSError) -> str:
    """Return the message about rejected records that cannot be written to disk."""
    return (
        f"rejected records cannot be held ({error}); make room in the outbox "
        "folder: delivery tries again each second"
    )


OUTBOX_FULL: Final = ProblemKind(
    "outbox-full",
    "The outbox or its buffer in memory is full; events were dropped and counted.",
)


def outbox_full(limit_bytes: int) -> str:
    """Return the message about an outbox beyond its size limit."""
    return (
        f"the outbox has more than {limit_bytes:,} bytes: the oldest info, heartbeats "
        "and superseded progress were dropped; "
        "`tracker.delivery().dropped` counts them"
    )


def event_dropped(reason: str, *, counts: bool) -> str:
    """Return the message about an event for which the outbox has no room.

    Args:
        reason: Key of the count in `tracker.delivery().dropped`.
        counts: Whether the event changes the progress or the status of its job.
    """
    event = "an event that counts" if counts else "an event"
    return f"{event} was dropped: {reason}; `tracker.delivery().dropped` counts them"


OUTBOX_DELETED: Final = ProblemKind(
    "outbox-deleted",
    "Files of the outbox were deleted while the job runs; undelivered records were "
    "written again, or are lost.",
)

RECORDS_RESCUED: Final = (
    "the files of the outbox were deleted or moved while the job runs; its undelivered "
    "records were written to a new file"
)
"""Message about deleted files that this process can still read."""

RECORDS_DELETED: Final = (
    "the files of the outbox were closed and deleted while the job runs: records are "
    "lost; `tracker.delivery().dropped` counts them"
)
"""Message about deleted files that this process can no longer read."""

OUTBOX_CUT: Final = ProblemKind(
    "outbox-cut",
    "A file of the outbox was truncated while the job runs; undelivered records are "
    "lost.",
    logging.ERROR,
)

RECORDS_CUT: Final = (
    "a file of the outbox was truncated while the job runs: undelivered records are "
    "lost; the remaining records were written to a new file"
)
"""Message about a truncated file."""

LEFT_BEHIND: Final = ProblemKind(
    "left-behind",
    "An outbox file of an ended process cannot be used; other files are delivered.",
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


METADATA: Final = ProblemKind(
    "metadata",
    "Metadata does not fit JSON, the limits or the configuration; it was changed or "
    "left out.",
)


def metadata_changed(provider_job_id: str, change: str) -> str:
    """Return the message about metadata that JSON or the limits cannot hold."""
    return f"job {provider_job_id!r}: {change}"


def metadata_undeclared(tag: str | None, keys: Sequence[str]) -> str:
    """Return the message about metadata that the step does not declare."""
    return (
        f"metadata of step {tag!r} is not declared in its configuration; it "
        f"was left out: {', '.join(keys[:_MAX_KEYS])}"
    )


def job_metadata_undeclared(provider_job_id: str, config_tag: str) -> str:
    """Return the message about metadata of a job, which no step can declare."""
    return (
        f"metadata of job {provider_job_id!r} was left out: job configuration "
        f"{config_tag!r} allows only metadata that its steps declare"
    )


BEFORE_SEND: Final = ProblemKind(
    "before-send",
    "`before_send` raised; the event is sent without metadata and texts.",
)


def before_send_raised(error: Exception) -> str:
    """Return the message about a `before_send` that raised."""
    # Only the type: the text of the exception may contain the data to be filtered.
    return (
        f"before_send raised {type(error).__name__}; the event is sent without "
        "metadata and texts"
    )


SUCCEEDED: Final = ProblemKind(
    "succeeded",
    "A job that has succeeded was created again; its result is final.",
)


def already_succeeded(provider_job_id: str) -> str:
    """Return the message about a job that was created again after its success."""
    return (
        f"job {provider_job_id!r} has already succeeded; its result is final. "
        "Use a new provider_job_id"
    )


NO_PROGRESS: Final = "Recorded as is; it does not change the progress"
"""Consequence for an event that names an unknown step or kind."""

STEP: Final = ProblemKind(
    "step",
    "The configuration of the job has no such step; the event does not change the "
    "progress.",
)

EVENT_KIND: Final = ProblemKind(
    "event kind",
    "The kind of an event looks misspelt, or does not suit a step or a job; the event "
    "does not change the progress.",
)


def unknown_name(error: UnknownStepError) -> str:
    """Return the message about an event of an unknown step or kind."""
    return f"{error}. {NO_PROGRESS}"


def unsuitable_kind(kind: str, *, needs_step: bool) -> str:
    """Return the message about a kind with a missing or superfluous step."""
    reason = (
        f"a {kind!r} event needs a step: pass name=..."
        if needs_step
        else f"{kind!r} is about the whole job: leave out name=..."
    )
    return f"{reason}; recorded, but it does not change the progress"


JOB_TAG: Final = ProblemKind(
    "job tag",
    "No loaded configuration has the tag of the job; the job has no percentage.",
)


def unknown_job_tag(error: Exception) -> str:
    """Return the message about a job with a tag that looks misspelt."""
    return f"{error}; without a configuration a job has no percentage"


INTERNAL: Final = ProblemKind(
    "internal", "Tracking has failed unexpectedly; the job goes on."
)


def creation_failed(error: Exception) -> str:
    """Return the message about a creation that failed unexpectedly."""
    return f"creation of the job not sent: {error!r}; delivery sends it from the outbox"


def unreported(error: Exception) -> str:
    """Return the message about the end of a block that could not be reported."""
    return f"the end of a block could not be reported: {error}"


def delivery_failed(error: BaseException) -> str:
    """Return the message about a delivery that failed unexpectedly."""
    return f"delivery has failed unexpectedly: {error!r}"


def not_delivered(
    count: int,
    folder: Path,
    awaited: Collection[str],
    failing: Sequence[str] = (),
    unconfirmed: str = "",
) -> str:
    """Return the message about undelivered records at the end of a process.

    Args:
        count: Number of the records.
        folder: The outbox folder, where the records stay.
        awaited: Ids of jobs that the backend does not know.
        failing: Messages about records that cause errors of the backend.
        unconfirmed: Address of the backend, if no backend has accepted this address
            and key; empty otherwise.
    """
    stay, them = f"{count:,} records stay", "them"
    if count == 1:
        stay, them = "1 record stays", "it"
    hint = ""
    if awaited:
        ids = sorted(awaited)
        names = ", ".join(map(repr, ids[:_MAX_NAMES]))
        more = ", ..." if len(ids) > _MAX_NAMES else ""
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


def no_proxy_ignored(entries: Collection[str]) -> str:
    """Return the message about unreadable entries of NO_PROXY."""
    shown = [one_line(entry, _MAX_ENTRY) for entry in entries][:_MAX_NAMES]
    return f"NO_PROXY: ignored unreadable entries: {', '.join(shown)}"


def lost(count: int, reason: str) -> str:
    """Return the message about records that were only in memory at the end."""
    records = "1 record was" if count == 1 else f"{count:,} records were"
    return (
        f"{records} lost: the outbox could not be written ({reason}); set "
        "TRACKERAPI_OUTBOX to a folder that can be written"
    )


def shell_word(text: str) -> str:
    """Return `text` as one quoted word of a shell command."""
    quoted = shlex.quote(text)
    return f"'{text}'" if quoted == text else quoted


def fix_for_job(provider_job_id: str, problem: Mapping[str, Any]) -> str:
    """Return the fix for a refused job, with the command to run."""
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
