"""Record of a job: one line for each call of `send_event()` that returned.

Each line is written by one append. After a kill, the record therefore lacks at most one
stored event of each process.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.proving.plan import CONFLATED


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One call that returned.

    Attributes:
        process_id: Id of the process that made the call.
        provider_job_id: Job the event is about.
        number: The event's metadata `Number`; unique in its run and process.
        event_id: Return value of the call.
    """

    process_id: int
    provider_job_id: str
    number: int
    kind: str
    event_id: str

    @property
    def must_arrive(self) -> bool:
        """Whether this single event has to reach the backend."""
        return self.kind not in CONFLATED


class Recorder:
    """Appends entries to a file; processes may share it."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._file = os.open(path, flags, 0o600)

    def add(self, entry: Entry) -> None:
        """Append one entry by a single write."""
        os.write(self._file, json.dumps(asdict(entry)).encode() + b"\n")


def read_record(path: Path) -> list[Entry]:
    """Return the entries in the order of their calls; empty without a file."""
    if not path.exists():
        return []
    return [Entry(**json.loads(line)) for line in path.read_bytes().splitlines()]


def jobs_in(entries: Iterable[Entry]) -> list[str]:
    """Return the ids of the jobs that the entries are about."""
    return list(dict.fromkeys(entry.provider_job_id for entry in entries))
