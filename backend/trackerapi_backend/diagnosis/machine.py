"""Checks of the machine and the settings of a server."""

from __future__ import annotations

import re
import resource
import shlex
import sqlite3
import sys
from importlib import metadata
from typing import TYPE_CHECKING

from trackerapi_backend.diagnosis.finding import Fault, quote
from trackerapi_backend.store.sqlite_file import disk_shortage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trackerapi_backend.settings import Settings

MIN_DESCRIPTORS = 4096
"""Number of open files that a server with its connections and streams may need."""
SPARE_DESCRIPTORS = 64
"""Number of open files that a server needs beside its connections."""
FIXED_SQLITE = (3, 51, 3)
"""First version of SQLite without the defect that `engine_version()` describes."""

_DISTRIBUTION = "trackerapi-backend"
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[.*?\])?\s*([^;]*)(?:;(.*))?")
_BOUND = re.compile(r"(>=|<=|==|!=|<|>)\s*([\w.]+)")
_LOOPBACK = re.compile(r"127\.\d+\.\d+\.\d+|::1|localhost")


def check_disk(settings: Settings) -> Iterator[Fault]:
    """Find a disk that is nearly full."""
    if settings.database is None:
        return
    folder = settings.database.resolve().parent
    shortage = disk_shortage(folder)
    # The check of the database reports a missing folder.
    if shortage is not None and folder.exists():
        yield Fault(
            f"{shortage} Delete files or enlarge the disk: the command lists the"
            " largest files and folders",
            f"du -xah {quote(folder)} | sort -rh | head -n 20",
        )


def check_descriptors(settings: Settings) -> Iterator[Fault]:
    """Find a limit of open files that is too low for a server of this user."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = max(MIN_DESCRIPTORS, (settings.max_connections or 0) + SPARE_DESCRIPTORS)
    if hard != resource.RLIM_INFINITY and hard < needed:
        yield Fault(
            f"a process may open {hard} files, and a server may need {needed}: set"
            " LimitNOFILE= in the unit of systemd, or run the command as root before"
            " `serve`",
            f"ulimit -n {needed}",
            "warning",
        )


def check_address(settings: Settings) -> Iterator[Fault]:
    """Find a server without a public address that other machines can reach."""
    if settings.public_base_url is None and not _LOOPBACK.fullmatch(settings.host):
        yield Fault(
            f"other machines can reach {settings.host}, but the public address for"
            " share links is not set, so `serve` does not start: set this address",
            "export TRACKERAPI_BACKEND_PUBLIC_BASE_URL=https://tracker.example.org",
        )


def check_versions(settings: Settings) -> Iterator[Fault]:
    """Find dependencies that this release does not support."""
    try:
        required = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return
    for requirement in required:
        parts = _REQUIREMENT.match(requirement)
        if parts is None:
            continue
        name, bounds, marker = parts[1], parts[2].strip(), parts[3] or ""
        if "extra" in marker and settings.database_url is None:
            continue
        found = _version(name)
        if found is None or not _is_within(found, bounds):
            yield Fault(
                f"{name} has version {found or 'none'}, this release needs {bounds}",
                f"{shlex.quote(sys.executable)} -m pip install"
                f" {shlex.quote(f'{name}{bounds}')}",
            )


def engine_version() -> str:
    """Return the version of SQLite, with a warning about the defect of old versions."""
    if sqlite3.sqlite_version_info >= FIXED_SQLITE:
        return f"SQLite {sqlite3.sqlite_version}"
    return (
        f"SQLite {sqlite3.sqlite_version} has a defect (WAL reset) that damages files"
        " with several writers: the server writes by one connection, so let no other"
        " program write to the file"
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _is_within(version: str, bounds: str) -> bool:
    found = _numbers(version)
    for operator, bound in _BOUND.findall(bounds):
        limit = _numbers(bound)
        is_met = {
            ">=": found >= limit,
            "<=": found <= limit,
            "==": found == limit,
            "!=": found != limit,
            "<": found < limit,
            ">": found > limit,
        }
        if not is_met[operator]:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, without the zeros at its end."""
    numbers = [int(part) for part in re.findall(r"\d+", version.partition("+")[0])]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
