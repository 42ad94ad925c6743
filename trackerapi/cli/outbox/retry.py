"""Command `outbox retry`: sends held records again, once their cause was fixed.

The command sends creations of jobs first, then events. Accepted records are removed
from the journal of held records. Rejected records stay there, with the new reason.
"""

import argparse
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from trackerapi.cli.argument_types import customer_id
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
    count_text,
    print_json,
    print_line,
    print_message,
    progress_of,
    without_none,
)
from trackerapi.cli.sync_report import held_for_others
from trackerapi.delivery.failing_records import PassFailures
from trackerapi.errors import BackendError, BackendUnavailable, UsageError
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.header import header_of
from trackerapi.outbox.held import HeldJournal, JournalEntry
from trackerapi.outbox.records import MAX_BATCH_LINES, Creation
from trackerapi.problems import unusable

_HELP: Final = """\
Send held records again, after the reason of their refusal was fixed.

Undelivered records of ended processes are delivered first, as by `trackerapi sync`.
Then the refused jobs are created, with the values of --customer-id and --tag if given,
and held events are sent. Records that the backend accepts are no longer held. The
command may run while the job runs.

With --tag, the configuration of the script is not sent: the backend creates the job
with the stored configuration, or attaches to the existing job.

exit status:
  0  all records were accepted, or no record is held
  1  the backend was not reached, refused the key, or a record is still undelivered
  2  wrong usage or settings
  3  a record is still held, with the newest reason

examples:
  trackerapi outbox retry
  trackerapi outbox retry --job import-42 --customer-id 142
  trackerapi outbox retry --job import-42 --tag import
"""


def add_commands(commands: Any) -> None:
    """Add `outbox retry`."""
    parser = add_command(commands, "retry", _retry, _HELP)
    add_job_filter(parser)
    parser.add_argument(
        "--customer-id",
        type=customer_id,
        metavar="N",
        help="create the job of --job for this customer",
    )
    parser.add_argument(
        "--tag",
        metavar="TAG",
        help="create the job of --job with this tag, or attach to it",
    )
    add_delivery(parser)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryReport:
    """Result of sending held records again.

    Attributes:
        taken: Number of records that the backend accepted.
        held: Number of records that are still held.
        waiting: Number of deferred records: the backend does not know their jobs.
        last_error: Error if the backend was not reached, or a file could not be used;
            else None.
        reasons: Reason of the first record that is still held, by job id.
    """

    taken: int
    held: int
    waiting: int
    last_error: str | None
    reasons: dict[str, str]

    @property
    def exit_status(self) -> int:
        """Exit status of the command."""
        if self.last_error is not None or self.waiting:
            return UNAVAILABLE
        return HELD if self.held else FINE

    def as_text(self) -> str:
        """Return the report as one line."""
        text = f"{count_text(self.taken, 'record')} taken, {self.held:,} still held"
        return f"{text}, {self.waiting:,} waiting" if self.waiting else text


def _retry(options: argparse.Namespace) -> int:
    changes = without_none({"customer_id": options.customer_id, "tag": options.tag})
    if changes and options.job is None:
        raise UsageError("--customer-id and --tag need --job: they are about one job")
    with Dispatch.of(options, SilentProblems()) as dispatch:
        retry_loop = RetryLoop(total_seconds=options.timeout)
        report = Retry(dispatch, retry_loop, options.job, changes).run()
    if options.json:
        print_json(dataclasses.asdict(report))
    elif report.last_error is None and not (report.taken or report.held):
        of_job = "" if options.job is None else f" of job {options.job!r}"
        print_line(f"nothing is held{of_job} in {dispatch.folder.path}")
        for line in held_for_others(dispatch.folder, dispatch.admits, options.outbox):
            print_message(line)
    else:
        print_line(report.as_text())
        if report.last_error is None:
            print_reasons(report.reasons, "is held")
    return report.exit_status


