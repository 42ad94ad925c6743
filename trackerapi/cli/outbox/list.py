"""Command `outbox list`: files of the outbox with their states and counts.

The command needs neither address nor key, and changes nothing.
"""

import argparse
from typing import Any, Final

from trackerapi.cli.exit_statuses import FINE
from trackerapi.cli.options import add_command, add_json, add_outbox, folder_of
from trackerapi.cli.printing import (
    count_text,
    print_json,
    print_line,
    print_table,
    size_text,
    time_text,
)
from trackerapi.errors import printable
from trackerapi.outbox.survey import DELIVERED, FileSummary, survey

_HEADING: Final = (
    "ID",
    "STATE",
    "WAITING",
    "HELD",
    "DELIVERED",
    "SIZE",
    "CREATED",
    "DESTINATION",
)
_NUMBERS: Final = frozenset({2, 3, 4, 5})

_HELP: Final = """\
List the files of the outbox.

A file belongs to one process. States of a file:
  live        a running process has the file, and delivers its records
  waiting     the process has ended; the next job, or `trackerapi sync`, delivers the
              records
  held        the backend refused records: `outbox show` gives the reason, `outbox
              retry` sends the records again, `outbox drop` deletes them
  delivered   all records are delivered; the file is kept for 24 h, for `outbox replay`
  newer       a later version of trackerapi wrote the file
  unreadable  the file cannot be read

examples:
  trackerapi outbox list
  trackerapi outbox list --all --json
"""


def add_commands(commands: Any) -> None:
    """Add `outbox list`."""
    parser = add_command(commands, "list", _list, _HELP)
    parser.add_argument("--all", action="store_true", help="also list delivered files")
    add_outbox(parser)
    add_json(parser)


def _list(options: argparse.Namespace) -> int:
    folder = folder_of(options)
    files = survey(folder)
    if options.all:
        files += survey(folder, delivered=True)
    else:
        files = [file for file in files if file.state != DELIVERED]
    if options.json:
        members = [file.as_members() for file in files]
        print_json({"outbox": str(folder.path), "files": members})
        return FINE
    if not files:
        print_line(f"nothing waits in {folder.path}")
        return FINE
    print_table([_HEADING, *map(_row, files)], numbers=_NUMBERS)
    waiting, held = sum(f.undelivered for f in files), sum(f.held for f in files)
    print_line(f"{count_text(len(files), 'file')}: {waiting:,} waiting, {held:,} held")
    return FINE


def _row(file: FileSummary) -> tuple[str, ...]:
    return (
        file.file_id,
        file.state,
        f"{file.undelivered:,}",
        f"{file.held:,}",
        f"{file.delivered:,}",
        size_text(file.size_bytes),
        time_text(file.header.created_at) if file.header else "",
        printable(file.header.binding.base_url) if file.header else "",
    )
