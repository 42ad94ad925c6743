"""Restore of a backup: both files are checked, then get their final names."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trackerapi_backend.pepper import Pepper
from trackerapi_backend.settings import read_secret
from trackerapi_backend.store import StoreError
from trackerapi_backend.store.new_file import NewFile, sync_folder
from trackerapi_backend.store.sqlite_copy import inspect_copy
from trackerapi_backend.store.sqlite_file import DatabaseFile

if TYPE_CHECKING:
    from pathlib import Path

    from trackerapi_backend.store.backup_file import BackupFile
    from trackerapi_backend.store.sqlite_copy import Contents

ASIDE = ".before-restore"
"""Suffix that a restore adds to the names of existing files."""

_SIDE_ENDINGS = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Paths of the restored files.

    Attributes:
        database: Path of the database.
        pepper_file: Path of the pepper file.
        may_move: Whether the restore may add the suffix `ASIDE` to existing files.
    """

    database: Path
    pepper_file: Path
    may_move: bool


def restore_files(backup: BackupFile, target: Target) -> Contents:
    """Write database and pepper file of a backup; return a summary of the database.

    Existing files are renamed only after the backup is extracted and checked. Only the
    owner may read the new files. If root restores, the owner of a new file is the owner
    of its folder.

    Raises:
        StoreError: If the backup is damaged, a file exists and may not be moved, a
            process uses the existing database, another command writes a file of the
            same name, or a path is a cycle of links.
        OSError: If a file cannot be written or renamed.
    """
    database, pepper_file = _resolve(target.database), _resolve(target.pepper_file)
    pepper = backup.read_pepper()
    # The pepper file may exist with the same content, for example if only the database
    # was lost.
    missing = None if _content(pepper_file) == pepper else pepper
    moved = _existing(database, *_SIDE_ENDINGS)
    if missing is not None:
        moved += _existing(pepper_file)
    _require_movable(moved, target)
    with ExitStack() as stack:
        new_files = [stack.enter_context(NewFile(database))]
        backup.extract_database(new_files[0].file)
        new_files[0].sync()
        contents = _check(backup, new_files[0].fresh, pepper)
        if missing is not None:
            # Publish the database last: a crash leaves no database without its pepper.
            new_files.insert(0, stack.enter_context(NewFile(pepper_file)))
            new_files[0].file.write(missing)
            new_files[0].sync()
        for new in new_files:
            _give_to_owner_of_folder(new)
        try:
            _move(database, moved)
            for new in new_files:
                new.publish()
        except BaseException:
            _move_back(moved)
            raise
    return contents


def _move_back(moved: list[tuple[Path, Path]]) -> None:
    """Undo the renaming of existing files after a failure or Ctrl-C.

    The database comes last, so that no server opens the database without its files.
    """
    for path, aside in reversed(moved):
        if os.path.lexists(aside):
            aside.replace(path)
            sync_folder(path.parent)


def _resolve(path: Path) -> Path:
    """Return a path without symbolic links.

    SQLite derives the names of the files beside a database from the path without links.
    """
    try:
        return path.resolve()
    except RuntimeError:
        raise StoreError(f"{path} is a cycle of links: name another file") from None


def _content(path: Path) -> bytes | None:
    """Return the content of a file; None without a readable file."""
    try:
        return read_secret(path)
    except OSError:
        return None


def _existing(path: Path, *suffixes: str) -> list[tuple[Path, Path]]:
    """Return the present and the new path of each existing file to rename.

    The files are `path`, and `path` with each suffix (the logs of a database). A suffix
    stays at the end of the new path, so that SQLite finds the logs.
    """
    return [
        (found, path.with_name(f"{path.name}{ASIDE}{suffix}"))
        for suffix in ("", *suffixes)
        if os.path.lexists(found := path.with_name(f"{path.name}{suffix}"))
    ]


def _require_movable(moved: list[tuple[Path, Path]], target: Target) -> None:
    for path, aside in moved:
        if not target.may_move:
            raise StoreError(
                f"{path} exists: name other files with --database and --pepper-file, or"
                f" rename the existing files to *{ASIDE} with --move-aside"
            )
        if os.path.lexists(aside):
            raise StoreError(
                f"{aside} exists, moved by an earlier restore: move it elsewhere"
            )


def _check(backup: BackupFile, database: Path, pepper: bytes | None) -> Contents:
    """Compare an extracted database with manifest and pepper; return its summary."""
    manifest = backup.manifest
    contents = inspect_copy(
        database, f"the database in {backup.name}", "use another backup"
    )
    found = (contents.schema, sorted(contents.peppers), contents.counts)
    if found != (manifest.schema, manifest.peppers, manifest.counts):
        raise StoreError(
            f"the database in {backup.name} does not match its manifest: use another"
            " backup"
        )
    known = set() if pepper is None else set(Pepper.parse(pepper).fingerprints)
    if contents.has_keys and not contents.peppers <= known:
        raise StoreError(
            f"the pepper in {backup.name} is not the pepper of its database: use"
            " another backup"
        )
    return contents


def _give_to_owner_of_folder(new: NewFile) -> None:
    if os.geteuid() == 0:
        folder = new.fresh.parent.stat()
        os.fchown(new.file.fileno(), folder.st_uid, folder.st_gid)


def _move(database: Path, moved: list[tuple[Path, Path]]) -> None:
    """Rename existing files, the database first, so that no server opens the database.

    Args:
        database: Path of the database.
        moved: Present and new path of each file; the database comes first.

    Raises:
        StoreError: If a process uses the database.
    """
    with ExitStack() as stack:
        if database.exists():
            lock = DatabaseFile(database, create=False)
            stack.enter_context(closing(lock))
        for path, aside in moved:
            path.rename(aside)
            sync_folder(path.parent)
