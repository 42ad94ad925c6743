"""Command `outbox import`: copies the records of a bundle into a new outbox file."""

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
    count_text,
    print_json,
    print_line,
    print_message,
    progress_of,
)
from trackerapi.composition import binding_for
from trackerapi.errors import UsageError
from trackerapi.files import open_for_reading
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

_HELD_BATCH_LENGTH: Final = 500


@dataclass(frozen=True, slots=True)
class _Imported:
    """Result of an import: records of a bundle that were new to the outbox.

    Attributes:
        path: New outbox file; None if the bundle had no new record.
        undelivered: Number of new undelivered records.
        held: Number of new held records.
    """

    path: Path | None
    undelivered: int
    held: int


_HELP: Final = """\
Copy the records of a bundle of `trackerapi outbox export` into the outbox.

The records are bound to the address and key of this machine. The command sends nothing:
`trackerapi sync`, or the next job, delivers the records. A bundle that is cut off,
damaged or of a later version is refused as a whole. Records that the outbox already
has, or has delivered, are left out: a bundle may be imported twice.

exit status:
  0  imported
  2  wrong usage or settings, a bundle that is refused, or an outbox that cannot be
     written

examples:
  trackerapi outbox import /media/usb/reports.bundle && trackerapi sync
"""


def add_commands(commands: Any) -> None:
    """Add `outbox import`."""
    parser = add_command(commands, "import", _import, _HELP)
    parser.add_argument("file", metavar="FILE", type=Path, help="bundle to import")
    add_outbox(parser)
    add_backend(parser)
    add_json(parser)


def _import(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    folder = folder_of(options, creates=True)
    path: Path = options.file
    try:
        file = open_for_reading(path)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    with file:
        bundle = Bundle.read(path, file)
        imported = _import_into(bundle, folder, _binding(bundle, settings))
    known = bundle.undelivered + bundle.held - imported.undelivered - imported.held
    if options.json:
        where = imported.path
        print_json(
            {
                "id": None if where is None else file_id(where),
                "path": None if where is None else str(where),
                "waiting": imported.undelivered,
                "held": imported.held,
                "already_there": known,
                "base_url": settings.base_url,
            }
        )
        return FINE
    if known:
        print_message(
            f"{count_text(known, 'record')} left out: the outbox has or had them "
            "already"
        )
    if imported.path is None:
        print_line(f"nothing new for {settings.base_url}")
        return FINE
    print_line(
        f"{imported.undelivered:,} waiting, {imported.held:,} held for "
        f"{settings.base_url}; to deliver them: trackerapi sync"
    )
    return FINE


def _binding(bundle: Bundle, settings: "Settings") -> "Binding":
    """Return the binding of the imported records, from the settings of this machine."""
    mine, recorded = binding_for(settings), bundle.binding
    if mine.base_url != recorded.base_url:
        print_message(
            f"recorded for {recorded.base_url}; goes to {mine.base_url} from this "
            "machine"
        )
    elif recorded.provider_id is not None:
        # The records belong to their provider, even if the key on this machine belongs
        # to another provider.
        return replace(mine, key_id=None, provider_id=recorded.provider_id)
    return mine


def _import_into(
    bundle: Bundle, folder: "OutboxFolder", binding: "Binding"
) -> _Imported:
    """Write the new records of a bundle into a new outbox file.

    Raises:
        UsageError: If the file cannot be written; the incomplete file is removed.
    """
    known = _known_ids(folder, binding)
    try:
        file = OutboxFile.create(folder.path, binding)
        try:
            imported = _copy(bundle, file, known)
            file.sync()
        except BaseException:
            file.remove()
            raise
    except OSError as error:
        raise UsageError(
            f"cannot write the outbox {folder.path}: {error.strerror or error}"
        ) from error
    if imported.path is None:
        file.remove()
    else:
        file.close()
    return imported


def _known_ids(folder: "OutboxFolder", binding: "Binding") -> set[str]:
    """Return the ids of all records for a destination: undelivered, held, delivered."""
    known: set[str] = set()
    for path in folder.all_paths():
        # An unreadable file of another user is skipped: its records may be imported
        # a second time.
        with suppress(OSError):
            for file in views([path]):
                other = file.header.binding
                if other == binding or folder.admits(binding, other):
                    known.update(entry.record_id for entry in file.held.entries())
                    known.update(map(record_id, file.settled_lines()))
                    known.update(map(record_id, file.undelivered_lines()))
    return known


def _copy(bundle: Bundle, file: OutboxFile, known: Collection[str]) -> _Imported:
    """Copy the records whose ids are not in `known` from a bundle into a file."""
    held = undelivered = 0
    with progress_of(
        "imported", bundle.undelivered + bundle.held, "record"
    ) as progress:
        # Held records are written to the journal and, as settled records, to the begin
        # of the file: after their delivery, the journal is deleted.
        for batch in _batches(_new_held(bundle, progress, known)):
            for entry in batch:
                file.append(entry.record)
            file.held.add(batch)
            held += len(batch)
        if held:
            file.settle(file.end - file.start, held, delivered=0)
        for record in bundle.records():
            progress.add(record.held is None)
            if record.held is None and record_id(record.line) not in known:
                file.append(record.line)
                undelivered += 1
    path = file.path if held or undelivered else None
    return _Imported(path, undelivered, held)


def _new_held(
    bundle: Bundle, progress: Progress, known: Collection[str]
) -> Iterator["JournalEntry"]:
    """Iterate over the held records of a bundle that the outbox does not have yet."""
    for held in (record.held for record in bundle.records()):
        progress.add(held is not None)
        if held is not None and held.record_id not in known:
            yield held


def _batches(records: Iterator["JournalEntry"]) -> Iterator[list["JournalEntry"]]:
    while batch := list(islice(records, _HELD_BATCH_LENGTH)):
        yield batch
