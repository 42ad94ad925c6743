"""File names in an outbox folder: suffixes, the order of files, ids of files.

An outbox file such as `1764547200000000000-4f21c09a7b33.outbox` may have two files with
the same stem beside it. The `.ack` file has the position up to which its records are
settled, the `.held` file has the journal of held and deferred records. The stem begins
with the creation time in nanoseconds since 1970, so that names sort by age. The stem
ends with the id of the file, a random word.
"""

import os
from pathlib import Path
from typing import Final

from trackerapi.process.clock import wall_nanoseconds

RECORDS_SUFFIX: Final = ".outbox"
POSITION_SUFFIX: Final = ".ack"
JOURNAL_SUFFIX: Final = ".held"
DELIVERED_FOLDER: Final = "delivered"
"""Subfolder of the outbox folder for archived files: all records are delivered."""

_ID_BYTES: Final = 6


def new_name(begun: str = "") -> str:
    """Return a new name of an outbox file.

    Args:
        begun: `begun_of()` of the file that the new file replaces; the current time by
            default.
    """
    begun = begun or format(wall_nanoseconds(), "019d")
    return f"{begun}-{os.urandom(_ID_BYTES).hex()}{RECORDS_SUFFIX}"


def begun_of(path: Path) -> str:
    """Return the creation time in the name of a file, as 19 digits of nanoseconds."""
    return path.stem.partition("-")[0]


def file_id(path: Path) -> str:
    """Return the unique id in the name of an outbox file."""
    return path.stem.rpartition("-")[2]


def position_path(path: Path) -> Path:
    """Return the path of the position file of an outbox file."""
    return path.with_suffix(POSITION_SUFFIX)


def journal_path(path: Path) -> Path:
    """Return the path of the journal of an outbox file."""
    return path.with_suffix(JOURNAL_SUFFIX)
