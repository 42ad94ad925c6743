"""Taking a bundle in: its records become those of an outbox file of this machine."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trackerapi.commands.bundle import Bundle
from trackerapi.commands.exits import FINE, Mistake
from trackerapi.commands.options import (
    add_backend,
    add_command,
    add_json,
    add_outbox,
    folder_of,
    settings_of,
)
from trackerapi.commands.survey import file_id
from trackerapi.commands.terminal import progress_of, say, say_json, tell
from trackerapi.composition import binding_for
from trackerapi.delivery.outbox_file import OutboxFile

if TYPE_CHECKING:
    from trackerapi.delivery.folder import OutboxFolder
    from trackerapi.delivery.header import Binding
    from trackerapi.delivery.held import KeptRecord
    from trackerapi.settings import Settings

_HELD_AT_ONCE: Final = 500

_HELP: Final = """\
Take in a bundle that `trackerapi outbox export` has written.

Its records go to the address and with the key of this machine. Nothing is sent yet:
`trackerapi sync`, or the next job, delivers them. A bundle that is cut off, damaged or
of a later version is refused as a whole; one that is taken in twice does no harm.

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
        file = path.open("rb")
    except OSError as error:
        raise Mistake(f"cannot read {path}: {error.strerror}") from None
    with file:
        bundle = Bundle.opened(path, file)
        taken_in = _take_in(bundle, folder, _binding(bundle, settings))
    if options.json:
        say_json(
            {
                "id": file_id(taken_in),
                "path": str(taken_in),
                "waiting": bundle.waiting,
                "held": bundle.held,
                "base_url": settings.base_url,
            }
        )
        return FINE
    say(
        f"{bundle.waiting:,} waiting, {bundle.held:,} held for {settings.base_url}; "
        "to deliver them: trackerapi sync"
    )
    return FINE


def _binding(bundle: Bundle, settings: "Settings") -> "Binding":
    """Return where the records go from here."""
    mine, recorded = binding_for(settings), bundle.binding
    if mine.base_url != recorded.base_url:
        tell(f"recorded for {recorded.base_url}; goes to {mine.base_url} from here")
    elif recorded.provider_id is not None:
        # Whatever key this machine has: what is a provider's stays with it.
        return replace(mine, key_id=None, provider_id=recorded.provider_id)
    return mine


def _take_in(bundle: Bundle, folder: "OutboxFolder", binding: "Binding") -> Path:
    """Write the records into a new outbox file; return where it lies.

    Raises:
        Mistake: If it cannot be written; then nothing is left of it.
    """
    try:
        file = OutboxFile.create(folder.path, binding)
        try:
            _copy(bundle, file)
            file.sync()
        except BaseException:
            file.remove()
            raise
    except OSError as error:
        raise Mistake(
            f"cannot write the outbox {folder.path}: {error.strerror or error}"
        ) from error
    file.close()
    return file.path


def _copy(bundle: Bundle, file: OutboxFile) -> None:
    held: list[KeptRecord] = []
    total = bundle.waiting + bundle.held
    with progress_of("took in", total, "record") as progress:
        for entry in bundle.entries():
            progress.add(1)
            if entry.kept is None:
                file.append(entry.record)
                continue
            held.append(entry.kept)
            if len(held) >= _HELD_AT_ONCE:
                file.held.keep(held)
                held = []
        file.held.keep(held)
