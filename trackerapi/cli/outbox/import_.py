"""Taking a bundle in: its records become those of an outbox file of this machine."""

import argparse
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trackerapi.cli.exit_statuses import FINE
from trackerapi.cli.options import (
    add_backend,
    add_command,
    add_json,
    add_outbox,
    folder_of,
    settings_of,
)
from trackerapi.cli.printing import (
    Progress,
    counted,
    print_json,
    print_line,
    print_message,
    progress_of,
)
from trackerapi.composition import binding_for
from trackerapi.errors import UsageError
from trackerapi.files import reading
from trackerapi.outbox.bundle import Bundle
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.names import file_id
from trackerapi.outbox.records import record_id
from trackerapi.outbox.survey import views

if TYPE_CHECKING:
    from trackerapi.outbox.folder import OutboxFolder
    from trackerapi.outbox.header import Binding
    from trackerapi.outbox.held import JournalEntry
    from trackerapi.settings.settings import Settings

_HELD_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class _TakenIn:
    """What was new of a bundle.

    Attributes:
        path: The new outbox file; None if the outbox knew all records.
        waiting: Count of records that are to be delivered.
        held: Count of records that the backend refused.
    """

    path: Path | None
    waiting: int
    held: int


_HELP: Final = """\
Take in a bundle that `trackerapi outbox export` has written.

Its records go to the address and with the key of this machine. Nothing is sent yet:
`trackerapi sync`, or the next job, delivers them. A bundle that is cut off, damaged or
of a later version is refused as a whole. Records that the outbox has already, or has
delivered, are left out: a bundle may be taken in twice.

exit status:
  0  taken in
  2  wrong usage or settings, no whole bundle, or the outbox cannot be written

examples:
  trackerapi outbox import /media/usb/reports.bundle && trackerapi sync
"""


def add_commands(commands: Any) -> None:
    """Add `outbox import`."""
    parser = add_command(commands, "import", _import, _HELP)
    parser.add_argument("file", metavar="FILE", type=Path, help="the bundle")
    add_outbox(parser)
    add_backend(parser)
    add_json(parser)


def _import(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    folder = folder_of(options, creates=True)
    path: Path = options.file
    try:
        file = reading(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    with file:
        bundle = Bundle.opened(path, file)
        taken_in = _take_in(bundle, folder, _binding(bundle, settings))
    known = bundle.undelivered + bundle.held - taken_in.waiting - taken_in.held
    if options.json:
        where = taken_in.path
        print_json(
            {
                "id": None if where is None else file_id(where),
                "path": None if where is None else str(where),
                "waiting": taken_in.waiting,
                "held": taken_in.held,
                "already_there": known,
                "base_url": settings.base_url,
            }
        )
        return FINE
    if known:
        print_message(
            f"{counted(known, 'record')} left out: the outbox has or had them already"
        )
    if taken_in.path is None:
        print_line(f"nothing new for {settings.base_url}")
        return FINE
    print_line(
        f"{taken_in.waiting:,} waiting, {taken_in.held:,} held for "
        f"{settings.base_url}; to deliver them: trackerapi sync"
    )
    return FINE


def _binding(bundle: Bundle, settings: "Settings") -> "Binding":
    """Return where the records go from here."""
    mine, recorded = binding_for(settings), bundle.binding
    if mine.base_url != recorded.base_url:
        print_message(
            f"recorded for {recorded.base_url}; goes to {mine.base_url} from here"
        )
    elif recorded.provider_id is not None:
        # Whatever key this machine has: what is a provider's stays with it.
        return replace(mine, key_id=None, provider_id=recorded.provider_id)
    return mine


def _take_in(bundle: Bundle, folder: "OutboxFolder", binding: "Binding") -> _TakenIn:
    """Write the records that are new here into a new outbox file.

    Raises:
        UsageError: If it cannot be written; then nothing is left of it.
    """
    known = _known_ids(folder, binding)
    try:
        file = OutboxFile.create(folder.path, binding)
        try:
            taken_in = _copy(bundle, file, known)
            file.sync()
        except BaseException:
            file.remove()
            raise
    except OSError as error:
        raise UsageError(
            f"cannot write the outbox {folder.path}: {error.strerror or error}"
        ) from error
    if taken_in.path is None:
        file.remove()
    else:
        file.close()
    return taken_in


def _known_ids(folder: "OutboxFolder", binding: "Binding") -> set[str]:
    """Return the ids of all records for a destination: undelivered, held, delivered."""
    known: set[str] = set()
    for path in folder.all_paths():
        with suppress(OSError):  # another user's file: its records may come twice
            for file in views([path]):
                other = file.header.binding
                if other == binding or folder.admits(binding, other):
                    known.update(kept.record_id for kept in file.held.entries())
                    known.update(map(record_id, file.settled_lines()))
                    known.update(map(record_id, file.undelivered_lines()))
    return known


def _copy(bundle: Bundle, file: OutboxFile, known: Collection[str]) -> _TakenIn:
    held = waiting = 0
    with progress_of("took in", bundle.undelivered + bundle.held, "record") as progress:
        # The file has the held records too, in front, as a file whose records were
        # refused: it still knows them when they are delivered and the journal is gone.
        for batch in _batches(_kept(bundle, progress, known)):
            for kept in batch:
                file.append(kept.record)
            file.held.add(batch)
            held += len(batch)
        if held:
            file.settle(file.end - file.start, held, delivered=0)
        for record in bundle.records():
            progress.add(record.held is None)
            if record.held is None and record_id(record.line) not in known:
                file.append(record.line)
                waiting += 1
    return _TakenIn(file.path if held or waiting else None, waiting, held)


def _kept(
    bundle: Bundle, progress: Progress, known: Collection[str]
) -> Iterator["JournalEntry"]:
    for held in (record.held for record in bundle.records()):
        progress.add(held is not None)
        if held is not None and held.record_id not in known:
            yield held


def _batches(records: Iterator["JournalEntry"]) -> Iterator[list["JournalEntry"]]:
    while batch := list(islice(records, _HELD_AT_ONCE)):
        yield batch
