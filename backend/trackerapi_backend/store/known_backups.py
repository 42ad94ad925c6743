"""Known copies of a SQLite file: an erasure names these copies, but changes none.

`backup` and `restore` add the path of each backup to `<database>.backups`, one JSON
string a line. The list is beside the file to which symbolic links lead, so all names of
the database have one list.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path


def record_backup(database: Path, backup: Path) -> None:
    """Add a backup to the list beside the database; ignore a failure.

    The user of the command may lack the right to write the list. An erasure then cannot
    name the backup.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    with (
        suppress(OSError),
        os.fdopen(os.open(_list_of(database), flags, 0o600), "a") as file,
    ):
        if os.geteuid() == 0:
            # A server of another user must be able to read the list.
            owner = database.stat()
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        # Begin a new line: a crash may have cut off the end of the last line.
        file.write(f"\n{json.dumps(str(backup))}\n")


def find_backups(database: Path) -> list[Path]:
    """Return the existing copies of a database, sorted.

    The copies are the recorded backups, and the copies `<database>.before-*` beside the
    database, with symbolic links resolved. An unfinished copy of `backup` counts too:
    it may contain rows that are erased meanwhile.
    """
    resolved = Path(os.path.realpath(database))
    found = {
        path
        for path in resolved.parent.iterdir()
        if path.name.startswith(f"{resolved.name}.before-")
    }
    with suppress(OSError):
        for line in _list_of(database).read_bytes().splitlines():
            # A crash may have cut off the end of a line, or damaged the file.
            with suppress(ValueError, TypeError, RecursionError):
                found.add(Path(json.loads(line)))
    return sorted(path for path in found if path.is_absolute() and _exists(path))


def _exists(path: Path) -> bool:
    """Return whether a backup exists, complete or not; see `NewFile`."""
    # A damaged name may be too long.
    with suppress(OSError):
        return path.exists() or path.with_name(f"{path.name}.new").exists()
    return False


def _list_of(database: Path) -> Path:
    return Path(f"{os.path.realpath(database)}.backups")
