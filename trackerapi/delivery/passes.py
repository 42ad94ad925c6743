"""Delivery pass: claims leftover files, then delivers the next batches.

A pass decides which records are delivered, and in which order. The delivery loop
decides when a pass begins. Delivery sends a deferred record again later; a held record
waits until an operator fixes its cause.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from trackerapi.delivery.batches import BatchDelivery
from trackerapi.delivery.conflation import Conflation
from trackerapi.delivery.failing_records import PassFailures
from trackerapi.delivery.sender import Sender
from trackerapi.errors import AuthenticationError, BackendUnavailable
from trackerapi.outbox.counters import Counters
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.folder import OutboxFolder
from trackerapi.outbox.held import HeldJournal
from trackerapi.outbox.outbox import Outbox
from trackerapi.outbox.records import MAX_BATCH_BYTES, Creation, job_of
from trackerapi.problems import LEFT_BEHIND, Problems, unusable
from trackerapi.process.clock import steady_seconds
from trackerapi.process.forks import no_forks
from trackerapi.process.randomness import RANDOM
from trackerapi.retry import backoff_seconds

LEFTOVER_SEARCH_SECONDS: Final = 60.0
"""Time between two searches for leftover files."""

MAX_UNDELIVERED_LEFTOVERS: Final = 8
"""Maximum number of claimed files with undelivered records; the search then ends.

Other processes may claim and deliver the remaining files.
"""

MAX_OPEN_LEFTOVERS: Final = 64
"""Maximum number of claimed files: their descriptors count for the job's limit."""


@dataclass(slots=True, kw_only=True)
class DeliveryParts:
    """Parts of one session of delivery.

    Attributes:
        sender: Returns the client for delivery; None delivers nothing.
        folder: Outbox folder that may hold leftover files; None without a folder.
        outbox: Outbox of this process.
        problems: Logs each problem once.
        counters: Counts delivered and dropped events.
        conflation: Progress that is not written yet; None without conflation.
    """

    sender: Callable[[], Sender] | None
    folder: OutboxFolder | None
    outbox: Outbox
    problems: Problems
    counters: Counters
    conflation: Conflation | None = None


