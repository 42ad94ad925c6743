"""Giving records up: what is held, what waits, or what was delivered."""

import argparse
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from trackerapi.commands.cutting import Cut, cut_and_put_away
from trackerapi.commands.exits import FINE, Mistake
from trackerapi.commands.options import add_command, add_json, add_outbox, folder_of
from trackerapi.commands.survey import (
    DELIVERED,
    HELD,
    WAITING,
    is_live,
    job_of,
    looks,
)
from trackerapi.commands.terminal import confirm, counted, has_terminal, say, say_json
from trackerapi.delivery.folder import OutboxFolder
from trackerapi.delivery.outbox_file import OutboxFile

_HELP: Final = """\
Give records up: by default those that the backend refused.

What was dropped is gone for good, from the disk too; of a running process, held
records go when it ends. What waits in its file is never dropped.

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
        (HELD, "what the backend refused (default)"),
        (WAITING, "what is still to be delivered"),
        (DELIVERED, "what is kept for `outbox replay`"),
    ):
        which.add_argument(
            f"--{state}", dest="which", action="store_const", const=state, help=text
        )
    parser.set_defaults(which=HELD)
    parser.add_argument("--job", metavar="ID", help="only records of this job")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_outbox(parser)
    add_json(parser)


def _drop(options: argparse.Namespace) -> int:
    drop = Drop(folder_of(options), options.which, options.job)
    count, live_count = drop.counts()
    if count:
        _check_consent(options, count)
        count = drop.run()
    if options.json:
        say_json({"dropped": count, "left_to_running_processes": live_count})
        return FINE
    say(f"dropped {counted(count, 'record')}" if count else "nothing to drop")
    if live_count:
        say(f"{counted(live_count, 'record')} of running processes left to them")
    return FINE


def _check_consent(options: argparse.Namespace, count: int) -> None:
    """Ask whoever is at the terminal.

    Raises:
        Mistake: If nobody agrees.
    """
    of_job = f" of job {options.job!r}" if options.job is not None else ""
    what = f"{counted(count, f'{options.which} record')}{of_job}"
    if options.yes:
        return
    if not has_terminal():
        raise Mistake(f"this would drop {what}; pass --yes to do it")
    if not confirm(f"drop {what} for good?"):
        raise Mistake("nothing was dropped")


class Drop:
    """Drops records of one folder.

    Args:
        folder: Which.
        which: held, waiting or delivered.
        provider_job_id: Only records of this job; None for all.
    """

    def __init__(
        self, folder: OutboxFolder, which: str, provider_job_id: str | None
    ) -> None:
        self._folder, self._which, self._job_id = folder, which, provider_job_id

    def counts(self) -> tuple[int, int]:
        """Return how many records would go, and how many are a running process's."""
        count = live_count = 0
        for file in looks(self._paths()):
            found = self._cut_of(file).count(file)
            if self._which == WAITING and is_live(file.path):
                live_count += found
            else:
                count += found
        return count, live_count

    def run(self) -> int:
        """Drop them; return how many went.

        Raises:
            OSError: If a file cannot be written.
        """
        return sum(map(self._drop_from, self._paths()))

    def _paths(self) -> list[Path]:
        return self._folder.paths(delivered=self._which == DELIVERED)

    def _drop_from(self, path: Path) -> int:
        with suppress(FileNotFoundError):  # somebody has delivered it meanwhile
            file = OutboxFile.adopt(path)
            if file is not None:
                return self._cut_from(file)
            if self._which == HELD:
                return self._release_from(path)
        return 0

    def _cut_from(self, file: OutboxFile) -> int:
        file.held.refresh()
        return cut_and_put_away(self._folder, file, self._cut_of(file))

    def _release_from(self, path: Path) -> int:
        """Let go of what is held of a running process."""
        count = 0
        for file in looks([path]):
            kept_ids = self._cut_of(file).kept_ids
            file.held.release(sorted(kept_ids), "dropped")
            count += len(kept_ids)
        return count

    def _cut_of(self, file: OutboxFile) -> Cut:
        if self._which == DELIVERED:
            return Cut(settled=self._is_wanted)
        waits = self._which == WAITING
        records = file.held.records(waits=waits, provider_job_id=self._job_id)
        kept_ids = frozenset(kept.record_id for kept in records)
        if waits:
            return Cut(waiting=self._is_wanted, kept_ids=kept_ids)
        return Cut(kept_ids=kept_ids)

    def _is_wanted(self, line: bytes) -> bool:
        return self._job_id is None or job_of(line) == self._job_id