class Retry:
    """Second delivery of the held records of one folder, for use in one thread.

    Args:
        dispatch: Delivery from the folder.
        retry_loop: Retry loop with the time limit of the command.
        provider_job_id: Job of the records to send; None for all jobs.
        changes: New values of members in the held creation of the job.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        retry_loop: RetryLoop,
        provider_job_id: str | None,
        changes: Mapping[str, Any],
    ) -> None:
        self._dispatch, self._retry_loop = dispatch, retry_loop
        self._job_id, self._changes = provider_job_id, changes
        self._tried: set[tuple[object, str]] = set()
        self._refused_jobs: set[str] = set()
        self._taken = self._created = 0
        self._unusable: str | None = None
        self._failing = PassFailures()

    def run(self) -> RetryReport:
        """Send each held record once; print a delivery error on stderr."""
        last_error = None
        try:
            if self._has_own_files():
                self._retry_loop.run(self._dispatch.confirm_provider)
                self._run()
                if self._changes and not self._created:
                    print_message(
                        "no creation of this job is held: the job stays as it is"
                    )
        except BackendError as error:
            print_message(self._dispatch.failure_text(error))
            last_error = str(error)
        report = self._report(last_error)
        if self._unusable is not None:
            print_message(self._unusable)
        return report

    def _has_own_files(self) -> bool:
        mine = self._dispatch.binding.base_url
        return any(
            each.binding.base_url == mine for each in self._dispatch.folder.headers()
        )

    def _run(self) -> None:
        self._for_each_leftover(self._deliver)
        # A running job may add held records at the same time: repeat until a pass finds
        # no new record.
        while self._retry_once():
            pass
        self._for_each_leftover(self._deliver_deferred)
        if self._failing.error is not None:
            raise self._failing.error

    def _for_each_leftover(self, act: Callable[[OutboxFile], None]) -> None:
        """Claim each leftover file, pass it to `act`, and release it."""
        # Claim one file at a time: a folder may contain more files than the process
        # may open.
        for file in self._dispatch.folder.claim(self._dispatch.binding, set()):
            try:
                act(file)
            except BackendUnavailable as error:
                # `_run()` raises the error after the delivery of the other files.
                self._failing.note(error)
            finally:
                self._dispatch.folder.release(file)

    def _deliver(self, file: OutboxFile) -> None:
        """Deliver a leftover file, and then its deferred records."""
        deliver = partial(self._dispatch.delivery.deliver_next, file)
        while self._retry_loop.run(deliver):
            pass
        self._deliver_deferred(file)

    def _deliver_deferred(self, file: OutboxFile) -> None:
        file.held.refresh()
        if file.held.deferred_jobs():
            self._retry_loop.run(partial(self._dispatch.delivery.retry_deferred, file))

    def _retry_once(self) -> int:
        """Send the held records that this command has not sent; return their number."""
        fresh = [
            (journal, self._untried_entries(journal)) for journal in self._journals()
        ]
        total = sum(len(entries) for _, entries in fresh)
        with progress_of("sent", total, "record") as progress:
            for journal, entries in fresh:
                for entry in entries:
                    if entry.creation is not None:
                        self._create(journal, entry, entry.creation)
                        progress.add(1)
            for journal, entries in fresh:
                for events in self._batches(entries):
                    self._send(journal, events)
                    progress.add(len(events))
        return total

    def _journals(self) -> Iterator[HeldJournal]:
        """Iterate over the journals that this key delivers.

        Journals of running processes are included.
        """
        for path in self._dispatch.folder.paths():
            header, journal = header_of(path), HeldJournal.beside(path)
            if header is None or not header.is_readable:
                continue
            if not self._dispatch.admits(header.binding):
                continue
            try:
                journal.check()
            except OSError as error:
                self._unusable = unusable(path, error)
                continue
            yield journal

    def _held_entries(self, journal: HeldJournal) -> Iterator[JournalEntry]:
        return journal.entries(is_deferred=False, provider_job_id=self._job_id)

    def _untried_entries(self, journal: HeldJournal) -> list[JournalEntry]:
        """Return the held entries that this command has not sent yet."""
        fresh = [
            entry
            for entry in self._held_entries(journal)
            if (journal.path, entry.record_id) not in self._tried
        ]
        self._tried.update((journal.path, entry.record_id) for entry in fresh)
        return fresh

    def _create(
        self, journal: HeldJournal, entry: JournalEntry, creation: Creation
    ) -> None:
        self._created += 1
        document = {**creation.document, **self._changes}
        if "tag" in self._changes:
            document.pop("configuration", None)  # belongs to the old tag
        line = Creation(document=document).as_line()
        for again in self._send_lines([line]):
            self._refused_jobs.add(creation.provider_job_id)
            journal.add([_with_new_reason(line, again, entry)])
            return
        self._remove(journal, [entry])
        if self._changes:
            self._record_creation(document)

    def _record_creation(self, document: dict[str, Any]) -> None:
        """Record the accepted creation in a new outbox file.

        If the backend loses the job, delivery and `outbox replay` send the newest
        creation again: the newest creation must have the accepted customer and tag.
        """
        line = Creation(document=document, state="done").as_line()
        with suppress(OSError):
            file = OutboxFile.create(self._dispatch.folder.path, self._dispatch.binding)
            file.append(line)
            file.settle(len(line), 1, delivered=0)
            self._dispatch.folder.release(file)

    def _batches(self, entries: Sequence[JournalEntry]) -> Iterator[list[JournalEntry]]:
        """Divide events into batches; leave out events of jobs that were rejected."""
        events = [
            entry
            for entry in entries
            if entry.creation is None
            and entry.provider_job_id not in self._refused_jobs
        ]
        for begin in range(0, len(events), MAX_BATCH_LINES):
            yield events[begin : begin + MAX_BATCH_LINES]

    def _send(self, journal: HeldJournal, events: Sequence[JournalEntry]) -> None:
        refused = {
            each.record: each for each in self._send_lines([e.record for e in events])
        }
        self._remove(journal, [e for e in events if e.record not in refused])
        journal.add(
            [
                _with_new_reason(entry.record, refused[entry.record], entry)
                for entry in events
                if entry.record in refused
            ]
        )

    def _send_lines(self, lines: list[bytes]) -> list[JournalEntry]:
        """Send records; return the rejected records."""
        return self._retry_loop.run(
            partial(self._dispatch.delivery.deliver_lines, lines)
        )

    def _remove(self, journal: HeldJournal, entries: Sequence[JournalEntry]) -> None:
        journal.remove([entry.record_id for entry in entries], "delivered")
        self._taken += len(entries)

    def _report(self, last_error: str | None) -> RetryReport:
        held = waiting = 0
        reasons: dict[str, str] = {}
        for journal in self._journals():
            for entry in self._held_entries(journal):
                held += 1
                # Keep the first reason of a job: if its creation was rejected, all of
                # its events are rejected too.
                reasons.setdefault(entry.provider_job_id, entry.reason)
            deferred = journal.entries(is_deferred=True, provider_job_id=self._job_id)
            waiting += sum(1 for _ in deferred)
        return RetryReport(
            taken=self._taken,
            held=held,
            waiting=waiting,
            last_error=last_error or self._unusable,
            reasons=reasons,
        )


def _with_new_reason(
    line: bytes, refused: JournalEntry, before: JournalEntry
) -> JournalEntry:
    """Return a journal entry with the new reason and the old time `since`."""
    return JournalEntry(
        record=line,
        problem=refused.problem,
        is_deferred=refused.is_deferred,
        since=before.since,
    )
