"""File systems for tests: mounted for one test, unmounted at its end."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL_DISK_BYTES = 10 * 1024 * 1024


@contextmanager
def mount_at(*arguments: str, at: Path) -> Iterator[None]:
    """Mount a file system on a path that exists.

    Skips the test if this user may not mount, except in CI.
    """
    mount = ["mount", *arguments, str(at)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        assert os.environ.get("CI") != "true", "CI has to run this as root"
        pytest.skip("this user cannot mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a new disk of `SMALL_DISK_BYTES` on a new folder."""
    folder.mkdir()
    size = f"size={SMALL_DISK_BYTES}"
    with mount_at("-t", "tmpfs", "-o", size, "tmpfs", at=folder):
        yield folder


def make_space(disk: Path) -> None:
    """Enlarge a small disk."""
    remount = ["mount", "-o", "remount,size=128m", str(disk)]
    subprocess.run(remount, check=True)
