"""Checks of files: rights, owners, links, leftovers, network file systems."""

from __future__ import annotations

import os
import re
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from trackerapi_backend.diagnosis.finding import (
    Fault,
    chown_command,
    options_of,
    quote,
)
from trackerapi_backend.store import StoreError
from trackerapi_backend.store.erasures_file import DamagedLine, read_erasures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trackerapi_backend.settings import Settings

MOUNTS = Path("/proc/self/mountinfo")
"""Mounted file systems; missing outside of Linux."""
MAX_LOG_BYTES = 128 * 1024 * 1024
"""Size of the write-ahead log above which `doctor` reports the log, in bytes."""
LEFTOVER_SECONDS = 3600.0
"""Age above which a file with a temporary name is a leftover file, in seconds."""

_NOT_FOR_FILES = stat.S_IWGRP | stat.S_IRWXO
_NOT_FOR_FOLDERS = stat.S_IWGRP | stat.S_IWOTH
_SIDE_ENDINGS = ("-wal", "-shm", "-journal", ".backups")
_NETWORK = re.compile(
    r"nfs4?|cifs|smb3|smbfs|9p|afs|ceph|glusterfs|lustre|beegfs|gpfs"
    r"|fuse\.(sshfs|glusterfs|s3fs|rclone)"
)
_SET_ERASURES = "export TRACKERAPI_BACKEND_ERASURES_FILE"
_ESCAPE = re.compile(r"\\([0-7]{3})")


def check_rights(settings: Settings) -> Iterator[Fault]:
    """Find files and folders that other users of the machine can read or change."""
    database = _resolved(settings.database) if settings.database else None
    open_files: dict[str, Path] = {}
    modes = {path: status.st_mode for path, status in _files(settings).items()}
    for path, mode in modes.items():
        if mode & _NOT_FOR_FILES:
            # SQLite gives new files beside the database the rights of the database.
            is_beside = database is not None and _is_beside(path, database)
            names = f"{quote(database)}*" if database and is_beside else quote(path)
            open_files.setdefault(names, path)
    for names, path in open_files.items():
        is_error = modes[path] & stat.S_IRWXO
        yield Fault(
            f"{path} can be read or changed by every user"
            if is_error
            else f"{path} can be changed by its group",
            f"chmod g-w,o-rwx {names}",
            "error" if is_error else "warning",
        )
    for folder in _folders(settings):
        mode = folder.stat().st_mode
        # Others may list the folder: the files in it are private. With the sticky bit,
        # as in /tmp, others cannot rename or delete our files.
        if mode & _NOT_FOR_FOLDERS and not mode & stat.S_ISVTX:
            yield Fault(
                f"other users can replace the files in {folder}",
                f"chmod g-w,o-w {quote(folder)}",
            )


def check_owners(settings: Settings) -> Iterator[Fault]:
    """Find files that do not belong to the owner of the database."""
    if settings.database is None or not settings.database.exists():
        return
    owner, folder = settings.database.stat().st_uid, _resolved(settings.database).parent
    for path, status in {**_files(settings), folder: folder.stat()}.items():
        found = status.st_uid
        # The server does not write to the pepper file, and root may own a folder.
        may_be_of_root = path in (_resolved(settings.pepper_file), folder)
        if found != owner and not (found == 0 and may_be_of_root):
            yield Fault(
                f"{path} belongs to user {found}, the database to user {owner}",
                f"chown {owner} {quote(path)}",
            )


def check_links(settings: Settings) -> Iterator[Fault]:
    """Find symbolic links in the paths of the settings, and hard links to files."""
    seen: set[Path] = set()
    named = {"DATABASE": settings.database, "PEPPER_FILE": settings.pepper_file}
    for name, path in named.items():
        if path is None:
            continue
        link = next((each for each in (path, *path.parents) if each.is_symlink()), None)
        if link is not None and link not in seen:
            seen.add(link)
            yield Fault(
                f"{link} is a symbolic link: after a change of the link, the server"
                f" would not find {path.name}, and a copy of the folder may lack the"
                " file",
                f"export TRACKERAPI_BACKEND_{name}={quote(_resolved(path))}",
                "warning",
            )
    for path, status in _files(settings).items():
        if status.st_nlink > 1:
            copy = quote(path.with_name(f"{path.name}.copy"))
            yield Fault(
                f"{path} has a second name (hard link), by which another program"
                " could damage it: stop the server first",
                f"cp -p {quote(path)} {copy} && mv {copy} {quote(path)}",
            )


def check_leftovers(settings: Settings) -> Iterator[Fault]:
    """Find earlier data and temporary files that commands have left behind."""
    paths = [path for path in (settings.database, settings.pepper_file) if path]
    # Copies of a database have the name of the file, or of the link to the file.
    names = {each.name for path in paths for each in (path, _resolved(path))}
    for folder in _folders(settings):
        for path in sorted(folder.iterdir()):
            name = path.name
            if any(name.startswith(f"{each}.before-") for each in names):
                yield Fault(
                    f"{path} has data of an earlier time: delete it once it is no"
                    " longer needed",
                    f"rm {quote(path)}",
                    "warning",
                )
            elif _is_temporary(name, names) and _age_seconds(path) > LEFTOVER_SECONDS:
                what = f"a killed command has left {path}"
                yield Fault(what, f"rm {quote(path)}", "warning")


