"""Command `outbox export`: copies undelivered and held records into a bundle."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from trackerapi.cli import exit_statuses
from trackerapi.cli.options import (
    add_command,
    add_job_filter,
    add_json,
    add_outbox,
    folder_of,
)
from trackerapi.cli.printing import (
    Progress,
    count_text,
    print_json,
    print_line,
    print_message,
)
from trackerapi.errors import UsageError
from trackerapi.outbox.bundle import BundleWriter, new_bundle
from trackerapi.outbox.disk import is_locked
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.folder import OutboxFolder
from trackerapi.outbox.header import Binding
from trackerapi.outbox.records import (
    Creation,
    is_creation,
    job_of,
    parse_creation,
    record_id,
)
from trackerapi.outbox.rewriting import Selection, remove_records
from trackerapi.outbox.survey import (
    HELD,
    NEWER,
    UNDELIVERED,
    UNREADABLE,
    survey,
    views,
)
from trackerapi.settings.addresses import canonical_address

NO_KEY: Final = "none"
"""Value of `--key-id` that selects records without a key."""

_HELP: Final = """\
Copy undelivered and held records into a bundle, a file for another machine.

Needs neither address nor key. `trackerapi outbox import` reads the bundle on a machine
that reaches the backend. Records of running processes are copied too: the backend
applies a record that arrives twice only once.

A bundle is for one address and one provider. If the outbox has records for several
addresses or providers, choose with --base-url and --key-id (`none` for records without
a key).

exit status:
  0  written, or there was nothing to write
  1  written, but without the files that this version cannot read
  2  wrong usage, or the file cannot be written

examples:
  trackerapi outbox export /media/usb/reports.bundle
  trackerapi outbox export reports.bundle --job import-42 --remove
