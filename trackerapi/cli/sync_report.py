"""Report of `trackerapi sync`: counts of records, and reasons of remaining files."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from trackerapi.cli.exit_statuses import FINE, HELD, UNDELIVERED
from trackerapi.cli.printing import count_text
from trackerapi.errors import printable
from trackerapi.outbox.counters import Counters
from trackerapi.outbox.folder import OutboxFolder
from trackerapi.outbox.header import Binding
from trackerapi.outbox.survey import (
    DELIVERED,
    LIVE,
    NEWER,
    UNREADABLE,
    FileSummary,
    survey,
    why_deferred,
    why_unreadable,
)
from trackerapi.problems import shell_word, unusable

OURS: Final = "ours"
ELSEWHERE: Final = "elsewhere"
UNCONFIRMED: Final = "unconfirmed"

_MAX_NAMES: Final = 3
_NEEDS_ACTION: Final = (UNCONFIRMED, NEWER, UNREADABLE)
_MAX_LINES: Final = 20

_LEFT_ALONE: Final = {
    LIVE: "{} left to their running processes",
    ELSEWHERE: "{} for another address or provider left alone",
    UNCONFIRMED: "{} for an address and key that no backend has accepted",
    NEWER: "{} of a later version of trackerapi left alone",
    UNREADABLE: "{} cannot be read",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RemainingFile:
    """Outbox file that stays after `trackerapi sync`.

    Attributes:
        id: Id of the file, for the `outbox` commands.
        group: Group of the file; see `group_of()`.
        path: Path of the file.
        records: Number of undelivered and held records.
        reason: Reason why the records stay.
        condition: Condition under which `command` fixes the cause; empty if `command`
            always does.
        command: `trackerapi` command that delivers or drops the records, or binds them
            to the present key; empty if no command helps.
    """

    id: str
    group: str
    path: str
    records: int
    reason: str
    condition: str
    command: str

    def as_text(self) -> str:
        """Return the file, the reason and the command as one line."""
        text = f"file {self.id} ({count_text(self.records, 'record')}): {self.reason}"
        if not self.command:
            return text
        condition = f"if {self.condition}, " if self.condition else ""
        return f"{text}; {condition}run: {self.command}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReport:
    """State of the outbox after a delivery.

    Attributes:
        delivered: Number of events that this command delivered.
        waiting: Number of undelivered records in files that this key delivers.
        held: Number of held records in files that this key delivers.
        dropped: Number of lost records, by reason.
        last_error: Error of the last attempt; None after a success.
        files: Number of files that this key does not deliver, by group: live (of a
            running process), elsewhere (for another address or provider, where a
            backend has accepted the key), unconfirmed (no backend ever accepted the
            key), newer (of a later version) and unreadable.
        remaining: Each file that stays, except files of running processes and files
            with only held records, with the reason and the command to run.
    """

    delivered: int
    waiting: int
    held: int
    dropped: Mapping[str, int]
    last_error: str | None
    files: Mapping[str, int]
    remaining: Sequence[RemainingFile]

    @classmethod
    def new(
        cls,
        groups: Sequence[tuple[FileSummary, str]],
        counters: Counters,
        *,
        held: int,
        last_error: str | None,
        outbox: str | None,
    ) -> Self:
        """Return the report about the files of a folder.

        Args:
            groups: All files of the folder, each with its group; see `group_of()`.
            counters: Counts of the records that this command delivered or dropped.
            held: Number of held records in files that this key delivers.
            last_error: Error of the last attempt; None after a success.
            outbox: Value of `--outbox`; None for the default.
        """
        return cls(
            delivered=counters.delivered,
            waiting=sum(each.undelivered for each, group in groups if group == OURS),
            held=held,
            dropped=dict(counters.dropped),
            last_error=last_error,
            files={
                state: sum(group == state for _, group in groups)
                for state in _LEFT_ALONE
            },
            remaining=[
                describe(each, group, last_error, outbox)
                for each, group in groups
                if group in {ELSEWHERE, *_NEEDS_ACTION}
                or (group == OURS and each.undelivered)
            ],
        )

    @property
    def exit_status(self) -> int:
        """Exit status of the command."""
        if self.waiting or any(self.files[each] for each in _NEEDS_ACTION):
            return UNDELIVERED
        return HELD if self.held else FINE

    def as_text(self) -> str:
        """Return the report as one line."""
        parts = [
            f"delivered {count_text(self.delivered, 'event')}; {self.waiting:,} "
            f"waiting, {self.held:,} held"
        ]
        if self.dropped:
            lost = sum(self.dropped.values())
            parts.append(f"{lost:,} lost ({', '.join(sorted(self.dropped))})")
        parts += [
            text.format(count_text(self.files[state], "file"))
            for state, text in _LEFT_ALONE.items()
            if self.files[state]
        ]
        return "; ".join(parts)

    def lines_to_act_on(self) -> Iterator[str]:
        """Iterate over a line for each file that the user has to fix, at most 20."""
        found = [each for each in self.remaining if each.group in _NEEDS_ACTION]
        yield from (each.as_text() for each in found[:_MAX_LINES])

    def lines(self) -> Iterator[str]:
        """Iterate over a line for each remaining file, at most 20 lines."""
        # The error of the last attempt is printed once, not for each file.
        found = [each for each in self.remaining if each.reason != self.last_error]
        yield from (each.as_text() for each in found[:_MAX_LINES])
        if len(found) > _MAX_LINES:
            yield "more files stay: `trackerapi outbox list` shows all of them"


def group_of(file: FileSummary, folder: OutboxFolder, *, is_ours: bool) -> str:
    """Return the group of a file: it says which process or key delivers the records.

    Args:
        file: Summary of the file.
        folder: Outbox folder; it records which keys and addresses a backend accepted.
        is_ours: Whether the present key delivers the file.

    Returns:
        `OURS`; `ELSEWHERE` for another address or provider, where a backend has
        accepted the key; `UNCONFIRMED` for a key that no backend at the address ever
        accepted; or the state of a live, delivered, newer or unreadable file.
    """
    if file.header is None or file.state in {LIVE, NEWER, UNREADABLE}:
        return file.state
    if not file.remaining:
        return DELIVERED
    if is_ours:
        return OURS
    is_confirmed = folder.is_confirmed(file.header.binding)
    return ELSEWHERE if is_confirmed else UNCONFIRMED


def describe(
    file: FileSummary, group: str, last_error: str | None, outbox: str | None
) -> RemainingFile:
    """Return the report about a remaining file: its reason, and the command to run.

    Args:
        file: Summary of the file.
        group: Group of the file; see `group_of()`.
        last_error: Error of the last attempt; None after a success.
        outbox: Value of `--outbox`; None for the default.
    """
    reason, condition, command = _explain(file, group, last_error)
    option = f" --outbox {shlex.quote(outbox)}" if outbox else ""
    return RemainingFile(
        id=file.file_id,
        group=group,
        path=str(file.path),
        records=file.remaining,
        reason=printable(reason),
        condition=condition,
        command=f"trackerapi {command}{option}" if command else "",
    )


def held_for_others(
    folder: OutboxFolder, is_ours: Callable[[Binding], bool], outbox: str | None
) -> Iterator[str]:
    """Yield a line for each file with held records of another key or address."""
    for file in survey(folder):
        if file.held and file.header is not None:
            ours = is_ours(file.header.binding)
            group = group_of(file, folder, is_ours=ours)
            if group in {ELSEWHERE, UNCONFIRMED}:
                yield describe(file, group, None, outbox).as_text()


def _explain(
    file: FileSummary, group: str, last_error: str | None
) -> tuple[str, str, str]:
    """Return the members `reason`, `condition` and `command` of `RemainingFile`."""
    binding = file.header.binding if file.header else None
    match group, binding:
        case "unconfirmed", Binding():
            reason = f"no backend has ever accepted {destination_text(binding)}"
            claim = f"outbox claim {file.file_id}"
            return reason, "the records belong to the present key", claim
        case "elsewhere", Binding():
            return f"left alone: it is for {destination_text(binding)}", "", ""
        case "newer", _:
            return "a later version of trackerapi wrote it; update trackerapi", "", ""
        case "unreadable", _:
            error = why_unreadable(file.path)
            damage = (
                "it is not an outbox file, or its first line is damaged; move this "
                f"file out of the outbox: {file.path}"
            )
            return (damage if error is None else unusable(file.path, error)), "", ""
        case _:
            return _why_undelivered(file, last_error)


def _why_undelivered(file: FileSummary, last_error: str | None) -> tuple[str, str, str]:
    """Return reason, condition and command for a file that this key delivers."""
    if last_error is not None:
        return last_error, "", "sync"
    unknown, failing = why_deferred(file.path)
    if failing is not None:
        reason = f"a record of job {failing.provider_job_id!r} waits: {failing.reason}"
        return reason, "", "sync"
    jobs = sorted(unknown)
    if not jobs:
        return "the command ended before the delivery", "", "sync"
    names = ", ".join(map(repr, jobs[:_MAX_NAMES])) + ", ..." * (len(jobs) > _MAX_NAMES)
    reason = f"the backend does not know job {names}"
    return reason, "an id is misspelt", f"outbox drop --job {shell_word(jobs[0])}"


def destination_text(binding: Binding) -> str:
    """Return address, key and provider as a text for messages."""
    key = f"key {binding.key_id}" if binding.key_id else "no key"
    if binding.provider_id is not None:
        key = f"{key} of provider {binding.provider_id}"
    return f"{binding.base_url} with {key}"
