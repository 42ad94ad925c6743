"""UNIX socket beside a SQLite file, on which the running server accepts commands.

Only the user of the server and root may connect. A server locks the database before it
listens, so a socket without a listening process belongs to a killed server.
"""

from __future__ import annotations

import logging
import os
import socket
import stat
import struct
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BACKLOG = 256
"""Maximum number of commands that wait to be accepted."""

_ROOT = 0
_PEER = struct.Struct("3i")  # process id, user id, group id
# `sun_path` has 108 bytes on Linux and 104 on other systems, with a zero at its end.
_MAX_ADDRESS_BYTES = 103

_log = logging.getLogger(__name__)


def socket_path(database: Path) -> Path:
    """Return the path of the socket of a database, with symbolic links resolved."""
    resolved = database.resolve()
    return resolved.with_name(f"{resolved.name}.socket")


@contextmanager
def listening(database: Path | None) -> Iterator[socket.socket | None]:
    """Listen beside a database during the block; yield the socket.

    If the socket cannot be made, log a warning and yield None: the server then runs
    without accepting commands.

    Args:
        database: SQLite file whose lock this process holds; None for PostgreSQL, which
            needs no socket.
    """
    if database is None:
        yield None
        return
    path = socket_path(database)
    try:
        listener = _listen(path)
    except OSError as error:
        _log.warning(
            "the server accepts no commands: its socket %s cannot be made (%s)",
            path,
            error.strerror or error,
        )
        yield None
        return
    made = path.lstat()
    try:
        with listener:
            yield listener
    finally:
        # Another file may have the path by now.
        with suppress(OSError):
            if os.path.samestat(path.lstat(), made):
                path.unlink()


def connect(database: Path, timeout_seconds: float) -> socket.socket:
    """Connect to the server of a database.

    Args:
        database: SQLite file that a server has locked.
        timeout_seconds: Time limit of this call, and of each later call of the socket.

    Raises:
        TimeoutError: If too many commands wait to be accepted.
        OSError: If no server listens, or the socket belongs to another user.
    """
    path = socket_path(database)
    connection = socket.socket(socket.AF_UNIX)
    try:
        # SO_SNDTIMEO lets `connect()` wait while the queue of the listener is full.
        # After `settimeout()`, `connect()` would fail at once.
        limit = struct.pack("ll", *_seconds_and_micros(timeout_seconds))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        with _address(path) as address:
            connection.connect(address)
        connection.settimeout(timeout_seconds)
        _require_trusted(connection, database)
    except BlockingIOError:
        connection.close()
        raise TimeoutError from None
    except BaseException:
        connection.close()
        raise
    return connection


def _seconds_and_micros(seconds: float) -> tuple[int, int]:
    whole, rest = divmod(seconds, 1)
    return int(whole), int(rest * 1_000_000)


def _require_trusted(connection: socket.socket, database: Path) -> None:
    if not is_trusted(connection, database.stat().st_uid):
        raise PermissionError(0, "the socket belongs to another user")


def is_trusted(connection: socket.socket, *user_ids: int) -> bool:
    """Return whether the other process runs as this user, as root or as `user_ids`.

    Outside Linux, the result is True: the mode of the socket keeps other users out.

    Args:
        connection: Connected UNIX socket.
        user_ids: Ids of further trusted users.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    sent = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    user: int = _PEER.unpack(sent)[1]
    return user in (_ROOT, os.geteuid(), *user_ids)


def _listen(path: Path) -> socket.socket:
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX)
    try:
        # `bind()` gives the socket the mode of a new file. Other threads of this server
        # may create files at the same time: their files are private too.
        mask = os.umask(0o177)
        try:
            with _address(path) as address:
                listener.bind(address)
        finally:
            os.umask(mask)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Remove the socket of a killed server; leave any other file.

    Raises:
        OSError: If the file is not a socket, or another process listens on the socket.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise FileExistsError(0, "another file has this name")
    with socket.socket(socket.AF_UNIX) as probe, _address(path) as address:
        probe.setblocking(False)
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except BlockingIOError:
            pass  # Another process listens, and its queue is full.
    raise FileExistsError(0, "another process listens on it")


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """Yield an address of a socket that is short enough for the system.

    Raises:
        OSError: If the system has no short address for the path.
    """
    if len(os.fsencode(path)) <= _MAX_ADDRESS_BYTES:
        yield os.fspath(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        short = Path(f"/proc/self/fd/{folder}/{path.name}")
        if len(os.fsencode(short)) > _MAX_ADDRESS_BYTES or not short.parent.exists():
            raise OSError(0, "its path is too long")
        yield os.fspath(short)
    finally:
        os.close(folder)
