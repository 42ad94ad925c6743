"""Command `outbox drop`: deletes held, undelivered or delivered records from disk."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from trackerapi.cli.exit_statuses import FINE
from trackerapi.cli.options import (
    add_command,
    add_job_filter,
    add_json,
    add_outbox,
    folder_of,
)
from trackerapi.cli.outbox.consent import add_yes, check_consent
from trackerapi.cli.printing import count_text, print_json, print_line
from trackerapi.outbox.disk import is_locked
from trackerapi.outbox.folder import OutboxFolder
from trackerapi.outbox.rewriting import (
    Selection,
    remove_held_records,
    remove_records,
)
from trackerapi.outbox.survey import DELIVERED, HELD, UNDELIVERED, views

_HELP: Final = """\
Delete records for good; by default, the records that the backend refused.

With --job, undelivered records of the job are dropped too: the id of the job may be
misspelt. Dropped records are deleted from the disk; held records of a running process
stay on the disk until the process ends. Undelivered records of a running process are
never dropped.

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
    add_job_filter(parser)
    add_yes(parser)
    add_outbox(parser)
    add_json(parser)


def _drop(options: argparse.Namespace) -> int:
    by_default = (HELD,) if options.job is None else (HELD, UNDELIVERED)
    chosen = by_default if options.which is None else (options.which,)
    drop = Drop(folder_of(options), chosen, options.job)
    counts, live_count = drop.counts()
    count = sum(counts.values())
    if count:
        if not options.yes:
            _ask(counts, options.job)
        count = drop.run()
    if options.json:
        print_json({"dropped": count, "left_to_running_processes": live_count})
        return FINE
    print_line(f"dropped {count_text(count, 'record')}" if count else "nothing to drop")
    if live_count:
        print_line(
            f"{count_text(live_count, 'record')} of running processes left to them"
        )
    return FINE


def _ask(counts: Mapping[str, int], job_id: str | None) -> None:
    """Ask for consent on the terminal; see `check_consent()`."""
    of_job = f" of job {job_id!r}" if job_id is not None else ""
    parts = [count_text(n, f"{state} record") for state, n in counts.items() if n]
    change = f"drop {' and '.join(parts)}{of_job}"
    check_consent(change, f"{change} for good", "nothing was dropped")


class Drop:
    """Deletion of records from the files of one folder.

    Args:
        folder: Outbox folder.
        states: `HELD`, `UNDELIVERED` or both; or only `DELIVERED`.
        provider_job_id: Job of the records to drop; None for all jobs.
    """

    def __init__(
        self,
        folder: OutboxFolder,
        states: tuple[str, ...],
        provider_job_id: str | None,
    ) -> None:
        self._folder, self._states, self._job_id = folder, states, provider_job_id

    def counts(self) -> tuple[dict[str, int], int]:
        """Count the records; change no file.

        Returns:
            Number of records to drop by state, and number of undelivered records of
            running processes, which `run()` keeps.
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
        """Drop the records; return the number of dropped records.

        Raises:
            OSError: If a file cannot be written.
        """
        return sum(map(self._drop_from, self._paths()))

    def _paths(self) -> list[Path]:
        return self._folder.paths(delivered=DELIVERED in self._states)

    def _drop_from(self, path: Path) -> int:
        """Drop the records of one file; of a file in use, drop only held records."""
        selection = self._selection(*self._states)
        count = remove_records(self._folder, path, selection)
        if count is None and HELD in self._states:
            return remove_held_records(path, selection)
        return count or 0

    def _selection(self, *states: str) -> Selection:
        return Selection(states=states, provider_job_id=self._job_id)
