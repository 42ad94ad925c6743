"""Simulation of a file system without locks."""

import errno
import fcntl

import pytest


def forbid_locks(patch: pytest.MonkeyPatch, code: int = errno.ENOLCK) -> None:
    """Make `flock` fail, as on a file system without locks."""

    def refuse(fd: int, operation: int) -> None:
        raise OSError(code, "no locks here")

    patch.setattr(fcntl, "flock", refuse)
