"""One pass of delivery: search for leftover files, then deliver a batch of every file.

Decides which records are delivered and in which order; the courier decides when.
"""

import random
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
from trackerapi.retry import backoff_seconds

LEFTOVER_SEARCH_SECONDS: Final = 60.0
"""Time between two searches for leftover files."""

MAX_UNDELIVERED_LEFTOVERS: Final = 8
MAX_OPEN_LEFTOVERS: Final = 64
"""Leftover files that are open at once: their descriptors count for the job's limit."""


@dataclass(slots=True, kw_only=True)
class DeliveryParts:
    """The parts that a courier works with.

    Attributes:
        sender: Returns the sender of records; None delivers nothing.
        folder: Outbox folder with possible leftover files; None without a folder.
        outbox: Files that this process appends to.
        conflation: Progress that is not written yet; None without conflation.
    """

    sender: Callable[[], Sender] | None
    folder: OutboxFolder | None
    outbox: Outbox
    problems: Problems
    counters: Counters
    conflation: Conflation | None = None


class DeliveryPasses:
    """Delivers records of this process and of ended ones; for the courier's thread.

    Attributes:
        leftovers: Claimed leftover files, oldest first.
        is_search_complete: Whether the requested search has claimed all leftovers.
    """

    def __init__(self, parts: DeliveryParts) -> None:
        self._route = parts
        self.leftovers: list[OutboxFile] = []
        self._journals: dict[Path, HeldJournal] = {}
        self._carrier: BatchDelivery | None = None
        self._sender: Sender | None = None
        self._key_id = parts.outbox.binding.key_id
        self._is_identified = False
        self._has_purged = self._is_curious = self._backlog_waits = False
        self._has_more = self._is_searching = False
        self._next_search = 0.0
        self._next_waiting = 0.0
        self._waiting_failures = 0
        self._failing = PassFailures()

    @property
    def is_search_complete(self) -> bool:
        """Whether leftovers were looked for, and all seen, since `ask_again()`."""
        is_searched = self._next_search > 0 and not self._has_more
        # Another thread may ask in the middle of a search, when nothing is found yet.
        is_over = is_searched and not self._is_searching
        return is_over or self._route.folder is None

    def search_again(self) -> None:
        """Search for leftover files, and retry deferred records, in the next pass."""
        self._next_search = self._next_waiting = 0.0

    def files(self) -> list[OutboxFile]:
        """Return all files in the order of delivery."""
        return [*self.leftovers, *self._route.outbox.files]

    def journals(self) -> list[HeldJournal]:
        """Return the journals of held records, also those of archived files."""
        journals = self._journals | {file.held.path: file.held for file in self.files()}
        return list(journals.values())

    def has_deferred_records(self) -> bool:
        """Whether records wait for a job that the backend does not know yet."""
        return any(file.held.deferred_jobs() for file in self.files())

    def has_due_records(self) -> bool:
        """Whether there are records to deliver now."""
        return (
            self._is_curious
            or any(not file.is_delivered for file in self.files())
            or (self._has_patient() and steady_seconds() >= self._next_waiting)
        )

    def seconds_until_retry(self) -> float | None:
        """Return the time until deferred work is due; None without such work."""
        if not self._has_patient():
            return None
        return max(self._next_waiting - steady_seconds(), 0.0)

    def _has_patient(self) -> bool:
        """Whether there are deferred records, which not every pass tries."""
        return bool(self._route.outbox.backlog) or self.has_deferred_records()

    def reopen_lost_files(self) -> None:
        """Open closed leftover files again, and replace own files that were closed."""
        self._route.outbox.rescue_files()
        for file in list(self.leftovers):
            if not file.is_ours:
                self.leftovers.remove(file)
                file.close()
                self._next_search = 0.0

    def claim_leftovers(self) -> None:
        """Claim leftover files, if the last search was long enough ago."""
        folder, now = self._route.folder, steady_seconds()
        if now < self._next_search or folder is None:
            return
        self._is_searching = True
        self._next_search = now + LEFTOVER_SEARCH_SECONDS
        try:
            self._take_over(folder)
        finally:
            # Foreign files are ours or not once the backend has named our provider.
            self._is_searching = self._is_curious

    def _take_over(self, folder: OutboxFolder) -> None:
        known = {file.path for file in self.files()}
        binding = self._route.outbox.binding
        self._has_more = False
        for _ in folder.claim(binding, known, self.leftovers.append, self._set_aside):
            self._put_away_delivered()
            waiting = sum(not each.is_delivered for each in self.leftovers)
            if (
                waiting >= MAX_UNDELIVERED_LEFTOVERS
                or len(self.leftovers) >= MAX_OPEN_LEFTOVERS
            ):
                self._has_more = True
                break
        # Not in place, where others would see none of them meanwhile.
        self.leftovers = sorted(self.leftovers, key=lambda file: file.path.name)
        # Only the backend can tell whether another key is of the same provider.
        self._is_curious = binding.provider_id is None and folder.has_foreign(binding)
        if not self._has_purged:
            self._has_purged = True
            folder.purge()

    def deliver_batches(self) -> None:
        """Deliver a batch of each leftover file, and one of this process's records.

        Raises:
            BackendUnavailable: If no usable answer came.
            AuthenticationError: If the key was refused.
            OSError: If the journal of held records cannot be written.
        """
        try:
            batch_delivery = self._ready_batch_delivery()
        finally:
            self._is_searching = False
        for file in self.files():
            batch_delivery.know(file)
        self._failing = PassFailures()
        self._deliver_files(batch_delivery)
        if steady_seconds() >= self._next_waiting:
            self._retry_deferred(batch_delivery)
            self._deliver_backlog(batch_delivery)
        self._put_away_delivered()
        if self._failing.error is not None:
            raise self._failing.error

    def _deliver_files(self, batch_delivery: BatchDelivery) -> None:
        # One file after the other, or later events of a job would overtake; but a huge
        # leftover must not hold up what happens now.
        for files in (self.leftovers, self._route.outbox.files):
            for file in list(files):
                if file.is_delivered or not self._with(
                    file, batch_delivery.deliver_next
                ):
                    continue
                if not file.is_delivered and file in files:
                    break

    def _with(self, file: OutboxFile, act: Callable[[OutboxFile], object]) -> bool:
        """Do something with a file; False if the backend takes none of its records.

        Raises:
            BackendUnavailable: If the backend may be down.
            OSError: If it fails for a file of this process, which is tried again.
        """
        try:
            act(file)
        except BackendUnavailable as error:
            self._failing.note(error)  # raised when the others had their turn
            return False
        except OSError as error:
            if file not in self.leftovers:
                raise
            file.close()
            self._set_aside(file, error)
        return True

    def _set_aside(self, file: OutboxFile, error: OSError) -> None:
        """Skip a leftover file until the next search."""
        if file in self.leftovers:
            self.leftovers.remove(file)
        name = file.path.name
        self._route.problems.report(LEFT_BEHIND, unusable(file.path, error), name)

    def reload_key(self) -> None:
        """Read the key again; its provider is asked for again before a delivery."""
        if self._sender is not None:
            self._key_id = self._sender.reload_key()
        self._is_identified = False

    def archive(self, files: list[OutboxFile]) -> None:
        """Archive or release `files` and all claimed files."""
        for file in [*self.leftovers, *files]:
            self._put_away(file)
        self.leftovers = []

    def _put_away(self, file: OutboxFile) -> None:
        self._journals[file.held.path] = file.held
        if self._route.folder is None:
            file.close()
        else:
            self._route.folder.release(file)

    def _ready_batch_delivery(self) -> BatchDelivery:
        """Return the carrier once the provider of the key is confirmed."""
        if self._sender is None or self._carrier is None:
            assert self._route.sender is not None  # noqa: S101 - for the type checker
            # Loads the HTTP client: a child that is forked in the middle of an import
            # could never finish it.
            with no_forks():
                self._sender = self._route.sender()
            self._carrier = BatchDelivery(
                self._sender,
                self._find_creation,
                self._route.problems,
                self._route.counters,
            )
        if not self._is_identified:
            self._bind(self._confirmed_provider(self._sender))
            self._is_identified = True
        return self._carrier

    def _confirmed_provider(self, sender: Sender) -> int:
        """Return the provider of the key as it is now."""
        folder = self._route.folder
        if folder is None:
            return sender.identify()
        binding = replace(self._route.outbox.binding, key_id=self._key_id)
        return folder.confirm_provider(binding, sender.identify, sender.list_key_ids)

    def _bind(self, provider_id: int) -> None:
        outbox = self._route.outbox
        known = outbox.binding.provider_id
        is_other_key = self._key_id != outbox.binding.key_id
        if is_other_key and known not in {None, provider_id}:
            raise AuthenticationError(
                "the key now belongs to another provider than the one that these "
                "records are for"
            )
        if known != provider_id:
            outbox.binding = replace(outbox.binding, provider_id=provider_id)
            self._is_curious = False
            self._next_search = 0.0  # files of other keys of this provider may be there
        for file in self.files():
            if file.header.binding.provider_id is None:
                with suppress(OSError):
                    file.name_provider(provider_id)

    def _find_creation(self, provider_job_id: str) -> Creation | None:
        folder = self._route.folder
        if folder is None:
            return None
        return folder.find_creation(self._route.outbox.binding, provider_job_id)

    def _deliver_backlog(self, batch_delivery: BatchDelivery) -> None:
        """Deliver records from memory that the disk refused."""
        outbox = self._route.outbox
        if not outbox.backlog or outbox.drain_backlog():
            return
        if not all(file.is_delivered for file in outbox.files):
            return  # they come first
        lines = outbox.take_backlog(MAX_BATCH_BYTES // 2)
        unknown = batch_delivery.blocked_jobs()
        waiting = [line for line in lines if job_of(line) in unknown] if unknown else []
        behind = set(waiting)
        try:
            refused = batch_delivery.deliver_lines(
                [x for x in lines if x not in behind]
            )
        except BaseException:
            outbox.restore_backlog(lines)
            raise
        waiting += [kept.record for kept in refused if kept.is_deferred]
        outbox.restore_backlog(waiting)
        self._backlog_waits = bool(waiting)
        for kept in refused:
            if not kept.is_deferred:
                self._route.counters.count_dropped(f"refused: {kept.reason}")

    def _retry_deferred(self, batch_delivery: BatchDelivery) -> None:
        """Retry records that wait for their job, less often the longer they wait."""
        for file in self.files():
            self._with(file, batch_delivery.retry_deferred)
        if not self.has_deferred_records() and not self._backlog_waits:
            self._waiting_failures, self._next_waiting = 0, 0.0
            return
        self._waiting_failures += 1
        self._next_waiting = steady_seconds() + backoff_seconds(
            self._waiting_failures,
            jitter=random.random(),  # noqa: S311 - spreads load, hides nothing
        )

    def _look_again(self, file: OutboxFile) -> None:
        if not file.has_lock:
            # Its owner may live, and have begun a newer file that must not overtake
            # what was appended to this one before.
            file.find_end()
        self._journals[file.held.path] = file.held  # `report()` misses none meanwhile
        file.held.refresh()

    def _put_away_delivered(self) -> None:
        for file in list(self.leftovers):
            self._with(file, self._look_again)
            if file not in self.leftovers:
                continue
            if file.is_delivered and not file.held.deferred_jobs():
                self.leftovers.remove(file)
                self._put_away(file)
                if self._has_more:
                    self._next_search = 0.0
        outbox = self._route.outbox
        for file in list(outbox.files):
            # In this order: what is not current gets no more records.
            is_done = not outbox.is_current(file) and file.is_delivered
            if is_done and file.held.counts() == (0, 0):
                outbox.files.remove(file)
                self._put_away(file)
