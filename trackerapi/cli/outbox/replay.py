"""Sending again what was delivered, to a backend that has lost it.

Harmless where nothing is lost: the backend applies each event once, by its id. Reads
the files of running processes too, and changes none.
"""

import argparse
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from trackerapi.cli.exit_statuses import FINE, HELD, UNAVAILABLE
from trackerapi.cli.options import (
    add_command,
    add_delivery,
    folder_of,
    moment,
    settings_of,
)
from trackerapi.cli.outbox.dispatch import Dispatch, Persistence, Unheard
from trackerapi.cli.printing import (
    Progress,
    counted,
    print_json,
    print_line,
    print_message,
    progress_of,
)
from trackerapi.errors import AuthenticationError, BackendError
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.folder import OutboxFolder
from trackerapi.outbox.records import (
    MAX_BATCH_BYTES,
    MAX_BATCH_LINES,
    Creation,
    is_creation,
    job_of,
    parse_creation,
    record_id,
)
from trackerapi.outbox.survey import views
from trackerapi.problems import key_refused, unreachable

_MOST_REASONS: Final = 5

_HELP: Final = """\
Send again what was delivered, after the backend was restored from a backup.

Delivered records are kept for 24 h, and those of a running process for its life. The
backend takes each event once, so that this never does harm. Creations of jobs go
first. What is held or was dropped is not sent.

exit status:
  0  the backend has all of it
  1  the backend was not reached, or refused the key
  2  wrong usage or settings
  3  the backend refused something

examples:
  trackerapi outbox replay
  trackerapi outbox replay --since 2026-11-24T01:00:00Z
"""


def add_commands(commands: Any) -> None:
    """Add `outbox replay`."""
    parser = add_command(commands, "replay", _replay, _HELP)
    parser.add_argument(
        "--since",
        type=moment,
        metavar="TIME",
        help="leave out files of which all was delivered before",
    )
    parser.add_argument("--job", metavar="ID", help="only records of this job")
    add_delivery(parser)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """What the backend said to what it was sent again.

    Attributes:
        jobs: Jobs that it has, or has created again.
        accepted: Events that it had lost.
        duplicates: Events that it had.
        refused: Records that it refused.
        last_error: Why it could not be asked; None if it could.
        reasons: By job, why the first of its records was refused.
    """

    jobs: int
    accepted: int
    duplicates: int
    refused: int
    last_error: str | None
    reasons: dict[str, str]

    @property
    def exit_status(self) -> int:
        """The exit status that says it."""
        if self.last_error is not None:
            return UNAVAILABLE
        return HELD if self.refused else FINE

    def as_text(self) -> str:
        """Return it as one line."""
        text = (
            f"{counted(self.jobs, 'job')}: {counted(self.accepted, 'event')} accepted, "
            f"{counted(self.duplicates, 'duplicate')}"
        )
        return f"{text}, {self.refused:,} refused" if self.refused else text


def _replay(options: argparse.Namespace) -> int:
    folder = folder_of(options)
    with Dispatch(settings_of(options), folder, Unheard()) as dispatch:
        persistence = Persistence(total_seconds=options.timeout)
        replay = Replay(dispatch, folder, options.job, options.since)
        report = replay.run(persistence)
    if options.json:
        print_json(dataclasses.asdict(report))
    else:
        print_line(report.as_text())
        for job_id, reason in list(report.reasons.items())[:_MOST_REASONS]:
            print_message(f"job {job_id!r} was refused: {reason}")
    return report.exit_status


