"""How records are kept."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxOptions:
    """How records are kept.

    Attributes:
        folder: Where files lie; None where there is no place for them.
        limit_bytes: Size of what may wait in files.
        fsync: Bring each record to the disk itself before its call returns.
        strict: Refuse a record that the disk refuses, and keep none in memory.
    """

    folder: Path | None
    limit_bytes: int
    fsync: bool = False
    strict: bool = False
