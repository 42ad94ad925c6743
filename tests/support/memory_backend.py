"""Backend in memory: a second implementation of `Sender`.

The backend knows jobs and stores each event once by its id, in order of arrival. Tests
set the faults of its requests.
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from trackerapi.delivery.sender import BatchResult, Rejection
from trackerapi.errors import (
    AuthenticationError,
    BackendRejected,
    BackendUnavailable,
    Exchange,
)
from trackerapi.outbox.records import CREATION_START

T = TypeVar("T")

MAX_LINES: Final = 1000
MAX_BYTES: Final = 1024 * 1024
PATIENCE_SECONDS: Final = 20.0
"""Maximum wait for an expected request, in seconds; long enough for a busy machine."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Failure of a request.

    Attributes:
        error: Exception that the call raises.
        is_processed: Whether the request takes effect: then only the answer is
            lost.
    """

    error: BaseException
    is_processed: bool = False


def unavailable(
    status: int | None = None,
    *,
    was_sent: bool = True,
    retry_after_seconds: float | None = None,
) -> Fault:
    """Return the fault of an unusable answer: a timeout, a 503, a proxy's page."""
    exchange = Exchange(
        method="POST",
        status=status,
        was_sent=was_sent,
        retry_after_seconds=retry_after_seconds,
    )
    return Fault(BackendUnavailable(f"no usable answer ({status})", exchange))


def lost_answer() -> Fault:
    """Return the fault of a lost answer: the request takes effect."""
    return Fault(unavailable().error, is_processed=True)


def rejected(status: int, *, has_problem: bool = True, kind: str = "") -> Fault:
    """Return the fault of a rejected request.

    Args:
        status: HTTP status of the answer.
        has_problem: Whether the answer contains problem details.
        kind: Type of the problem; `urn:test` if empty.
    """
    details = {**problem(status), **({"type": kind} if kind else {})}
    exchange = Exchange(
        method="POST",
        status=status,
        problem=details if has_problem else {},
    )
    return Fault(BackendRejected(f"{status}: a test asked for this", exchange))


def key_refused(
    status: int = 401, *, retry_after_seconds: float | None = None
) -> Fault:
    """Return the fault of a rejected API key."""
    exchange = Exchange(
        method="POST",
        status=status,
        problem=problem(status),
        retry_after_seconds=retry_after_seconds,
    )
    return Fault(AuthenticationError(f"{status}: the key is no good", exchange))


def problem(status: int, detail: str = "a test asked for this") -> dict[str, Any]:
    """Return problem details for a status."""
    return {"type": "urn:test", "title": "Test", "status": status, "detail": detail}


