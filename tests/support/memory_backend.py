"""A backend in memory: a plain second implementation of `Sender`.

It knows jobs, stores each event once by its id in the order of arrival, and fails in
every way that it is told to.
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

MOST_LINES: Final = 1000
MOST_BYTES: Final = 1024 * 1024
PATIENCE_SECONDS: Final = 20.0
"""How long a test waits for what has to come; a busy machine proves nothing."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What a request runs into.

    Attributes:
        error: What is raised.
        is_processed: Whether the request takes effect all the same, and only its
            answer is lost.
    """

    error: BaseException
    is_processed: bool = False


def unavailable(
    status: int | None = None,
    *,
    was_sent: bool = True,
    retry_after_seconds: float | None = None,
) -> Fault:
    """Return no usable answer: none in time, a 503, the page of a proxy."""
    exchange = Exchange(
        method="POST",
        status=status,
        was_sent=was_sent,
        retry_after_seconds=retry_after_seconds,
    )
    return Fault(BackendUnavailable(f"no usable answer ({status})", exchange))


def lost_answer() -> Fault:
    """Return an answer that is lost after the request has taken effect."""
    return Fault(unavailable().error, is_processed=True)


def rejected(status: int, *, has_problem: bool = True, kind: str = "") -> Fault:
    """Return the backend's refusal of a whole request.

    Args:
        status: Of the answer.
        has_problem: Whether the answer holds problem details.
        kind: Type of the problem; that of a test by default.
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
    """Return the refusal of the key."""
    exchange = Exchange(
        method="POST",
        status=status,
        problem=problem(status),
        retry_after_seconds=retry_after_seconds,
    )
    return Fault(AuthenticationError(f"{status}: the key is no good", exchange))


def problem(status: int, detail: str = "a test asked for this") -> dict[str, Any]:
    """Return problem details."""
    return {"type": "urn:test", "title": "Test", "status": status, "detail": detail}