class DeliveryPasses:
    """Delivery passes for files of this process and for leftover files.

    Only the delivery thread calls the methods, except those marked "for any thread".

    Args:
        parts: The parts of the session.

    Attributes:
        leftovers: Claimed leftover files, oldest first. Other threads may read a copy.
    """

    def __init__(self, parts: DeliveryParts) -> None:
        self._parts = parts
        self.leftovers: list[OutboxFile] = []
        self._journals: dict[Path, HeldJournal] = {}
        self._batches: BatchDelivery | None = None
        self._sender: Sender | None = None
        self._key_id = parts.outbox.binding.key_id
        self._is_provider_confirmed = False
        self._has_purged = False
        self._is_searching = self._has_more_leftovers = False
        self._has_unclear_files = False
        self._next_search = 0.0
        self._next_retry = 0.0
        self._retry_count = 0
        self._has_deferred_backlog = False
        self._failures = PassFailures()

    @property
    def is_search_complete(self) -> bool:
        """Whether a search since `search_again()` has claimed all leftover files.

        For any thread.
        """
        has_searched = self._next_search > 0 and not self._has_more_leftovers
        # In the middle of a search, a file may not be claimed yet.
        is_complete = has_searched and not self._is_searching
        return is_complete or self._parts.folder is None

    def search_again(self) -> None:
        """Make a search and a retry due in the next pass; for any thread."""
        self._next_search = self._next_retry = 0.0

    def files(self) -> list[OutboxFile]:
        """Return all open files, in the order of delivery; for any thread."""
        return [*self.leftovers, *self._parts.outbox.files]

    def journals(self) -> list[HeldJournal]:
        """Return the journals of all files of this session; for any thread.

        The journal of a released file is among them: its held records still count.
        """
        journals = self._journals | {file.held.path: file.held for file in self.files()}
        return list(journals.values())

    def has_deferred_records(self) -> bool:
        """Return whether a journal has deferred records; for any thread."""
        return any(file.held.deferred_jobs() for file in self.files())

    def has_due_requests(self) -> bool:
        """Return whether a pass has requests to send.

        Requests deliver records, or ask which provider the key belongs to.
        """
        return (
            self._has_unclear_files
            or any(not file.is_delivered for file in self.files())
            or (self._has_records_to_retry() and steady_seconds() >= self._next_retry)
        )

    def seconds_until_retry(self) -> float | None:
        """Return the seconds until the next retry; None without records to retry."""
        if not self._has_records_to_retry():
            return None
        return max(self._next_retry - steady_seconds(), 0.0)

    def _has_records_to_retry(self) -> bool:
        return bool(self._parts.outbox.backlog) or self.has_deferred_records()

    def reopen_lost_files(self) -> None:
        """Replace files of this process that the job has closed or deleted.

        Leftover files that the job has closed are due for a new search.
        """
        self._parts.outbox.rescue_files()
        for file in list(self.leftovers):
            if not file.is_ours:
                self.leftovers.remove(file)
                file.close()
                self._next_search = 0.0

    def claim_leftovers(self) -> None:
        """Claim leftover files, if a search is due."""
        folder, now = self._parts.folder, steady_seconds()
        if now < self._next_search or folder is None:
            return
        self._is_searching = True
        self._next_search = now + LEFTOVER_SEARCH_SECONDS
        try:
            self._claim_leftovers(folder)
        finally:
            # Files of another key may belong to the same provider. A pass can claim
            # these files only after the backend has named the provider of this key.
            # Until then, the search is not complete.
            self._is_searching = self._has_unclear_files

    def _claim_leftovers(self, folder: OutboxFolder) -> None:
        known = {file.path for file in self.files()}
        binding = self._parts.outbox.binding
        self._has_more_leftovers = False
        for _ in folder.claim(binding, known, self.leftovers.append, self._skip_file):
            self._release_delivered()
            undelivered = sum(not file.is_delivered for file in self.leftovers)
            is_full = len(self.leftovers) >= MAX_OPEN_LEFTOVERS
            if is_full or undelivered >= MAX_UNDELIVERED_LEFTOVERS:
                self._has_more_leftovers = True
                break
        # Not sorted in place: `list.sort()` empties the list while it sorts, and
        # `report()` in another thread would miss the files.
        self.leftovers = sorted(self.leftovers, key=lambda file: file.path.name)
        # Files of another key are claimed if both keys are of one provider. They are
        # unclear until the backend has named the provider of this key.
        self._has_unclear_files = binding.provider_id is None and folder.has_foreign(
            binding
        )
        if not self._has_purged:
            self._has_purged = True
            folder.purge()

    def deliver_batches(self) -> None:
        """Deliver a batch of leftover files, and a batch of files of this process.

        Blocks until the backend has answered the requests.

        Raises:
            BackendUnavailable: If no usable answer came.
            AuthenticationError: If the key was rejected.
            LostFileError: If the job has closed a file of this process.
            OSError: If the journal of a file of this process cannot be written.
        """
        try:
            batches = self._ready_batches()
        finally:
            self._is_searching = False
        for file in self.files():
            batches.add_journal(file)
        self._failures = PassFailures()
        self._deliver_files(batches)
        if steady_seconds() >= self._next_retry:
            self._retry_deferred(batches)
            self._deliver_backlog(batches)
        self._release_delivered()
        if self._failures.error is not None:
            raise self._failures.error

    def _deliver_files(self, batches: BatchDelivery) -> None:
        # The oldest undelivered file is sent first: later events of a job must not
        # overtake earlier events. Leftover files and files of this process take turns,
        # one batch each: the leftovers of days must not delay the present job.
        for files in (self.leftovers, self._parts.outbox.files):
            for file in list(files):
                if file.is_delivered or not self._try_file(file, batches.deliver_next):
                    continue
                if not file.is_delivered and file in files:
                    break

    def _try_file(
        self, file: OutboxFile, action: Callable[[OutboxFile], object]
    ) -> bool:
        """Call `action` with a file; return False if the backend failed at its records.

        A leftover file that cannot be read or written is skipped.

        Raises:
            BackendUnavailable: If the pass has to end: the backend may be down, or too
                many files have failed.
            OSError: If a file of this process cannot be read or written; the loop tries
                again.
        """
        try:
            action(file)
        except BackendUnavailable as error:
            # `note()` raises the error at once if the pass has to end. Otherwise
            # `deliver_batches()` raises it after a batch of each other file.
            self._failures.note(error)
            return False
        except OSError as error:
            if file not in self.leftovers:
                raise
            file.close()
            self._skip_file(file, error)
        return True

    def _skip_file(self, file: OutboxFile, error: OSError) -> None:
        """Skip a leftover file that cannot be used, until the next search."""
        if file in self.leftovers:
            self.leftovers.remove(file)
        name = file.path.name
        self._parts.problems.report(LEFT_BEHIND, unusable(file.path, error), name)

    def release(self, files: list[OutboxFile]) -> None:
        """Release all leftover files and `files`; archive the delivered files."""
        for file in [*self.leftovers, *files]:
            self._release(file)
        self.leftovers = []

    def _release(self, file: OutboxFile) -> None:
        self._journals[file.held.path] = file.held
        if self._parts.folder is None:
            file.close()
        else:
            self._parts.folder.release(file)

    def _release_delivered(self) -> None:
        for file in list(self.leftovers):
            self._try_file(file, self._refresh)
            if file not in self.leftovers:
                continue
            if file.is_delivered and not file.held.deferred_jobs():
                self.leftovers.remove(file)
                self._release(file)
                if self._has_more_leftovers:
                    self._next_search = 0.0
        outbox = self._parts.outbox
        for file in list(outbox.files):
            # `is_current()` is checked first: a file that is no longer current gets no
            # more records.
            is_done = not outbox.is_current(file) and file.is_delivered
            if is_done and file.held.counts() == (0, 0):
                outbox.files.remove(file)
                self._release(file)

    def _refresh(self, file: OutboxFile) -> None:
        """Read what other processes have appended to a leftover file or its journal."""
        if not file.has_lock:
            # On a file system without locks, the owner of a claimed file may still run
            # and append to the file. These records precede those of its newer files.
            file.find_end()
        # The journal is noted before the file is released: `report()` in another thread
        # must find the held records during the release too.
        self._journals[file.held.path] = file.held
        file.held.refresh()

    def reload_key(self) -> None:
        """Read the key again; the next delivery confirms its provider first."""
        if self._sender is not None:
            self._key_id = self._sender.reload_key()
        self._is_provider_confirmed = False

    def _ready_batches(self) -> BatchDelivery:
        """Return the batch delivery, after the provider of the key is confirmed."""
        if self._sender is None or self._batches is None:
            assert self._parts.sender is not None  # noqa: S101 - for the type checker
            # The first call imports the HTTP client. A child that is forked during the
            # import would copy an import lock that no thread of the child releases.
            with no_forks():
                self._sender = self._parts.sender()
            self._batches = BatchDelivery(
                self._sender,
                self._find_creation,
                self._parts.problems,
                self._parts.counters,
            )
        if not self._is_provider_confirmed:
            self._bind(self._confirm_provider(self._sender))
            self._is_provider_confirmed = True
        return self._batches

    def _confirm_provider(self, sender: Sender) -> int:
        """Ask the backend for the provider of the present key; return its id."""
        folder = self._parts.folder
        if folder is None:
            return sender.identify()
        binding = replace(self._parts.outbox.binding, key_id=self._key_id)
        return folder.confirm_provider(binding, sender.identify, sender.list_key_ids)

    def _bind(self, provider_id: int) -> None:
        """Bind all open files to a provider.

        Raises:
            AuthenticationError: If the key was replaced by a key of another provider.
        """
        outbox = self._parts.outbox
        known = outbox.binding.provider_id
        is_other_key = self._key_id != outbox.binding.key_id
        if is_other_key and known not in {None, provider_id}:
            raise AuthenticationError(
                "the new key belongs to another provider than the undelivered records"
            )
        if known != provider_id:
            outbox.binding = replace(outbox.binding, provider_id=provider_id)
            self._has_unclear_files = False
            self._next_search = 0.0  # finds the files of the provider's other keys
        for file in self.files():
            if file.header.binding.provider_id is None:
                with suppress(OSError):
                    file.name_provider(provider_id)

    def _find_creation(self, provider_job_id: str) -> Creation | None:
        folder = self._parts.folder
        if folder is None:
            return None
        return folder.find_creation(self._parts.outbox.binding, provider_job_id)

    def _retry_deferred(self, batches: BatchDelivery) -> None:
        """Send deferred records again, and set the time of the next retry.

        The pause grows with each retry that leaves deferred records.
        """
        for file in self.files():
            self._try_file(file, batches.retry_deferred)
        if not self.has_deferred_records() and not self._has_deferred_backlog:
            self._retry_count, self._next_retry = 0, 0.0
            return
        self._retry_count += 1
        self._next_retry = steady_seconds() + backoff_seconds(
            self._retry_count,
            jitter=RANDOM.random(),
        )

    def _deliver_backlog(self, batches: BatchDelivery) -> None:
        """Deliver the records in memory that the disk still refuses."""
        outbox = self._parts.outbox
        if not outbox.backlog or outbox.drain_backlog():
            return
        if not all(file.is_delivered for file in outbox.files):
            return  # older records in the files have to be delivered first
        lines = outbox.take_backlog(MAX_BATCH_BYTES // 2)
        blocked = batches.blocked_jobs()
        # Without blocked jobs, no record has to be parsed.
        deferred = [x for x in lines if job_of(x) in blocked] if blocked else []
        skipped = set(deferred)
        try:
            rejected = batches.deliver_lines([x for x in lines if x not in skipped])
        except BaseException:
            outbox.restore_backlog(lines)
            raise
        deferred += [entry.record for entry in rejected if entry.is_deferred]
        outbox.restore_backlog(deferred)
        self._has_deferred_backlog = bool(deferred)
        for entry in rejected:
            if not entry.is_deferred:
                self._parts.counters.count_dropped(f"refused: {entry.reason}")
