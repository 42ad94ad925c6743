"""Prelude that makes `flock()` fail, as on some network file systems."""

import errno
import fcntl
import os
from typing import Any, NoReturn


def _flock(file: Any, operation: int) -> NoReturn:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


fcntl.flock = _flock
