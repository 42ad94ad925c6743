"""Command `outbox claim`: binds undelivered records to the current address and key."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from trackerapi.cli.exit_statuses import FINE, UNAVAILABLE
from trackerapi.cli.options import add_command, add_delivery
from trackerapi.cli.outbox.consent import add_yes, check_consent
from trackerapi.cli.outbox.dispatch import Dispatch
from trackerapi.cli.outbox.retry_loop import RetryLoop
from trackerapi.cli.printing import count_text, print_json, print_line, print_message
from trackerapi.cli.sync_report import UNCONFIRMED, destination_text, group_of
from trackerapi.errors import BackendError, UsageError
from trackerapi.outbox.header import Binding
from trackerapi.outbox.names import file_id
from trackerapi.outbox.rewriting import rebind
from trackerapi.outbox.survey import (
    LIVE,
    FileSummary,
    find_file,
    summary_of,
    survey,
)

_HELP: Final = """\
Bind undelivered records to the present address and key.

Records keep the address and the key of the job that wrote them. If the address or the
key was wrong (a key pasted with quotes, another port, https for http), no backend ever
accepted this address and key, and `trackerapi sync` names the files. This command binds
such files to the present address and key, if the backend accepts the present key. After
that, `trackerapi sync` delivers the records.

Without ID, the command binds all files with an address and key that no backend ever
accepted. A file named by ID may also have an address and key that a backend accepted.

exit status:
  0  bound, listed, or there was nothing to bind
  1  the backend was not reached, or refused the key: nothing was bound
  2  wrong usage, or not confirmed: without a terminal, --yes is needed

examples:
  trackerapi outbox claim --dry-run
  trackerapi outbox claim 4f21
  trackerapi outbox claim --all --yes
"""


def add_commands(commands: Any) -> None:
    """Add `outbox claim`."""
    parser = add_command(commands, "claim", _claim, _HELP)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "ids",
        metavar="ID",
        nargs="*",
        default=[],
        help="id of a file, or its first characters",
    )
    which.add_argument(
        "--all",
        action="store_true",
        help="all files with an address and key that no backend accepted (default)",
    )
    add_yes(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="list the files, and change nothing"
    )
    add_delivery(parser)


def _claim(options: argparse.Namespace) -> int:
    with Dispatch.of(options) as dispatch:
        folder = dispatch.folder
        files = _choose_files(dispatch, options.ids)
        if options.dry_run or not files:
            _report(options, dispatch.binding, files, [])
            return FINE
        if not options.yes:
            _ask(files, dispatch.binding)
        try:
            # Check the address and the key before binding: otherwise records could be
            # bound to another wrong address or key.
            RetryLoop(total_seconds=options.timeout).run(dispatch.confirm_provider)
        except BackendError as error:
            print_message(dispatch.failure_text(error))
            print_message("nothing was bound")
            return UNAVAILABLE
        paths = [rebind(folder, file.path, dispatch.binding) for file in files]
        bound = [path for path in paths if path is not None]
        _report(options, dispatch.binding, files, bound)
    return FINE


def _choose_files(dispatch: Dispatch, ids: Sequence[str]) -> list[FileSummary]:
    """Return the files to bind: the named files, or all unconfirmed files.

    No backend has ever accepted the address and key of an unconfirmed file.

    Raises:
        UsageError: If an id matches no file or several files, or a running process
            uses the file.
    """
    folder = dispatch.folder
    paths = dict.fromkeys(find_file(folder, each) for each in ids)
    files = [summary_of(each) for each in paths] or survey(folder)
    chosen: list[FileSummary] = []
    for file in files:
        if file is None or file.header is None:
            continue
        if ids and file.state == LIVE:
            raise UsageError(
                f"a running process has file {file.file_id}; claim the file after the "
                "process has ended"
            )
        is_ours = dispatch.admits(file.header.binding)
        group = group_of(file, folder, is_ours=is_ours)
        is_named = bool(ids) and file.remaining > 0
        if group == UNCONFIRMED or (is_named and not is_ours):
            chosen.append(file)
    return chosen


def _ask(files: Sequence[FileSummary], binding: Binding) -> None:
    """List the files and ask for consent on the terminal; see `check_consent()`."""
    for file in files:
        print_message(_file_text(file))
    records = count_text(_count(files), "record")
    key = f"key {binding.key_id}" if binding.key_id else "the present key"
    change = (
        f"bind {records} of {count_text(len(files), 'file')} to {binding.base_url} and "
        f"{key}"
    )
    check_consent(change, change, "nothing was bound")


def _report(
    options: argparse.Namespace,
    binding: Binding,
    files: Sequence[FileSummary],
    bound: Sequence[Path],
) -> None:
    """Print the result.

    Args:
        options: Options of the command line.
        binding: Present address and key.
        files: Files to bind.
        bound: Paths of the files that were bound; empty for `--dry-run`.
    """
    if options.json:
        print_json(
            {
                "base_url": binding.base_url,
                "provider_id": binding.provider_id,
                "files": [file.as_members() for file in files],
                "bound": [file_id(path) for path in bound],
            }
        )
        return
    if not files:
        print_line(
            "nothing to bind: all files are for this address and key, or for another "
            "address and key that a backend accepted"
        )
        return
    if not bound:
        for file in files:
            print_line(_file_text(file))
        print_line(
            f"{count_text(len(files), 'file')}: {count_text(_count(files), 'record')}"
        )
        return
    text = f"bound {count_text(len(bound), 'file')} to {binding.base_url}"
    print_line(f"{text}; to deliver the records: trackerapi sync")
    if any(file.held for file in files):
        print_line("held records are sent again by: trackerapi outbox retry")


def _file_text(file: FileSummary) -> str:
    assert file.header is not None  # noqa: S101 - true for each chosen file
    records = count_text(file.remaining, "record")
    return f"file {file.file_id}: {records} for {destination_text(file.header.binding)}"


def _count(files: Sequence[FileSummary]) -> int:
    return sum(file.remaining for file in files)