class MemoryBackend:
    """Takes what a real backend takes; safe to share between threads.

    Args:
        jobs: Ids of jobs that it knows from the start.

    Attributes:
        jobs: Documents of the jobs it knows, by the provider's id.
        events: Lines stored, by event id, in the order of arrival.
        batches: Bodies of all requests with events, also of those that failed.
        creations: Documents of all requests for a job, also of those that failed.
        identify_count: Requests for the owner of the key.
        renew_count: How often the key was read anew.
        provider_id: Whose key it is.
        is_down: Every request meets this fault; None for none.
        refused_jobs: Faults that the creation of a job meets, by its id.
        refused_lines: Problem details by which single events are refused, by event id.
        poison: Faults for a whole batch that holds an event, by event id.
        most_lines: Batches of more lines meet `too_large`.
        most_bytes: Batches of more bytes meet `too_large`.
        on_renew: Called when the key is read anew.
        on_request: Called with the kind of request before it is looked at; may block.
        violations: How the promises to a `Sender` were broken.
    """

    def __init__(self, *jobs: str) -> None:
        self.jobs: dict[str, Mapping[str, Any]] = {job: {} for job in jobs}
        self.events: dict[str, bytes] = {}
        self.batches: list[bytes] = []
        self.creations: list[Mapping[str, Any]] = []
        self.identify_count = self.renew_count = 0
        self.provider_id = 1
        self.is_down: Fault | None = None
        self.refused_jobs: dict[str, Fault] = {}
        self.refused_lines: dict[str, dict[str, Any]] = {}
        self.poison: dict[str, Fault] = {}
        self.most_lines, self.most_bytes = MOST_LINES, MOST_BYTES
        self.too_large = rejected(413)
        self.on_renew: Callable[[], object] = lambda: None
        self.on_request: Callable[[str], object] = lambda _: None
        self.violations: list[str] = []
        self._faults: dict[str, deque[Fault | None]] = {}
        self._changed = threading.Condition(threading.RLock())

    def fail_next(self, kind: str, *faults: Fault | None) -> None:
        """Let the next requests of a kind meet these faults, one each.

        Args:
            kind: send, create_job or identify.
            faults: None for a request that fares well.
        """
        self._faults.setdefault(kind, deque()).extend(faults)

    def forget_faults(self) -> None:
        """Let no further request meet what `fail_next()` has announced."""
        self._faults.clear()

    def heal(self) -> None:
        """Answer well from now on, but for what is refused for its content."""
        self.forget_faults()
        self.is_down = None
        self.most_lines, self.most_bytes = MOST_LINES, MOST_BYTES

    @property
    def line_counts(self) -> list[int]:
        """How many lines each request with events had."""
        return [batch.count(b"\n") for batch in self.batches]

    def wait_until(self, holds: Callable[[], bool]) -> None:
        """Wait for a request after which something holds; fail if none comes."""
        with self._changed:
            assert self._changed.wait_for(holds, PATIENCE_SECONDS), "it never came"

    def send(self, batch: bytes) -> BatchResult:
        """Store events; see `Sender`."""
        self.on_request("send")
        with self._changed:
            self.batches.append(batch)
            self._changed.notify_all()
            self._hold_to_the_rules(batch)
            return self._answer("send", lambda: self._store(batch))

    def create_job(self, creation: Mapping[str, Any]) -> None:
        """Create a job; see `Sender`."""
        self.on_request("create_job")
        with self._changed:
            self.creations.append(creation)
            self._changed.notify_all()
            self._answer("create_job", lambda: self._create(creation))

    def identify(self) -> int:
        """Tell whose key it is; see `Sender`."""
        self.on_request("identify")
        with self._changed:
            self.identify_count += 1
            self._changed.notify_all()
            return self._answer("identify", lambda: self.provider_id)

    def list_key_ids(self) -> Iterable[str]:
        """List no key, as for a key without `admin`; see `Sender`."""
        raise key_refused(403).error

    def reload_key(self) -> str | None:
        """Read the key anew; see `Sender`."""
        with self._changed:
            self.renew_count += 1
            self._changed.notify_all()
            self.on_renew()
        return None

    def _answer(self, kind: str, act: Callable[[], T]) -> T:
        waiting = self._faults.get(kind)
        fault = self.is_down or (waiting.popleft() if waiting else None)
        if fault is None:
            return act()
        if fault.is_processed:
            act()
        raise fault.error

    def _hold_to_the_rules(self, batch: bytes) -> None:
        lines = split(batch)
        broken = {
            "a batch is empty": not batch,
            "a line has no end": not batch.endswith(b"\n"),
            "a batch has too many lines": len(lines) > MOST_LINES,
            "a batch has too many bytes": len(batch) > MOST_BYTES,
            "a creation stands among events": any(
                line.startswith(CREATION_START) for line in lines
            ),
        }
        self.violations += [rule for rule, is_broken in broken.items() if is_broken]

    def _create(self, creation: Mapping[str, Any]) -> None:
        job_id = creation["provider_job_id"]
        if job_id in self.refused_jobs:
            raise self.refused_jobs[job_id].error
        self.jobs.setdefault(job_id, creation)

    def _store(self, batch: bytes) -> BatchResult:
        lines = split(batch)
        if len(lines) > self.most_lines or len(batch) > self.most_bytes:
            raise self.too_large.error
        read = [_read(line) for line in lines]
        for members in read:
            if members.get("event_id") in self.poison:
                raise self.poison[members["event_id"]].error
        accepted, duplicates, rejections = 0, 0, []
        for index, (line, members) in enumerate(zip(lines, read, strict=True)):
            refusal = self._refusal(members)
            if not line.strip():
                continue  # a backend passes over what is blank
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
            self.violations.append("an event came again with other content")
        return known is line

    def _refusal(self, members: Mapping[str, Any]) -> dict[str, Any] | None:
        event_id = members.get("event_id")
        if not isinstance(event_id, str):
            return problem(422, "no event")
        if event_id in self.refused_lines:
            return self.refused_lines[event_id]
        if members.get("provider_job_id") not in self.jobs:
            return problem(404, "unknown job")
        return None


def split(batch: bytes) -> list[bytes]:
    """Return the lines of a body, parted as a backend parts them."""
    return [line + b"\n" for line in batch.split(b"\n")[:-1]]


def _read(line: bytes) -> dict[str, Any]:
    try:
        members = json.loads(line)
    except ValueError:
        return {}
    return members if isinstance(members, dict) else {}
