"""State machine: any order of reports, faults, kills and claims loses no event.

Files, locks and delivery passes are real; the backend is in memory. Each "process" is
one `ReportingProcess`, and the machine runs its delivery.
"""

import json
import logging
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support.disk_view import DiskView, is_line_start, view_of, whole_lines
from tests.support.lines import creation_line, event_line
from tests.support.memory_backend import (
    Fault,
    MemoryBackend,
    key_refused,
    lost_answer,
    problem,
    rejected,
    unavailable,
)
from tests.support.no_locks import forbid_locks
from tests.support.reporting_process import PLENTY, ReportingProcess
from tests.support.small_disk import SmallDisk
from trackerapi.errors import BackendError
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.thinning import thin_out

KNOWN, CREATED, DONE, REFUSED, LATE = "known", "created", "done", "refused", "late"
JOBS: Final = (KNOWN, CREATED, DONE, REFUSED, LATE)
"""Jobs of the events.

The backend has `KNOWN`, has not yet received the creation of `CREATED`, has lost
`DONE`, and rejects `REFUSED`. `LATE` is created without a record of the outbox.
"""

KINDS: Final = ("start", "step", "complete", "info", "info", "heartbeat", "progress")
DROPPABLE: Final = {"info", "heartbeat", "progress"}
MAX_PROCESSES: Final = 3

FAULTS: Final[dict[str, Fault | None]] = {
    "none": None,
    "no answer": unavailable(),
    "answer lost": lost_answer(),
    "503": unavailable(503),
    "key refused": key_refused(),
}
TOO_LARGE: Final = {"413": rejected(413), "HTML 413": Fault(unavailable(413).error)}
REQUESTS: Final = ("send", "create_job", "identify")

GARBAGE: Final = (
    b"",
    b"\0" * 160,
    b"garbage",
    b'{"position": 17, "delivered": 3}',
    b'{"position": 1e999, "delivered": 0}',
    b'{"position": 10000000, "delivered": 0}',
)
TORN: Final = b'{"keep":"00000000-0000-0000-0000-0000000'


@dataclass(frozen=True, slots=True)
class Promise:
    """Event whose `append()` has returned.

    Attributes:
        owner: Index of the process that recorded the event, from 0.
        number: Number of the event among those of all processes, from 0.
    """

    line: bytes
    job: str
    kind: str
    owner: int
    number: int