"""


def add_commands(commands: Any) -> None:
    """Add `outbox export`."""
    parser = add_command(commands, "export", _export, _HELP)
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="bundle to write; must not exist"
    )
    add_job_filter(parser)
    parser.add_argument(
        "--base-url", metavar="URL", help="only records of this address"
    )
    parser.add_argument("--key-id", metavar="ID", help="only records of this key")
    parser.add_argument(
        "--remove",
        action="store_true",
        help="drop the exported records, except records of running processes",
    )
    add_outbox(parser)
    add_json(parser)


def _export(options: argparse.Namespace) -> int:
    folder = folder_of(options)
    export = Export(folder, options.job, _Destination(options.base_url, options.key_id))
    summary: dict[str, Any] = {"file": None, "waiting": 0, "held": 0, "removed": 0}
    binding = export.binding()
    if binding is not None:
        with new_bundle(options.file, binding) as writer:
            export.write(writer)
        summary |= {"file": str(options.file), **writer.counts}
        if options.remove:
            summary["removed"] = export.remove()
        if writer.damaged:
            print_message(f"{count_text(writer.damaged, 'damaged record')} left out")
    left_out = [f for f in survey(folder) if f.state in {NEWER, UNREADABLE}]
    if left_out:
        print_message(
            f"{count_text(len(left_out), 'file')} that cannot be read left out"
        )
    _print(options, summary)
    return exit_statuses.UNDELIVERED if left_out else exit_statuses.FINE


def _print(options: argparse.Namespace, summary: dict[str, Any]) -> None:
    if options.json:
        print_json(summary)
        return
    if summary["file"] is None:
        print_line("nothing to export")
        return
    removed = f", {summary['removed']:,} removed here" if options.remove else ""
    print_line(
        f"{options.file}: {summary['waiting']:,} waiting, {summary['held']:,} held"
        f"{removed}; to import the bundle: trackerapi outbox import {options.file.name}"
    )


class _Destination:
    """Filter of records by `--base-url` and `--key-id`.

    Args:
        base_url: Address of the records; None for all addresses.
        key_id: Key id of the records, or `NO_KEY`; None for all keys.
    """

    def __init__(self, base_url: str | None, key_id: str | None) -> None:
        self._base_url = None if base_url is None else canonical_address(base_url)
        self._key_id = key_id

    def includes(self, binding: Binding) -> bool:
        """Return whether the filter selects records with this binding."""
        key_id = binding.key_id or NO_KEY
        is_there = self._base_url in {None, binding.base_url}
        return is_there and self._key_id in {None, key_id}


class Export:
    """Copy of undelivered and held records of one folder.

    Args:
        folder: Outbox folder.
        provider_job_id: Job of the records to copy; None for all jobs.
        destination: Filter of the records by address and key.
    """

    def __init__(
        self,
        folder: OutboxFolder,
        provider_job_id: str | None,
        destination: _Destination,
    ) -> None:
        self._folder, self._job_id = folder, provider_job_id
        self._destination = destination
        self._selection = Selection(
            states=(UNDELIVERED, HELD), provider_job_id=provider_job_id
        )
        self._abandoned: list[Path] = []

    def binding(self) -> Binding | None:
        """Return the binding of the records to export; None if there are no records.

        Raises:
            UsageError: If the records have several addresses or providers.
        """
        bindings = [
            file.header.binding
            for file in views(self._folder.paths())
            if self._destination.includes(file.header.binding) and self._has_any(file)
        ]
        destinations = _destinations(bindings)
        if len(destinations) > 1:
            listed = "; ".join(map(_as_text, destinations[:4]))
            raise UsageError(
                f"a bundle is for one address and provider, but the outbox has records "
                f"for {len(destinations)}: {listed}; choose with --base-url and "
                f"--key-id"
            )
        return destinations[0] if destinations else None

    def write(self, writer: BundleWriter) -> None:
        """Copy the records into a bundle.

        The creation of each job is copied too, even if it was delivered: the backend of
        the other machine may not know the job.
        """
        jobs: set[str] = set()
        created: set[str] = set()
        with Progress(lambda count: f"wrote {count_text(count, 'record')}") as progress:
            for file in self._files():
                for line in self._copy_file(file, writer):
                    progress.add(1)
                    (created if is_creation(line) else jobs).add(job_of(line))
            for line in self._known_creations(jobs - created).values():
                writer.add_known(line)

    def remove(self) -> int:
        """Remove copied records of ended processes; return the number of records.

        Raises:
            OSError: If a file cannot be written.
        """
        counts = (
            remove_records(self._folder, path, self._selection)
            for path in self._abandoned
        )
        return sum(count or 0 for count in counts)

    def _files(self) -> Iterator[OutboxFile]:
        """Iterate over the files, also over files that appear during the iteration.

        A running process at the size limit of its outbox replaces a file by a smaller
        file, without some of the progress records.
        """
        seen: set[Path] = set()
        while paths := [path for path in self._folder.paths() if path not in seen]:
            for path in paths:
                seen.add(path)
                # Test the lock before the read: after the owner has ended, no record
                # is added to the file.
                is_abandoned = not is_locked(path)
                for file in views([path]):
                    if self._destination.includes(file.header.binding):
                        yield file
                        if is_abandoned:
                            self._abandoned.append(path)

    def _copy_file(self, file: OutboxFile, writer: BundleWriter) -> Iterator[bytes]:
        """Copy the records of one file; yield each copied record."""
        journal_ids: set[str] = set()
        for entry in file.held.entries(provider_job_id=self._job_id):
            journal_ids.add(entry.record_id)
            if entry.is_deferred:
                writer.add_undelivered(entry.record)
            else:
                writer.add_held(entry)
            yield entry.record
        for line in file.undelivered_lines():
            if not self._selection.is_of_job(line):
                continue
            if not journal_ids or record_id(line) not in journal_ids:
                writer.add_undelivered(line)
                yield line

    def _known_creations(self, jobs: set[str]) -> dict[str, bytes]:
        """Return the newest delivered creation, in the state `done`, by job id."""
        newest: dict[str, bytes] = {}
        for file in views(self._folder.all_paths()):
            if not self._destination.includes(file.header.binding):
                continue
            for line in file.settled_lines():
                creation = parse_creation(line)
                if creation is not None and creation.provider_job_id in jobs:
                    done = Creation(document=creation.document, state="done")
                    newest[creation.provider_job_id] = done.as_line()
        return newest

    def _has_any(self, file: OutboxFile) -> bool:
        entries = file.held.entries(provider_job_id=self._job_id)
        lines = file.undelivered_lines()
        return any(entries) or any(map(self._selection.is_of_job, lines))


def _destinations(bindings: Sequence[Binding]) -> list[Binding]:
    """Return one binding for each address and provider.

    A key without a known provider counts as a separate provider.
    """
    providers = {
        (each.base_url, each.key_id): each.provider_id
        for each in bindings
        if each.provider_id is not None
    }
    found: dict[tuple[object, ...], Binding] = {}
    for each in bindings:
        url, key_id = each.base_url, each.key_id
        provider_id = each.provider_id
        if key_id is not None:
            provider_id = providers.get((url, key_id))
        owner = ("key", key_id) if provider_id is None else ("provider", provider_id)
        known = Binding(base_url=url, key_id=key_id, provider_id=provider_id)
        found.setdefault((url, *owner), known)
    return list(found.values())


def _as_text(binding: Binding) -> str:
    return f"{binding.base_url} (key {binding.key_id or NO_KEY})"
