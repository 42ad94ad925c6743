"""Files of the outbox on the disk: appended lines and locks."""

from pathlib import Path

import pytest

from tests.support.no_locks import forbid_locks
from tests.support.reporting_process import BINDING
from tests.support.small_disk import SmallDisk
from trackerapi.outbox.disk import append_lines, is_locked
from trackerapi.outbox.file import OutboxFile


def test_line_behind_a_torn_one_is_whole(tmp_path: Path) -> None:
    """A line appended after a torn line begins on a new line."""
    path = tmp_path / "lines"

    assert append_lines(path, b"one\n") == 0
    path.write_bytes(b"one\ntor")
    assert append_lines(path, b"two\n") == 7
    assert append_lines(path, b"three\n") == 12

    assert path.read_bytes() == b"one\ntor\ntwo\nthree\n"


def test_full_disk_raises_with_the_name_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk has no room for a line, OSError names the file."""
    path = tmp_path / "lines"
    SmallDisk(monkeypatch, tmp_path).room_bytes = 2

    with pytest.raises(OSError, match="No space left") as caught:
        append_lines(path, b"one\n")

    assert caught.value.filename == str(path)


def test_file_is_locked_as_long_as_it_is_open(folder: Path) -> None:
    """`is_locked()` is True until the file is closed; the check keeps no lock."""
    file = OutboxFile.create(folder, BINDING)

    assert is_locked(file.path)
    assert is_locked(file.path)
    file.close()
    assert not is_locked(file.path)
    assert not is_locked(folder / "missing.outbox")
    claimed = OutboxFile.claim(file.path)
    assert claimed is not None
    claimed.close()


def test_file_system_without_locks_shows_no_owner(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without file locks `is_locked()` is False even for an open file."""
    file = OutboxFile.create(folder, BINDING)
    forbid_locks(monkeypatch)

    assert not is_locked(file.path)
    file.close()
