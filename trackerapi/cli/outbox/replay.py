"""Command `outbox replay`: sends delivered records again, if the backend lost them.

A second delivery is harmless: the backend applies each event once, by its event id. The
command also reads the files of running processes. It changes no file.
"""

import argparse
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from trackerapi.cli.argument_types import moment
from trackerapi.cli.exit_statuses import FINE, HELD, UNAVAILABLE
from trackerapi.cli.options import (
    add_command,
    add_delivery,
    add_job_filter,
)
from trackerapi.cli.outbox.dispatch import (
    Dispatch,
    SilentProblems,
    print_reasons,
)
from trackerapi.cli.outbox.retry_loop import RetryLoop
from trackerapi.cli.printing import (
    Progress,
    count_text,
    print_json,
    print_line,
    print_message,
    progress_of,
)
from trackerapi.errors import BackendError
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.records import (
    Creation,
    batches,
    identity,
    is_creation,
    parse_creation,
)
from trackerapi.outbox.survey import views

_HELP: Final = """\
Send delivered records again, after the backend was restored from a backup.

Delivered records are kept for 24 h, and delivered records of a running process until
the process ends. The backend applies each event only once: the command is safe at any
time. Jobs are created first, then events are sent. Held and dropped records are not
sent.

exit status:
  0  the backend has all records
  1  the backend was not reached, or refused the key
  2  wrong usage or settings
  3  the backend refused a record

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
        help="leave out files with no record delivered since this time",
    )
    add_job_filter(parser)
    add_delivery(parser)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """Answers of the backend to the records that were sent again.

    Attributes:
        jobs: Number of jobs that the backend has, or has created again.
        accepted: Number of events that the backend had lost.
        duplicates: Number of events that the backend still had.
        refused: Number of records that the backend rejected.
        last_error: Error text if the backend was not reached or refused the key; else
            None.
        reasons: Reason of the first rejected record, by job id.
    """

    jobs: int
    accepted: int
    duplicates: int
    refused: int
    last_error: str | None
    reasons: dict[str, str]

    @property
    def exit_status(self) -> int:
        """Exit status of the command."""
        if self.last_error is not None:
            return UNAVAILABLE
        return HELD if self.refused else FINE

    def as_text(self) -> str:
        """Return the report as one line."""
        jobs, accepted = (
            count_text(self.jobs, "job"),
            count_text(self.accepted, "event"),
        )
        duplicates = count_text(self.duplicates, "duplicate")
        text = f"{jobs}: {accepted} accepted, {duplicates}"
        return f"{text}, {self.refused:,} refused" if self.refused else text


def _replay(options: argparse.Namespace) -> int:
    with Dispatch.of(options, SilentProblems()) as dispatch:
        retry_loop = RetryLoop(total_seconds=options.timeout)
        report = Replay(dispatch, retry_loop, options.job, options.since).run()
    if options.json:
        print_json(dataclasses.asdict(report))
    else:
        print_line(report.as_text())
        print_reasons(report.reasons, "was refused")
    return report.exit_status


class Replay:
    """Second delivery of the delivered records of one folder, for use in one thread.

    A settled record was delivered, held or dropped; held and dropped records are left
    out.

    Args:
        dispatch: Delivery from the folder.
        retry_loop: Retry loop with the time limit of the command.
        provider_job_id: Job of the records to send; None for all jobs.
        since: Files with no record settled since this time are left out; None for all
            files.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        retry_loop: RetryLoop,
        provider_job_id: str | None,
        since: datetime | None,
    ) -> None:
        self._dispatch, self._retry_loop = dispatch, retry_loop
        self._job_id, self._since = provider_job_id, since
        self._job_count = self._refused = 0
        self._reasons: dict[str, str] = {}
        self._refused_jobs: set[str] = set()

    def run(self) -> ReplayReport:
        """Send each record once; print the error of a failed delivery on stderr."""
        last_error = None
        try:
            if next(self._files(), None) is not None:
                self._retry_loop.run(self._dispatch.confirm_provider)
                self._run()
        except BackendError as error:
            print_message(self._dispatch.failure_text(error))
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
        """Iterate over the files that this key may deliver, oldest first."""
        mine = self._dispatch.binding
        for file in views(self._dispatch.folder.all_paths()):
            other = file.header.binding
            # Before `confirm_provider()`, each file for this backend may belong to our
            # provider.
            may_be_ours = mine.provider_id is None and mine.base_url == other.base_url
            if may_be_ours or self._dispatch.admits(other):
                yield file

    def _is_wanted(self, file: OutboxFile) -> bool:
        if self._since is None:
            return True
        return file.settled_at is not None and file.settled_at >= self._since

    def _scan(self) -> tuple[dict[str, Creation], dict[str, int]]:
        """Return the newest creation and the number of records to send, by job id."""
        creations: dict[str, Creation] = {}
        line_counts: dict[str, int] = {}
        for file in self._files():
            excluded_ids, is_wanted = _excluded_ids(file), self._is_wanted(file)
            for line in file.settled_lines():
                record_id, job_id = identity(line)
                if not job_id or record_id in excluded_ids:
                    continue  # a damaged record, or a held or dropped record
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
        """Divide the events of a file into batches that fit into one request."""
        excluded_ids = _excluded_ids(file)
        lines = (x for x in file.settled_lines() if self._is_sent(x, excluded_ids))
        for batch in batches(lines):
            yield batch
            progress.add(len(batch))

    def _is_sent(self, line: bytes, excluded_ids: set[str]) -> bool:
        if is_creation(line):
            return False
        record_id, job_id = identity(line)
        is_damaged = not job_id
        is_wanted = self._job_id in {None, job_id} and record_id not in excluded_ids
        return is_wanted and not is_damaged and job_id not in self._refused_jobs

    def _send(self, lines: list[bytes]) -> bool:
        """Send records; return False if the backend rejected at least one record."""
        deliver = partial(self._dispatch.delivery.deliver_lines, lines)
        refused = self._retry_loop.run(deliver)
        self._refused += len(refused)
        for entry in refused:
            self._reasons.setdefault(entry.provider_job_id, entry.reason)
        return not refused


def _excluded_ids(file: OutboxFile) -> set[str]:
    """Return the ids of held and dropped records: settled, but never delivered."""
    return {entry.record_id for entry in file.held.entries()} | file.held.dropped_ids()