def check_log_size(settings: Settings) -> Iterator[Fault]:
    """Find a write-ahead log that is not emptied."""
    if settings.database is None:
        return
    database = _resolved(settings.database)
    log = database.with_name(f"{database.name}-wal")
    status = _files(settings).get(log)
    size = 0 if status is None else status.st_size
    if size > MAX_LOG_BYTES:
        yield Fault(
            f"{log} has {size // 2**20} MiB: end programs that read the database for"
            " long, such as a backup; if the size stays, stop the server, run the"
            " command and start the server",
            f"trackerapi-backend migrate{options_of(settings)}",
            "warning",
        )


def check_erasures(settings: Settings) -> Iterator[Fault]:
    """Find a file of erasures that is missing in the settings, or cannot be used."""
    if settings.erasures_file is None:
        file = settings.pepper_file.with_name("erasures")
        yield Fault(
            "no job and no customer can be erased without a file of erasures",
            f"{_SET_ERASURES}={quote(file)}",
            "warning",
        )
        return
    file = _resolved(settings.erasures_file)
    folder = file.parent
    if not folder.exists():
        # The check of the database reports a missing folder of the database.
        if settings.database is None or folder != _resolved(settings.database).parent:
            yield Fault(
                f"nothing can be erased: the folder of {file} is missing",
                f"mkdir -m 700 -p {quote(folder)}",
            )
    elif file.is_file():
        yield from _check_erasures_of(file)
    elif file.exists():
        yield _no_erasures(file)
    elif not _may(folder, os.W_OK | os.X_OK):
        yield Fault(
            f"nothing can be erased: this user cannot create {file}",
            chown_command(folder),
        )


def _check_erasures_of(file: Path) -> Iterator[Fault]:
    if not _may(file, os.R_OK | os.W_OK):
        is_own = file.stat().st_uid == os.geteuid()
        yield Fault(
            f"nothing can be erased: this user cannot read and change {file}",
            f"chmod u+rw {quote(file)}" if is_own else chown_command(file),
        )
        return
    try:
        read_erasures(file)
    except DamagedLine as damaged:
        kept = file.with_name(f"{file.name}.damaged")
        yield Fault(
            f"line {damaged.number} of {file} is damaged, so no backup can be restored"
            " with this file: stop the server, then repair the line, or move the line"
            f" to {kept} by the command",
            f"sed -n {damaged.number}p {quote(file)} >> {quote(kept)}"
            f" && sed -i {damaged.number}d {quote(file)}",
        )
    except StoreError:
        yield _no_erasures(file)


def _no_erasures(file: Path) -> Fault:
    return Fault(
        f"nothing can be erased: {file} is no file of erasures, so name another file",
        f"{_SET_ERASURES}={quote(file.with_name(f'{file.name}.erasures'))}",
    )


def _may(path: Path, rights: int) -> bool:
    return os.access(path, rights, effective_ids=True)


def check_file_system(settings: Settings) -> Iterator[Fault]:
    """Find a SQLite file on a network file system: its locks may not work."""
    if settings.database is None:
        return
    folder = _resolved(settings.database).parent
    kind = _file_system(folder)
    if _NETWORK.fullmatch(kind):
        yield Fault(
            f"{folder} is on a network file system ({kind}), where SQLite can lose"
            " data: stop the server and move the database to a local disk",
            f"trackerapi-backend backup ./moved.backup{options_of(settings)}"
            " && trackerapi-backend restore"
            " ./moved.backup --database /var/lib/trackerapi/backend.db",
        )


def _file_system(folder: Path) -> str:
    """Return the type of the file system of a folder; empty if it is not known."""
    try:
        lines = os.fsdecode(MOUNTS.read_bytes()).splitlines()
    except OSError:
        return ""
    depth, found = 0, ""
    for line in lines:
        mount, _dash, source = line.partition(" - ")
        point = Path(_ESCAPE.sub(lambda code: chr(int(code[1], 8)), mount.split()[4]))
        # Of several file systems on one folder, the last file system is visible.
        if folder.is_relative_to(point) and len(point.parts) >= depth:
            depth, found = len(point.parts), source.split()[0]
    return found


def _files(settings: Settings) -> dict[Path, os.stat_result]:
    """Return the existing files of an installation, with resolved paths."""
    paths = [settings.pepper_file]
    if settings.erasures_file is not None:
        paths.append(settings.erasures_file)
    if settings.database is not None:
        database = _resolved(settings.database)
        beside = [database.with_name(f"{database.name}{end}") for end in _SIDE_ENDINGS]
        paths += [database, *beside]
    found = {}
    for path in map(_resolved, paths):
        # A server deletes the files beside the database when it stops.
        with suppress(FileNotFoundError, NotADirectoryError):
            status = path.stat()
            if stat.S_ISREG(status.st_mode):
                found[path] = status
    return found


def _folders(settings: Settings) -> list[Path]:
    """Return the existing folders of the database, the pepper and the erasures."""
    paths = [settings.database, settings.pepper_file, settings.erasures_file]
    folders = dict.fromkeys(_resolved(path).parent for path in paths if path)
    return [folder for folder in folders if folder.is_dir()]


def _is_beside(path: Path, database: Path) -> bool:
    """Return whether `<database>*` in a shell names a file."""
    return path.parent == database.parent and path.name.startswith(database.name)


def _is_temporary(name: str, names: set[str]) -> bool:
    return name.endswith(".database.new") or name in {f"{each}.new" for each in names}


def _age_seconds(path: Path) -> float:
    try:
        return time.time() - path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    # A cycle of links: the check of the database reports this cycle.
    except RuntimeError:
        return path
