"""A file system that knows no locks."""

import errno
import fcntl

import pytest


def forbid_locks(patch: pytest.MonkeyPatch, code: int = errno.ENOLCK) -> None:
    """Let `flock` fail as it does where a file system cannot lock."""

    def refuse(fd: int, operation: int) -> None:
        raise OSError(code, "no locks here")

    patch.setattr(fcntl, "flock", refuse)
