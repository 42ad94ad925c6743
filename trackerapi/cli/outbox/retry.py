"""Sending again what the backend has refused, after the reason was fixed.

Creations of jobs go first, then events. What is taken is released from the journal it
is held in; the rest stays there, with the newest reason.
"""

import argparse
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from trackerapi.cli.exit_statuses import FINE, HELD, UNAVAILABLE
from trackerapi.cli.options import (
    add_command,
    add_delivery,
    customer_id,
    folder_of,
    settings_of,
)
from trackerapi.cli.outbox.dispatch import Dispatch, Persistence, Unheard
from trackerapi.cli.printing import (
    counted,
    print_json,
    print_line,
    print_message,
    progress_of,
    without_none,
)
from trackerapi.cli.sync_report import held_for_others
from trackerapi.delivery.failing_records import PassFailures
from trackerapi.errors import (
    AuthenticationError,
    BackendError,
    BackendUnavailable,
    UsageError,
)
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.folder import OutboxFolder
from trackerapi.outbox.header import header_of
from trackerapi.outbox.held import HeldJournal, JournalEntry
from trackerapi.outbox.records import MAX_BATCH_LINES, Creation
from trackerapi.problems import key_refused, unreachable, unusable

_MOST_REASONS: Final = 5

_HELP: Final = """\
Send again what the backend refused, after the reason was fixed.

Creations of jobs go first, with another customer or tag if one is given, then their
events. With --tag the configuration that the script sent along is left out: the job is
created with the stored one, or attached to as it is known.
What is taken is held no more. What a process that has ended left waiting is delivered
first, as `trackerapi sync` does. Works while the job runs, too.

exit status:
  0  all was taken, or nothing is held
  1  the backend was not reached, refused the key, or a record still waits
  2  wrong usage or settings
  3  something is still held, with the newest reason

examples:
  trackerapi outbox retry
  trackerapi outbox retry --job import-42 --customer-id 142
  trackerapi outbox retry --job import-42 --tag import
"""


def add_commands(commands: Any) -> None:
    """Add `outbox retry`."""
    parser = add_command(commands, "retry", _retry, _HELP)
    parser.add_argument("--job", metavar="ID", help="only records of this job")
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
    """What became of held records.

    Attributes:
        taken: Records that are held no more.
        held: Records that still are.
        waiting: Records that now wait for a job that the backend does not know.
        last_error: Why the backend could not be asked; None if it could.
        reasons: By job, why the first of its records is still held.
    """

    taken: int
    held: int
    waiting: int
    last_error: str | None
    reasons: dict[str, str]

    @property
    def exit_status(self) -> int:
        """The exit status that says it."""
        if self.last_error is not None or self.waiting:
            return UNAVAILABLE
        return HELD if self.held else FINE

    def as_text(self) -> str:
        """Return it as one line."""
        text = f"{counted(self.taken, 'record')} taken, {self.held:,} still held"
        return f"{text}, {self.waiting:,} waiting" if self.waiting else text


def _retry(options: argparse.Namespace) -> int:
    changes = without_none({"customer_id": options.customer_id, "tag": options.tag})
    if changes and options.job is None:
        raise UsageError("--customer-id and --tag need --job: they are about one job")
    folder = folder_of(options)
    with Dispatch(settings_of(options), folder, Unheard()) as dispatch:
        persistence = Persistence(total_seconds=options.timeout)
        retry = Retry(dispatch, folder, options.job, changes)
        report = retry.run(persistence)
    if options.json:
        print_json(dataclasses.asdict(report))
    elif report.last_error is None and not (report.taken or report.held):
        of_job = "" if options.job is None else f" of job {options.job!r}"
        print_line(f"nothing is held{of_job} in {folder.path}")
        for line in held_for_others(folder, dispatch.admits, options.outbox):
            print_message(line)
    else:
        print_line(report.as_text())
        if report.last_error is None:
            for job_id, reason in list(report.reasons.items())[:_MOST_REASONS]:
                print_message(f"job {job_id!r} is held: {reason}")
    return report.exit_status


