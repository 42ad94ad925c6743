"""Looking into the outbox: which files there are, and what one of them holds.

Needs neither an address nor a key, and changes nothing.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from trackerapi.cli.exit_statuses import FINE
from trackerapi.cli.options import add_command, add_json, add_outbox, folder_of
from trackerapi.cli.outbox import claim, drop, export, replay, retry
from trackerapi.cli.outbox import import_ as import_bundle
from trackerapi.cli.parser import add_group
from trackerapi.cli.printing import (
    counted,
    print_json,
    print_line,
    print_table,
    size_text,
    time_text,
    without_none,
)
from trackerapi.errors import UsageError, printable
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.records import Creation, parse_record, record_id
from trackerapi.outbox.survey import (
    DELIVERED,
    FileSummary,
    find_file,
    summary_of,
    survey,
)

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

_HELP = "Look after what waits to be delivered, and what the backend refused."

_LIST_HELP = """\
List the files of the outbox.

A file belongs to one process. Its state is
  live       a running process has it and delivers it
  waiting    its process has ended; the next one, or `trackerapi sync`, delivers it
  held       the backend refused something: `outbox show` says why, `outbox retry`
             sends it again, `outbox drop` gives it up
  delivered  all was delivered; kept for 24 h, for `outbox replay`

examples:
  trackerapi outbox list
  trackerapi outbox list --all --json
"""

_SHOW_HELP = """\
Show the records of one outbox file: what waits, and what is held and why.

Records hold what the job reported, its metadata and details for the provider too.

examples:
  trackerapi outbox show 4f21
  trackerapi outbox show 4f21 --json | jq .record
"""


def add_commands(commands: Any) -> None:
    """Add `outbox` and its commands."""
    text = "look after what waits or is held"
    parser = commands.add_parser("outbox", help=text, description=_HELP)
    own = add_group(parser)

    listing = add_command(own, "list", _list, _LIST_HELP)
    listing.add_argument(
        "--all", action="store_true", help="also files of which all is delivered"
    )
    add_outbox(listing)
    add_json(listing)

    show = add_command(own, "show", _show, _SHOW_HELP)
    show.add_argument("id", metavar="ID", help="id of the file, or how it begins")
    show.add_argument(
        "--all", action="store_true", help="also records that are settled"
    )
    add_outbox(show)
    add_json(show, "print one JSON object a record and line")

    retry.add_commands(own)
    claim.add_commands(own)
    drop.add_commands(own)
    replay.add_commands(own)
    export.add_commands(own)
    import_bundle.add_commands(own)


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
    print_line(f"{counted(len(files), 'file')}: {waiting:,} waiting, {held:,} held")
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


def _show(options: argparse.Namespace) -> int:
    folder = folder_of(options)
    path = find_file(folder, options.id)
    file = OutboxFile.view(path)
    summary = summary_of(path, is_archived=path.parent == folder.delivered_path)
    if file is None or summary is None:
        raise UsageError(f"{path} is no outbox file that this version can read")
    try:
        if not options.json:
            _say_summary(summary)
        for shown in _records(file, settled_too=options.all):
            if options.json:
                print_json(shown, in_one_line=True)
            else:
                _say_record(shown)
    finally:
        file.close()
    return FINE


def _records(file: OutboxFile, *, settled_too: bool) -> Iterator[dict[str, Any]]:
    """Iterate over what `show` has to show of each record."""
    kept_ids: set[str] = set()
    for kept in file.held.entries():
        kept_ids.add(kept.record_id)
        yield without_none(
            {
                "state": "waiting" if kept.is_deferred else "held",
                "since": kept.since,
                "reason": kept.reason,
                "problem": dict(kept.problem),
                "record": _content(kept.record),
            }
        )
    if settled_too:
        for line in file.settled_lines():
            if record_id(line) not in kept_ids:
                yield {"state": "settled", "record": _content(line)}
    for line in file.undelivered_lines():
        yield {"state": "waiting", "record": _content(line)}


def _content(line: bytes) -> Any:
    """Return the members of a record; the text of a damaged one."""
    return parse_record(line) or line.decode("utf-8", "replace").rstrip("\n")


def _say_summary(summary: FileSummary) -> None:
    header = summary.header
    assert header is not None  # noqa: S101 - for the type checker
    binding = header.binding
    provider = "not known yet" if binding.provider_id is None else binding.provider_id
    print_line(f"file      {summary.path}")
    print_line(
        f"state     {summary.state}: {summary.undelivered:,} waiting, {summary.held:,} "
        f"held, {summary.delivered:,} delivered"
    )
    print_line(f"created   {time_text(header.created_at)}")
    print_line(f"goes to   {printable(binding.base_url)}")
    print_line(f"key       {printable(binding.key_id or 'none')}, provider {provider}")


def _say_record(shown: Mapping[str, Any]) -> None:
    """Print a record: what it is in one line, why it is held, and what else it says."""
    record = shown["record"]
    if not isinstance(record, dict):
        print_line(f"{shown['state']:9} damaged: {printable(str(record))}")
        return
    members: dict[str, Any] = {**record}
    creation = Creation.parse(members)
    if creation is not None:
        members = {"kind": "create_job", **creation.document}
        members["occurred_at"] = members.pop("created_at", "")
    members.pop("event_id", None)
    time = time_text(str(members.pop("occurred_at", "")))
    words = [str(members.pop(name, "")) for name in ("provider_job_id", "kind", "tag")]
    print_line(f"{shown['state']:9} {time}  {printable('  '.join(words)).rstrip()}")
    if "reason" in shown:
        print_line(f"          {printable(str(shown['reason']))}")
    if members:
        print_line(f"          {printable(json.dumps(members, ensure_ascii=False))}")
