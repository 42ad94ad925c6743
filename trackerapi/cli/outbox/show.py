"""Command `outbox show`: records of one outbox file, held records with the reason.

The command needs neither address nor key, and changes nothing.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from trackerapi.cli.exit_statuses import FINE
from trackerapi.cli.options import add_command, add_json, add_outbox, folder_of
from trackerapi.cli.printing import print_json, print_line, time_text, without_none
from trackerapi.errors import UsageError, printable
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.records import Creation, parse_record, record_id
from trackerapi.outbox.survey import FileSummary, find_file, summary_of

_HELP: Final = """\
Show the undelivered records of one outbox file, and the held records with the reason.

The output contains all reported texts, including metadata and details that only the
provider may read.

examples:
  trackerapi outbox show 4f21
  trackerapi outbox show 4f21 --json | jq .record
"""


def add_commands(commands: Any) -> None:
    """Add `outbox show`."""
    parser = add_command(commands, "show", _show, _HELP)
    parser.add_argument(
        "id", metavar="ID", help="id of the file, or its first characters"
    )
    parser.add_argument(
        "--all", action="store_true", help="also show delivered and dropped records"
    )
    add_outbox(parser)
    add_json(parser, "print one JSON object for each record, in one line")


def _show(options: argparse.Namespace) -> int:
    folder = folder_of(options)
    path = find_file(folder, options.id)
    file = OutboxFile.view(path)
    summary = summary_of(path, is_archived=path.parent == folder.delivered_path)
    if file is None or summary is None:
        raise UsageError(f"{path} is not an outbox file that this version can read")
    try:
        if not options.json:
            _print_summary(summary)
        for shown in _records(file, settled_too=options.all):
            if options.json:
                print_json(shown, in_one_line=True)
            else:
                _print_record(shown)
    finally:
        file.close()
    return FINE


def _records(file: OutboxFile, *, settled_too: bool) -> Iterator[dict[str, Any]]:
    """Iterate over the records of a file as JSON objects, in the order of output."""
    journal_ids: set[str] = set()
    for entry in file.held.entries():
        journal_ids.add(entry.record_id)
        yield without_none(
            {
                "state": "waiting" if entry.is_deferred else "held",
                "since": entry.since,
                "reason": entry.reason,
                "problem": dict(entry.problem),
                "record": _content(entry.record),
            }
        )
    if settled_too:
        for line in file.settled_lines():
            if record_id(line) not in journal_ids:
                yield {"state": "settled", "record": _content(line)}
    for line in file.undelivered_lines():
        yield {"state": "waiting", "record": _content(line)}


def _content(line: bytes) -> Any:
    """Return the members of a record; for a damaged record, the text of the line."""
    return parse_record(line) or line.decode("utf-8", "replace").rstrip("\n")


def _print_summary(summary: FileSummary) -> None:
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


def _print_record(shown: Mapping[str, Any]) -> None:
    """Print a record: job, kind and step, then the reason, then the other members."""
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