class OutboxMachine(RuleBasedStateMachine):
    """Processes that report into one folder, are killed, and deliver for each other.

    Attributes:
        promises: Events that must not be lost, by id.
        unsure: Ids of events that may be lost: a crash has cut them off the disk, or
            the full outbox has dropped them. They may have arrived.
        processes: Processes that have not ended.
    """

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.folder = Path(self.home.name) / "outbox"
        self.patch = pytest.MonkeyPatch()
        self.disk = SmallDisk(self.patch, self.folder)
        self.backend = MemoryBackend(KNOWN)
        self.backend.rejected_jobs[REFUSED] = rejected(422)
        self.promises: dict[str, Promise] = {}
        self.unsure: set[str] = set()
        self.refused: set[str] = set()
        self.processes: list[ReportingProcess] = []
        self.all_processes: list[ReportingProcess] = []
        self.old_acks: dict[str, list[bytes]] = {}
        self.numbers = count()
        self.is_sound = True

    # Actions of a script.

    @initialize()
    def begin(self) -> None:
        """Start with one process."""
        self._start(PLENTY)

    @precondition(lambda self: len(self.processes) < MAX_PROCESSES)
    @rule(limit_bytes=st.sampled_from([PLENTY, 8 * 400, 8 * 1000]))
    def start(self, limit_bytes: int) -> None:
        """Start another process; a small limit makes its files small, too."""
        self._start(limit_bytes)

    @rule(
        which=st.integers(0, MAX_PROCESSES - 1),
        job=st.sampled_from(JOBS),
        kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=6),
        is_refused=st.sampled_from([False, False, False, False, True]),
    )
    def report(self, which: int, job: str, kinds: list[str], is_refused: bool) -> None:
        """Record events; with `is_refused` the backend will reject them."""
        process = self._process(which)
        for kind in kinds:
            self._record(process, job, kind, is_refused=is_refused)

    @rule(
        which=st.integers(0, MAX_PROCESSES - 1),
        job=st.sampled_from(JOBS),
        kind=st.sampled_from(KINDS),
    )
    def report_and_deliver(self, which: int, job: str, kind: str) -> None:
        """Record an event and run a delivery pass without faults."""
        process = self._process(which)
        self._record(process, job, kind)
        process.run_pass()

    @rule(which=st.integers(0, MAX_PROCESSES - 1), room_bytes=st.integers(0, 150))
    def report_on_a_full_disk(self, which: int, room_bytes: int) -> None:
        """Record an event of which the disk has room for `room_bytes` bytes."""
        process = self._process(which)
        self.disk.room_bytes = room_bytes
        self._record(process, KNOWN, "step")
        self.disk.room_bytes = None
        process.outbox._next_disk_attempt = 0.0  # The retry is due.

    @rule(which=st.integers(0, MAX_PROCESSES - 1))
    def thin(self, which: int) -> None:
        """Thin the outbox of a process if the outbox exceeds its limit."""
        process = self._process(which)
        thin_out(process.outbox, process.counters, process.problems)

    @rule(which=st.integers(0, MAX_PROCESSES - 1))
    def end_current_file(self, which: int) -> None:
        """End the current file: the next record begins another file."""
        process = self._process(which)
        process.outbox.end_current_file()

    @rule(which=st.integers(0, MAX_PROCESSES - 1))
    def leave(self, which: int) -> None:
        """Close a process as a normal exit does."""
        process = self._process(which)
        process.close()
        self._end(process)

    # Actions of the delivery, with faults of its requests.

    @rule(
        which=st.integers(0, MAX_PROCESSES - 1),
        faults=st.lists(
            st.tuples(st.sampled_from(REQUESTS), st.sampled_from(sorted(FAULTS))),
            max_size=3,
        ),
        passes=st.integers(1, 3),
    )
    def deliver(self, which: int, faults: list[tuple[str, str]], passes: int) -> None:
        """Run delivery passes with faults for their requests."""
        process = self._process(which)
        for kind, name in faults:
            self.backend.fail_next(kind, FAULTS[name])
        for _ in range(passes):
            with suppress(BackendError):
                process.run_pass()
        self.backend.forget_faults()

    @rule(which=st.integers(0, MAX_PROCESSES - 1))
    def deliver_without_locks(self, which: int) -> None:
        """Claim files of living processes too, as file systems without locks allow."""
        process = self._process(which)
        with pytest.MonkeyPatch.context() as patch:
            forbid_locks(patch)
            process.passes.search_again()
            process.passes.claim_leftovers()
        process.passes.deliver_batches()

    @rule(which=st.integers(0, MAX_PROCESSES - 1))
    def claim_leftovers(self, which: int) -> None:
        """Search for leftover files, and claim them without a delivery."""
        process = self._process(which)
        process.passes.search_again()
        process.passes.claim_leftovers()

    # Actions of the backend.

    @rule(max_lines=st.sampled_from([1, 2, 3, 1000]), is_html=st.booleans())
    def limit_batches(self, max_lines: int, is_html: bool) -> None:
        """Limit the number of lines that the backend accepts in a batch."""
        self.backend.max_lines = max_lines
        self.backend.too_large = TOO_LARGE["HTML 413" if is_html else "413"]

    @rule()
    def create_the_late_job(self) -> None:
        """Create the job `LATE` in the backend."""
        self.backend.jobs[LATE] = {}

    @rule(job=st.sampled_from([CREATED, DONE, LATE]))
    def forget(self, job: str) -> None:
        """Delete a job from the backend, as the restore of an old backup does."""
        self.backend.jobs.pop(job, None)

    # Ends of processes.

    @rule(
        which=st.integers(0, MAX_PROCESSES - 1),
        cut=st.none() | st.integers(0, 1200),
        ack=st.sampled_from(
            ["as it is", "missing", "old", "misaligned", *range(len(GARBAGE))]
        ),
        is_held_torn=st.booleans(),
        residue=st.integers(0, 80),
    )
    def crash(
        self,
        which: int,
        cut: int | None,
        ack: str | int,
        is_held_torn: bool,
        residue: int,
    ) -> None:
        """Kill a process, and damage its files as a crash may do.

        Args:
            which: Number of the process, modulo the number of processes.
            cut: Number of bytes cut off the last file; None for no cut.
            ack: State of the `.ack` files, or index of their content in `GARBAGE`.
            is_held_torn: Whether the journals end in half a line.
            residue: Bytes of a record whose call had not returned.
        """
        process = self._process(which)
        own = [file.path for file in process.outbox.files]
        paths = [file.path for file in process.files()]
        self._drop_promises(process.outbox.backlog)
        process.kill()
        self._end(process)
        # A crash cannot remove lines that another process has already read.
        read = {file.path for other in self.processes for file in other.files()}
        if own and own[-1].exists() and own[-1] not in read:
            self._cut_file(own[-1], cut, residue)
        for path in paths:
            if path.exists():
                self._damage_positions(path, ack, is_held_torn=is_held_torn)

    @invariant()
    def nothing_is_lost_doubled_or_out_of_order(self) -> None:
        """Assert that disk and backend together have each promised event, in order."""
        if not self.is_sound:
            return
        self.is_sound = False
        self._note_acks()
        view = view_of(self.folder) if self.folder.exists() else DiskView()
        self._assert_nothing_is_lost(view)
        self._assert_nothing_is_doubled()
        self._assert_order()
        self._assert_positions()
        self.is_sound = True

    def teardown(self) -> None:
        """End all faults, deliver by a new process, and assert that events arrived."""
        try:
            if self.is_sound:
                self._deliver_all()
        finally:
            for process in self.processes:
                process.kill()
            self.patch.undo()
            self.home.cleanup()

    def _end(self, process: ReportingProcess) -> None:
        """Remove a process from `processes`; start a new one if none is left."""
        self.processes.remove(process)
        if not self.processes:
            self._start(PLENTY)

    def _start(self, limit_bytes: int) -> None:
        process = ReportingProcess(self.folder, self.backend, limit_bytes=limit_bytes)
        self.processes.append(process)
        self.all_processes.append(process)

    def _process(self, which: int) -> ReportingProcess:
        return self.processes[which % len(self.processes)]

    def _record(
        self,
        process: ReportingProcess,
        job: str,
        kind: str,
        *,
        is_refused: bool = False,
    ) -> None:
        owner = self.all_processes.index(process)
        if job not in (KNOWN, LATE) and not any(
            promise.owner == owner and promise.job == job
            for promise in self.promises.values()
        ):
            state = "done" if job == DONE else "waiting"
            process.append(creation_line(job, state))
        line = event_line(kind, job=job, tag="copy" if kind == "progress" else None)
        event_id = json.loads(line)["event_id"]
        if is_refused:
            self.refused.add(event_id)
            self.backend.rejected_events[event_id] = problem(422)
        dropped = process.counters.dropped.copy()
        process.append(line)
        promise = Promise(line, job, kind, owner, next(self.numbers))
        self.promises[event_id] = promise
        if process.counters.dropped != dropped:  # Not stored: the outbox is full.
            del self.promises[event_id]
            self.unsure.add(event_id)

    def _drop_promises(self, lines: Any) -> None:
        """Move events that a crash has lost from `promises` to `unsure`."""
        for line in lines:
            event_id = json.loads(line).get("event_id")
            if self.promises.pop(event_id, None):
                self.unsure.add(event_id)

    def _cut_file(self, path: Path, cut: int | None, residue: int) -> None:
        content = path.read_bytes()
        if cut:
            kept = content[: max(len(content) - cut, 0)]
            lost = whole_lines(content)[len(whole_lines(kept)) :]
            self._drop_promises(lost)
            content = kept
        if content.endswith(b"\n"):
            content += event_line("step", job=KNOWN)[:residue]
        path.write_bytes(content)

    def _damage_positions(
        self, path: Path, ack: str | int, *, is_held_torn: bool
    ) -> None:
        ack_path, held_path = path.with_suffix(".ack"), path.with_suffix(".held")
        if ack == "missing":
            ack_path.unlink(missing_ok=True)
        elif ack == "old" and self.old_acks.get(path.name):
            ack_path.write_bytes(self.old_acks[path.name][0])
        elif ack == "misaligned":
            # This position is inside the last record.
            position = path.read_bytes().rfind(b"\n") - 5
            misaligned = {"position": position, "delivered": 0}
            ack_path.write_text(json.dumps(misaligned))
        elif isinstance(ack, int):
            ack_path.write_bytes(GARBAGE[ack])
        if is_held_torn:
            with held_path.open("ab") as file:
                file.write(TORN)

    def _note_acks(self) -> None:
        for path in self.folder.glob("*.ack"):
            acks = self.old_acks.setdefault(path.with_suffix(".outbox").name, [])
            content = path.read_bytes()
            if content not in acks and content not in GARBAGE:
                acks.append(content)

    def _assert_nothing_is_lost(self, view: DiskView) -> None:
        in_memory = [line for one in self.processes for line in one.outbox.backlog]
        there = {
            *self.backend.events.values(),
            *view.waiting,
            *view.deferred,
            *view.held,
            *in_memory,
        }
        missing = [one for one in self.promises.values() if one.line not in there]
        dropped: dict[str, int] = {}
        for process in self.all_processes:
            for reason, number in process.counters.dropped.items():
                dropped[reason] = dropped.get(reason, 0) + number
        assert set(dropped) <= {"outbox full"}, dropped
        assert len(missing) <= dropped.get("outbox full", 0), missing
        assert {one.kind for one in missing} <= DROPPABLE, missing

    def _assert_nothing_is_doubled(self) -> None:
        assert self.backend.violations == []
        recorded = {*self.promises, *self.unsure}
        assert set(self.backend.events) <= recorded
        for event_id, line in self.backend.events.items():
            assert event_id in self.unsure or self.promises[event_id].line == line
        assert not self.refused & set(self.backend.events)

    def _assert_order(self) -> None:
        last: dict[tuple[int, str], int] = {}
        for event_id in self.backend.events:
            promise = self.promises.get(event_id)
            if promise is not None:
                stream = promise.owner, promise.job
                assert promise.number > last.get(stream, -1), promise
                last[stream] = promise.number

    def _assert_positions(self) -> None:
        for process in self.processes:
            for file in process.files():
                if not file.path.exists():  # Another process archived it.
                    continue
                content = file.path.read_bytes()
                assert is_line_start(content, file.position)
                assert file.position <= file.end <= len(content)

    def _deliver_all(self) -> None:
        self.backend.recover()
        self.backend.jobs[LATE] = {}
        for process in self.processes:
            self._drop_promises(process.outbox.backlog)
            process.kill()
        self.processes = []
        self._start(PLENTY)
        last = self.processes[0]
        last.deliver()
        view = view_of(self.folder) if self.folder.exists() else DiskView()
        assert view.waiting == []
        # A cut may have removed the header of a file, too. No process claims this file,
        # so the deferred records of its journal stay there.
        assert {json.loads(line)["event_id"] for line in view.deferred} <= self.unsure
        self._assert_nothing_is_lost(view)
        self._assert_nothing_is_doubled()
        self._assert_order()
        held = set(view.held)
        for event_id, promise in self.promises.items():
            if event_id in self.refused or promise.job == REFUSED:
                assert event_id not in self.backend.events
            else:
                assert promise.line not in held, promise
        last.close()
        self.processes = []
        # Delivered files are archived, so a file that is left has held records or
        # cannot be claimed.
        for path in self.folder.glob("*.outbox"):
            assert path.with_suffix(".held").exists() or OutboxFile.claim(path) is None


def test_nothing_is_lost_doubled_or_out_of_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After any actions, each event is delivered once, on disk, or counted as lost."""
    caplog.set_level(logging.CRITICAL, logger="trackerapi")
    run_state_machine_as_test(
        OutboxMachine,
        settings=settings(
            max_examples=400,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
