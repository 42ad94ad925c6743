"""Listening sockets of a server: opened, or inherited from the service manager."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trackerapi_backend.network.acceptor import BACKLOG
from trackerapi_backend.settings import PREFIX, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping, Sequence

FIRST_INHERITED = 3
"""Number of the first descriptor that a service manager passes on."""
MAX_INHERITED = 16
"""Maximum number of inherited sockets."""

_REASONS = {
    errno.EADDRINUSE: "in use",
    errno.EACCES: "not allowed for this user",
}
_INHERITED_VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")

_log = logging.getLogger(__name__)


@contextmanager
def open_listener(
    host: str, port: int, options: str = "--host and --port"
) -> Iterator[socket.socket]:
    """Listen on an address during the block; yield the socket.

    The system accepts connections before the server runs, so an early client waits
    instead of failing.

    Args:
        host: Address to listen on.
        port: Port to listen on; 0 for a free port.
        options: Names of the options for the address, for the error message.

    Raises:
        SettingsError: If the address is in use or does not belong to this machine.
    """
    try:
        listener = socket.create_server(
            (host, port),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=BACKLOG,
        )
    except (OSError, UnicodeError, TypeError) as error:
        # Python raises TypeError for a name with bytes that are not UTF-8.
        number = getattr(error, "errno", None) or 0
        reason = _REASONS.get(number, "not an address of this machine")
        raise SettingsError(
            f"cannot listen on {host[:200]}:{port} ({reason}): choose another address"
            f" with {options}; port 0 selects a free port"
        ) from None
    with listener:
        yield listener


def inherited_listeners(
    environment: MutableMapping[str, str] = os.environ,
) -> Sequence[socket.socket]:
    """Return the listening sockets that the service manager has passed on, if any.

    The variables of systemd describe the sockets. This function removes the variables,
    so that no child process tries to use the sockets.

    Args:
        environment: Environment variables, with `LISTEN_FDS` and `LISTEN_PID`.

    Raises:
        SettingsError: If the variables are invalid or meant for another process, or if
            a descriptor is not a listening stream socket.
    """
    count, process, _names = [environment.pop(n, "") for n in _INHERITED_VARIABLES]
    if not count and not process:
        return []
    if process != str(os.getpid()):
        raise SettingsError(
            f"LISTEN_PID is {process[:40]!r}, but this process is {os.getpid()}: let"
            " the service manager start this command itself, or unset LISTEN_FDS and"
            " LISTEN_PID"
        )
    if not (
        count.isascii() and count.isdecimal() and 1 <= int(count[:9]) <= MAX_INHERITED
    ):
        raise SettingsError(
            f"LISTEN_FDS must be 1 to {MAX_INHERITED}, got {count[:40]!r}"
        )
    return [
        _inherited(number)
        for number in range(FIRST_INHERITED, FIRST_INHERITED + int(count))
    ]


def _inherited(number: int) -> socket.socket:
    try:
        listener = socket.socket(fileno=number)
        is_stream = listener.type == socket.SOCK_STREAM
        families = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
        is_listening = is_stream and listener.getsockopt(
            socket.SOL_SOCKET, socket.SO_ACCEPTCONN
        )
    except OSError as error:
        raise SettingsError(
            f"LISTEN_FDS: descriptor {number} is not a socket ({error.strerror})"
        ) from None
    if not is_listening or listener.family not in families:
        listener.detach()
        raise SettingsError(
            f"LISTEN_FDS: descriptor {number} is not a listening stream socket: use"
            " ListenStream= and Accept=no"
        )
    listener.set_inheritable(False)
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the address of a listening socket as a URL."""
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{os.fsdecode(name)}"
    host, port = name[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def require_public_address(listeners: Sequence[socket.socket]) -> None:
    """Check that each socket has a loopback address.

    Raises:
        SettingsError: If another machine can reach a socket, or if a UNIX socket serves
            a proxy. The server then needs a setting for its public address: the address
            in a request can be false.
    """
    for listener in listeners:
        is_local = listener.family != socket.AF_UNIX
        if is_local:
            host = listener.getsockname()[0].partition("%")[0]
            is_local = ipaddress.ip_address(host).is_loopback
        if not is_local:
            raise SettingsError(
                f"{address_of(listener)} is not only for this machine: set"
                f" --public-base-url or {PREFIX}PUBLIC_BASE_URL to the address that"
                " people use, as in https://tracker.example.org"
            )


def notify_ready(environment: MutableMapping[str, str] = os.environ) -> None:
    """Notify the service manager that the server accepts requests (`sd_notify`).

    Do nothing without `NOTIFY_SOCKET`; log a warning if the message cannot be sent.
    """
    address = environment.get("NOTIFY_SOCKET")
    if not address:
        return
    # A leading `@` stands for a name in the abstract namespace of Linux.
    name = f"\0{address[1:]}" if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"READY=1", name)
    except OSError as error:
        _log.warning("NOTIFY_SOCKET %s cannot be used (%s)", address, error.strerror)