class MemoryBackend:
    """Backend in memory, safe to share between threads.

    Args:
        jobs: Ids of jobs that exist from the start.

    Attributes:
        jobs: Documents of the jobs, by provider job id.
        events: Stored lines by event id, in order of arrival.
        batches: Bodies of all batch requests, including failed ones.
        creations: Documents of all creation requests, including failed ones.
        identify_count: Number of requests for the owner of the key.
        reload_count: Number of calls of `reload_key()`.
        provider_id: Provider id that `identify()` returns.
        outage: Fault of every request; None for no fault.
        rejected_jobs: Faults of the creation of jobs, by provider job id.
        rejected_events: Problem details for rejected events, by event id.
        event_faults: Faults of batches that contain an event, by event id.
        max_lines: Maximum number of lines of a batch; above it, `too_large` is raised.
        max_bytes: Maximum size of a batch, in bytes; above it, `too_large` is raised.
        on_reload: Called by `reload_key()`.
        on_request: Called with the kind of a request before processing; may block.
        violations: Rules of the contract that requests broke, in order.
    """

    def __init__(self, *jobs: str) -> None:
        self.jobs: dict[str, Mapping[str, Any]] = {job: {} for job in jobs}
        self.events: dict[str, bytes] = {}
        self.batches: list[bytes] = []
        self.creations: list[Mapping[str, Any]] = []
        self.identify_count = self.reload_count = 0
        self.provider_id = 1
        self.outage: Fault | None = None
        self.rejected_jobs: dict[str, Fault] = {}
        self.rejected_events: dict[str, dict[str, Any]] = {}
        self.event_faults: dict[str, Fault] = {}
        self.max_lines, self.max_bytes = MAX_LINES, MAX_BYTES
        self.too_large = rejected(413)
        self.on_reload: Callable[[], object] = lambda: None
        self.on_request: Callable[[str], object] = lambda _: None
        self.violations: list[str] = []
        self._faults: dict[str, deque[Fault | None]] = {}
        self._changed = threading.Condition(threading.RLock())

    def fail_next(self, kind: str, *faults: Fault | None) -> None:
        """Set the faults of the next requests of a kind, one fault for each request.

        Args:
            kind: `send`, `create_job` or `identify`.
            *faults: Faults in order; None for a request without a fault.
        """
        self._faults.setdefault(kind, deque()).extend(faults)

    def forget_faults(self) -> None:
        """Remove all faults that `fail_next()` has set."""
        self._faults.clear()

    def recover(self) -> None:
        """End the outage and the faults of `fail_next()`, and restore the batch limits.

        `rejected_jobs`, `rejected_events` and `event_faults` stay.
        """
        self.forget_faults()
        self.outage = None
        self.max_lines, self.max_bytes = MAX_LINES, MAX_BYTES

    @property
    def line_counts(self) -> list[int]:
        """Number of lines of each batch request."""
        return [batch.count(b"\n") for batch in self.batches]

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait for a request that makes `holds()` true; fail after a timeout."""
        with self._changed:
            assert self._changed.wait_for(holds, PATIENCE_SECONDS), (
                f"no request met the condition within {PATIENCE_SECONDS:g} s"
            )

    def send(self, batch: bytes) -> BatchResult:
        """Store events; see `Sender`."""
        self.on_request("send")
        with self._changed:
            self.batches.append(batch)
            self._changed.notify_all()
            self._check_rules(batch)
            return self._answer("send", lambda: self._store(batch))

    def create_job(self, creation: Mapping[str, Any]) -> None:
        """Create a job; see `Sender`."""
        self.on_request("create_job")
        with self._changed:
            self.creations.append(creation)
            self._changed.notify_all()
            self._answer("create_job", lambda: self._create(creation))

    def identify(self) -> int:
        """Return the id of the key's provider; see `Sender`."""
        self.on_request("identify")
        with self._changed:
            self.identify_count += 1
            self._changed.notify_all()
            return self._answer("identify", lambda: self.provider_id)

    def list_key_ids(self) -> Iterable[str]:
        """Raise, as for a key without the scope `admin`; see `Sender`."""
        raise key_refused(403).error

    def reload_key(self) -> str | None:
        """Count and run a reload of the key; see `Sender`."""
        with self._changed:
            self.reload_count += 1
            self._changed.notify_all()
            self.on_reload()
        return None

    def _answer(self, kind: str, act: Callable[[], T]) -> T:
        waiting = self._faults.get(kind)
        fault = self.outage or (waiting.popleft() if waiting else None)
        if fault is None:
            return act()
        if fault.is_processed:
            act()
        raise fault.error

    def _check_rules(self, batch: bytes) -> None:
        lines = split(batch)
        broken = {
            "a batch is empty": not batch,
            "a line has no end": not batch.endswith(b"\n"),
            "a batch has too many lines": len(lines) > MAX_LINES,
            "a batch has too many bytes": len(batch) > MAX_BYTES,
            "a batch has a creation among its events": any(
                line.startswith(CREATION_START) for line in lines
            ),
        }
        self.violations += [rule for rule, is_broken in broken.items() if is_broken]

    def _create(self, creation: Mapping[str, Any]) -> None:
        job_id = creation["provider_job_id"]
        if job_id in self.rejected_jobs:
            raise self.rejected_jobs[job_id].error
        self.jobs.setdefault(job_id, creation)

    def _store(self, batch: bytes) -> BatchResult:
        lines = split(batch)
        if len(lines) > self.max_lines or len(batch) > self.max_bytes:
            raise self.too_large.error
        read = [_read(line) for line in lines]
        for members in read:
            if members.get("event_id") in self.event_faults:
                raise self.event_faults[members["event_id"]].error
        accepted, duplicates, rejections = 0, 0, []
        for index, (line, members) in enumerate(zip(lines, read, strict=True)):
            refusal = self._refusal(members)
            if not line.strip():
                continue  # The backend ignores blank lines.
            if refusal is not None:
                event_id = members.get("event_id")
                rejections.append(
                    Rejection(
                        index=index,
                        problem=refusal,
                        event_id=event_id if isinstance(event_id, str) else None,
                    )
                )
            elif self._is_new(members["event_id"], line):
                accepted += 1
            else:
                duplicates += 1
        return BatchResult(
            accepted=accepted, duplicates=duplicates, rejections=tuple(rejections)
        )

    def _is_new(self, event_id: str, line: bytes) -> bool:
        known = self.events.setdefault(event_id, line)
        if known is not line and known != line:
            self.violations.append("an event was sent again with other content")
        return known is line

    def _refusal(self, members: Mapping[str, Any]) -> dict[str, Any] | None:
        event_id = members.get("event_id")
        if not isinstance(event_id, str):
            return problem(422, "no event")
        if event_id in self.rejected_events:
            return self.rejected_events[event_id]
        if members.get("provider_job_id") not in self.jobs:
            return problem(404, "unknown job")
        return None


def split(batch: bytes) -> list[bytes]:
    """Return the lines of a body, split at newlines as the backend does."""
    return [line + b"\n" for line in batch.split(b"\n")[:-1]]


def _read(line: bytes) -> dict[str, Any]:
    try:
        members = json.loads(line)
    except ValueError:
        return {}
    return members if isinstance(members, dict) else {}
