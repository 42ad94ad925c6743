"""Restore of a backup: database and pepper get their places once both are checked."""

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
"""Suffix of the files that a restore has moved aside."""

_BESIDE_A_DATABASE = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Places of the restored files.

    Attributes:
        database: Path of the database.
        pepper_file: Path of the pepper file.
        may_move: Whether existing files are renamed, with the suffix `ASIDE`.
    """

    database: Path
    pepper_file: Path
    may_move: bool


def restore_files(backup: BackupFile, target: Target) -> Contents:
    """Place the files of a backup; return the contents of the database.

    A failure leaves all existing files in their places. Only the owner may read the
    new files; as root, they get the owner of their folder.

    Raises:
        StoreError: If the backup is damaged, a file exists and may not be moved, a
            process uses the existing database, or a file cannot be written.
    """
    database, pepper_file = _resolve(target.database), _resolve(target.pepper_file)
    pepper = backup.read_pepper()
    # The same file may be in its place already, for example after a loss of the
    # database alone.
    missing = None if _content(pepper_file) == pepper else pepper
    moved = _existing(database, *_BESIDE_A_DATABASE)
    if missing is not None:
        moved += _existing(pepper_file)
    _require_movable(moved, target)
    with ExitStack() as stack:
        news = [stack.enter_context(NewFile(database))]
        backup.extract_database(news[0].file)
        news[0].sync()
        contents = _check(backup, news[0].fresh, pepper)
        if missing is not None:
            # The database comes last: a crash leaves no database without its pepper.
            news.insert(0, stack.enter_context(NewFile(pepper_file)))
            news[0].file.write(missing)
            news[0].sync()
        for new in news:
            _give_to_owner_of_folder(new)
        _move(database, moved)
        for new in news:
            new.publish()
    return contents


def _resolve(path: Path) -> Path:
    """Return a path without links: SQLite names the files beside a database by it."""
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
    """Return the existing files among a path and the paths with suffixes.

    Each comes with its new name: SQLite finds the log of a renamed database by it.
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
                f"{path} exists: name a new database, or rename the existing files to"
                f" *{ASIDE} with --move-aside"
            )
        if os.path.lexists(aside):
            raise StoreError(
                f"{aside} exists, moved by an earlier restore: move it elsewhere"
            )


def _check(backup: BackupFile, database: Path, pepper: bytes | None) -> Contents:
    """Return the contents of an extracted database; compare them with the manifest."""
    manifest = backup.manifest
    contents = inspect_copy(database, f"the database in {backup.name}")
    found = (contents.schema, sorted(contents.peppers), contents.counts)
    if found != (manifest.schema, manifest.peppers, manifest.counts):
        raise StoreError(
            f"the database in {backup.name} is not the database of its manifest: use"
            " another backup"
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
    """Rename existing files; the database comes first, so that no server opens it."""
    with ExitStack() as stack:
        if database.exists():
            lock = DatabaseFile(database, create=False)
            stack.enter_context(closing(lock))
        for path, aside in moved:
            path.rename(aside)
            sync_folder(path.parent)