class Replay:
    """Sends settled records of one folder again; for one thread.

    Args:
        dispatch: The way to the backend.
        folder: Where they are kept.
        provider_job_id: Only records of this job; None for all.
        since: Leave out files that were settled before; None for none.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        folder: OutboxFolder,
        provider_job_id: str | None,
        since: datetime | None,
    ) -> None:
        self._dispatch, self._folder = dispatch, folder
        self._job_id, self._since = provider_job_id, since
        self._persistence = Persistence()
        self._job_count = self._refused = 0
        self._reasons: dict[str, str] = {}
        self._refused_jobs: set[str] = set()

    def run(self, persistence: Persistence) -> ReplayReport:
        """Send all of them once; a fault of the network is told on stderr."""
        self._persistence = persistence
        last_error = None
        try:
            if next(self._files(), None) is not None:
                self._persistence.run(self._dispatch.introduce)
                self._run()
        except BackendError as error:
            is_refused = isinstance(error, AuthenticationError)
            print_message(
                key_refused(error, self._folder.path)
                if is_refused
                else unreachable(error)
            )
            last_error = str(error)
        return ReplayReport(
            jobs=self._job_count,
            accepted=self._dispatch.accepted,
            duplicates=self._dispatch.duplicates,
            refused=self._refused,
            last_error=last_error,
            reasons=self._reasons,
        )

    def _run(self) -> None:
        creations, line_counts = self._scan()
        with progress_of("sent", sum(line_counts.values()), "record") as progress:
            for job_id in line_counts:
                if job_id in creations:
                    self._create(job_id, creations[job_id])
            for file in self._files():
                if self._is_wanted(file):
                    for batch in self._batches(file, progress):
                        self._send(batch)
        self._job_count = len(line_counts.keys() - self._refused_jobs)

    def _files(self) -> Iterator[OutboxFile]:
        """Iterate over the files that go this way, oldest first."""
        mine = self._dispatch.binding
        for file in views(self._folder.all_paths()):
            other = file.header.binding
            is_introduced = mine.provider_id is not None
            if self._dispatch.admits(other) or (
                not is_introduced and mine.base_url == other.base_url
            ):
                yield file

    def _is_wanted(self, file: OutboxFile) -> bool:
        if self._since is None:
            return True
        return file.settled_at is not None and file.settled_at >= self._since

    def _scan(self) -> tuple[dict[str, Creation], dict[str, int]]:
        """Return the newest creation of each job, and the records to send by job."""
        creations: dict[str, Creation] = {}
        line_counts: dict[str, int] = {}
        for file in self._files():
            left_out, is_wanted = _left_out(file), self._is_wanted(file)
            for line in file.settled_lines():
                job_id = job_of(line)
                if not job_id or (left_out and record_id(line) in left_out):
                    continue  # damaged, or not delivered
                creation = parse_creation(line)
                if creation is not None:
                    creations[job_id] = creation
                if is_wanted and self._job_id in {None, job_id}:
                    line_counts[job_id] = line_counts.get(job_id, 0) + 1
        return creations, line_counts

    def _create(self, job_id: str, creation: Creation) -> None:
        line = Creation(document=creation.document).as_line()
        if not self._send([line]):
            self._refused_jobs.add(job_id)

    def _batches(self, file: OutboxFile, progress: Progress) -> Iterator[list[bytes]]:
        """Divide the events of a file into batches that the backend takes."""
        left_out = _left_out(file)
        batch: list[bytes] = []
        size = 0
        for line in file.settled_lines():
            if not self._is_sent(line, left_out):
                continue
            if len(batch) == MAX_BATCH_LINES or size + len(line) > MAX_BATCH_BYTES:
                yield batch
                progress.add(len(batch))
                batch, size = [], 0
            batch.append(line)
            size += len(line)
        if batch:
            yield batch
            progress.add(len(batch))

    def _is_sent(self, line: bytes, left_out: set[str]) -> bool:
        if is_creation(line) or (left_out and record_id(line) in left_out):
            return False
        job_id = job_of(line)  # none if it is damaged
        is_wanted = self._job_id in {None, job_id}
        return bool(job_id) and is_wanted and job_id not in self._refused_jobs

    def _send(self, lines: list[bytes]) -> bool:
        """Send records; return whether all were taken."""
        carry = partial(self._dispatch.batch_delivery.deliver_lines, lines)
        refused = self._persistence.run(carry)
        self._refused += len(refused)
        for kept in refused:
            self._reasons.setdefault(kept.provider_job_id, kept.reason)
        return not refused


def _left_out(file: OutboxFile) -> set[str]:
    """Return the ids of records that are settled, but not delivered."""
    return {kept.record_id for kept in file.held.entries()} | file.held.dropped_ids()
