"""Giving records up: held, undelivered or delivered ones."""

import argparse
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from trackerapi.cli.exit_statuses import FINE
from trackerapi.cli.options import add_command, add_json, add_outbox, folder_of
from trackerapi.cli.printing import (
    confirm,
    counted,
    has_terminal,
    print_json,
    print_line,
)
from trackerapi.errors import UsageError
from trackerapi.outbox.disk import is_locked
from trackerapi.outbox.file import OutboxFile
from trackerapi.outbox.folder import OutboxFolder
from trackerapi.outbox.rewriting import Selection, remove_and_release
from trackerapi.outbox.survey import DELIVERED, HELD, UNDELIVERED, views

_HELP: Final = """\
Give records up: by default those that the backend refused.

With --job, undelivered records of the job are given up too, such as those of a
misspelt id. Dropped records are gone for good, from the disk too; held records of a
running process go when it ends. Undelivered records in its file are never dropped.

exit status:
  0  dropped, or there was nothing to drop
  2  wrong usage, or not confirmed: without a terminal, --yes is needed

examples:
  trackerapi outbox drop --job import-42
  trackerapi outbox drop --waiting --yes
  trackerapi outbox drop --delivered --yes
"""


def add_commands(commands: Any) -> None:
    """Add `outbox drop`."""
    parser = add_command(commands, "drop", _drop, _HELP)
    which = parser.add_mutually_exclusive_group()
    for state, text in (
        (HELD, "records that the backend refused (default)"),
        (UNDELIVERED, "undelivered records"),
        (DELIVERED, "delivered records, kept for `outbox replay`"),
    ):
        which.add_argument(
            f"--{state}", dest="which", action="store_const", const=state, help=text
        )
    parser.add_argument("--job", metavar="ID", help="only records of this job")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_outbox(parser)
    add_json(parser)


def _drop(options: argparse.Namespace) -> int:
    by_default = (HELD,) if options.job is None else (HELD, UNDELIVERED)
    chosen = by_default if options.which is None else (options.which,)
    drop = Drop(folder_of(options), chosen, options.job)
    counts, live_count = drop.counts()
    count = sum(counts.values())
    if count:
        _check_consent(options, counts)
        count = drop.run()
    if options.json:
        print_json({"dropped": count, "left_to_running_processes": live_count})
        return FINE
    print_line(f"dropped {counted(count, 'record')}" if count else "nothing to drop")
    if live_count:
        print_line(f"{counted(live_count, 'record')} of running processes left to them")
    return FINE


def _check_consent(options: argparse.Namespace, counts: Mapping[str, int]) -> None:
    """Ask whoever is at the terminal.

    Raises:
        UsageError: If nobody agrees.
    """
    of_job = f" of job {options.job!r}" if options.job is not None else ""
    parts = [counted(n, f"{state} record") for state, n in counts.items() if n]
    what = f"{' and '.join(parts)}{of_job}"
    if options.yes:
        return
    if not has_terminal():
        raise UsageError(f"this would drop {what}; pass --yes to do it")
    if not confirm(f"drop {what} for good?"):
        raise UsageError("nothing was dropped")


class Drop:
    """Drops records of one folder.

    Args:
        folder: Which.
        states: Some of held and waiting, or delivered alone.
        provider_job_id: Only records of this job; None for all.
    """

    def __init__(
        self,
        folder: OutboxFolder,
        states: tuple[str, ...],
        provider_job_id: str | None,
    ) -> None:
        self._folder, self._states, self._job_id = folder, states, provider_job_id

    def counts(self) -> tuple[dict[str, int], int]:
        """Return how many records would go by state, and how many stay.

        Undelivered records of running processes stay.
        """
        counts = dict.fromkeys(self._states, 0)
        live_count = 0
        for file in views(self._paths()):
            for state in self._states:
                found = self._selection(state).count(file)
                if state == UNDELIVERED and is_locked(file.path):
                    live_count += found
                else:
                    counts[state] += found
        return counts, live_count

    def run(self) -> int:
        """Drop them; return how many went.

        Raises:
            OSError: If a file cannot be written.
        """
        return sum(map(self._drop_from, self._paths()))

    def _paths(self) -> list[Path]:
        return self._folder.paths(delivered=DELIVERED in self._states)

    def _drop_from(self, path: Path) -> int:
        with suppress(FileNotFoundError):  # somebody has delivered it meanwhile
            file = OutboxFile.claim(path)
            if file is not None:
                file.held.refresh()
                selection = self._selection(*self._states)
                return remove_and_release(self._folder, file, selection)
            if HELD in self._states:
                return self._drop_held_of_running(path)
        return 0

    def _drop_held_of_running(self, path: Path) -> int:
        """Remove held records from the journal of a running process."""
        count = 0
        for file in views([path]):
            ids = self._selection(HELD).ids_in_journal(file)
            file.held.remove(sorted(ids), "dropped")
            count += len(ids)
        return count

    def _selection(self, *states: str) -> Selection:
        return Selection(states=states, provider_job_id=self._job_id)
