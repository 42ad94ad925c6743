"""Look-ups of host names, one thread for each name that is being looked up."""

import os
import socket
import threading
from concurrent.futures import Future
from ipaddress import ip_address
from typing import Final

from trackerapi.wire.sockets import avoiding_standard_streams

# A look-up cannot be ended: attempts that need the same one wait for it together, so
# that however long it takes, there is one thread for each name.
_LOOK_UPS: Final[dict[tuple[int, str, int], Future[list[str]]]] = {}


def look_up(host: str, port: int) -> Future[list[str]]:
    """Return the addresses of `host`, found by a thread that nobody waits for.

    The result raises what `socket.getaddrinfo()` does.
    """
    found: Future[list[str]] = Future()
    # From now on nobody can cancel it, as a task that is cancelled would.
    found.set_running_or_notify_cancel()
    if _is_address(host):
        found.set_result([host])
        return found
    key = os.getpid(), host, port  # threads do not live on in a forked child
    shared = _LOOK_UPS.setdefault(key, found)
    if shared is found:
        arguments = key, found
        try:
            threading.Thread(
                target=_find_addresses,
                args=arguments,
                name="trackerapi-look-up",
                daemon=True,
            ).start()
        except RuntimeError:  # no more threads
            _find_addresses(*arguments)
    return shared


def _find_addresses(key: tuple[int, str, int], found: Future[list[str]]) -> None:
    _, host, port = key
    try:
        with avoiding_standard_streams():
            known = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(each[4][0]) for each in known))
    except Exception as error:  # noqa: BLE001 - raised again by those who wait
        _LOOK_UPS.pop(key, None)
        found.set_exception(error)
    else:
        _LOOK_UPS.pop(key, None)
        found.set_result(addresses)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