class Retry:
    """Sends held records of one folder again; for one thread.

    Args:
        dispatch: The way to the backend.
        folder: Where they are held.
        provider_job_id: Only records of this job; None for all.
        changes: Members of the job's creation that replace the held ones.
    """

    def __init__(
        self,
        dispatch: Dispatch,
        folder: OutboxFolder,
        provider_job_id: str | None,
        changes: Mapping[str, Any],
    ) -> None:
        self._dispatch, self._folder = dispatch, folder
        self._job_id, self._changes = provider_job_id, changes
        self._persistence = Persistence()
        self._tried: set[tuple[object, str]] = set()
        self._refused_jobs: set[str] = set()
        self._taken = self._created = 0
        self._unusable: str | None = None
        self._failing = PassFailures()

    def run(self, persistence: Persistence) -> RetryReport:
        """Send all of them once; a fault of the network is told on stderr."""
        self._persistence = persistence
        last_error = None
        try:
            if self._has_own_files():
                self._persistence.run(self._dispatch.introduce)
                self._run()
                if self._changes and not self._created:
                    print_message(
                        "no creation of this job is held: the job stays as it is"
                    )
        except BackendError as error:
            is_refused = isinstance(error, AuthenticationError)
            print_message(
                key_refused(error, self._folder.path)
                if is_refused
                else unreachable(error)
            )
            last_error = str(error)
        report = self._report(last_error)
        if self._unusable is not None:
            print_message(self._unusable)
        return report

    def _has_own_files(self) -> bool:
        mine = self._dispatch.binding.base_url
        return any(each.binding.base_url == mine for each in self._folder.headers())

    def _run(self) -> None:
        # One file after the other: a folder may hold more than a process may open.
        self._with_leftovers(self._deliver)
        for _ in iter(self._retry_once, 0):
            pass  # until a job that runs has added nothing more
        self._with_leftovers(self._carry_waiting)
        if self._failing.error is not None:
            raise self._failing.error

    def _with_leftovers(self, act: Callable[[OutboxFile], None]) -> None:
        for file in self._folder.claim(self._dispatch.binding, set()):
            try:
                act(file)
            except BackendUnavailable as error:
                self._failing.note(error)  # raised when the others had their turn
            finally:
                self._folder.release(file)

    def _deliver(self, file: OutboxFile) -> None:
        """Deliver what waits; what is refused only now is sent again at once."""
        carry = partial(self._dispatch.batch_delivery.deliver_next, file)
        while self._persistence.run(carry):
            pass
        self._carry_waiting(file)

    def _carry_waiting(self, file: OutboxFile) -> None:
        file.held.refresh()
        if file.held.deferred_jobs():
            self._persistence.run(
                partial(self._dispatch.batch_delivery.retry_deferred, file)
            )

    def _retry_once(self) -> int:
        """Send what was not tried yet; return how many records that were."""
        fresh = [(journal, self._fresh(journal)) for journal in self._journals()]
        total = sum(len(records) for _, records in fresh)
        with progress_of("sent", total, "record") as progress:
            for journal, records in fresh:
                for kept in records:
                    if kept.creation is not None:
                        self._create(journal, kept, kept.creation)
                        progress.add(1)
            for journal, records in fresh:
                for events in self._batches(records):
                    self._send(journal, events)
                    progress.add(len(events))
        return total

    def _journals(self) -> Iterator[HeldJournal]:
        """Iterate over what is held, also by running processes."""
        for path in self._folder.paths():
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

    def _held(self, journal: HeldJournal) -> Iterator[JournalEntry]:
        return journal.entries(is_deferred=False, provider_job_id=self._job_id)

    def _fresh(self, journal: HeldJournal) -> list[JournalEntry]:
        """Return what is held and was not sent yet by this command."""
        fresh = [
            kept
            for kept in self._held(journal)
            if (journal.path, kept.record_id) not in self._tried
        ]
        self._tried.update((journal.path, kept.record_id) for kept in fresh)
        return fresh

    def _create(
        self, journal: HeldJournal, kept: JournalEntry, creation: Creation
    ) -> None:
        self._created += 1
        document = {**creation.document, **self._changes}
        if "tag" in self._changes:
            document.pop("configuration", None)  # it belongs to the other tag
        line = Creation(document=document).as_line()
        for again in self._sent([line]):
            self._refused_jobs.add(creation.provider_job_id)
            journal.add([_again(line, again, kept)])
            return
        self._release(journal, [kept])
        if self._changes:
            self._remember(document)

    def _remember(self, document: dict[str, Any]) -> None:
        """Write down with which customer and tag the job was created in the end."""
        line = Creation(document=document, state="done").as_line()
        with suppress(OSError):
            file = OutboxFile.create(self._folder.path, self._dispatch.binding)
            file.append(line)
            file.settle(len(line), 1, delivered=0)
            self._folder.release(file)

    def _batches(self, records: Sequence[JournalEntry]) -> Iterator[list[JournalEntry]]:
        """Divide events into batches; without those whose job was refused again."""
        events = [
            kept
            for kept in records
            if kept.creation is None and kept.provider_job_id not in self._refused_jobs
        ]
        for begin in range(0, len(events), MAX_BATCH_LINES):
            yield events[begin : begin + MAX_BATCH_LINES]

    def _send(self, journal: HeldJournal, events: Sequence[JournalEntry]) -> None:
        refused = {each.record: each for each in self._sent([e.record for e in events])}
        self._release(journal, [kept for kept in events if kept.record not in refused])
        journal.add(
            [
                _again(kept.record, refused[kept.record], kept)
                for kept in events
                if kept.record in refused
            ]
        )

    def _sent(self, lines: list[bytes]) -> list[JournalEntry]:
        """Send records; return those that were refused."""
        return self._persistence.run(
            partial(self._dispatch.batch_delivery.deliver_lines, lines)
        )

    def _release(self, journal: HeldJournal, records: Sequence[JournalEntry]) -> None:
        journal.remove([kept.record_id for kept in records], "delivered")
        self._taken += len(records)

    def _report(self, last_error: str | None) -> RetryReport:
        held = waiting = 0
        reasons: dict[str, str] = {}
        for journal in self._journals():
            for kept in self._held(journal):
                held += 1
                # The creation tells more than its events, and is the older one.
                reasons.setdefault(kept.provider_job_id, kept.reason)
            aside = journal.entries(is_deferred=True, provider_job_id=self._job_id)
            waiting += sum(1 for _ in aside)
        return RetryReport(
            taken=self._taken,
            held=held,
            waiting=waiting,
            last_error=last_error or self._unusable,
            reasons=reasons,
        )


def _again(line: bytes, refused: JournalEntry, before: JournalEntry) -> JournalEntry:
    """Return a record that is kept with a new reason, as old as it was."""
    return JournalEntry(
        record=line,
        problem=refused.problem,
        is_deferred=refused.is_deferred,
        since=before.since,
    )
